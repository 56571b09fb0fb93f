"""The losses, each by its exact formula."""

import torch
from torch import Tensor
from torch.nn import functional

from foldwise.config import Loss


def loss_of(settings: Loss, logits: Tensor, targets: Tensor) -> Tensor:
    """The mean loss of float32 logits (n, outputs); targets as in `competition.metrics`.

    cross_entropy: -sum_c t_c log softmax(z)_c, with t = 1 - s + s/C for the true class and s/C for
    the others (s: loss.smoothing). bce: the binary cross-entropy of each class's own sigmoid,
    averaged over rows and classes; smoothing moves 0 and 1 by s/2 towards each other, and in
    multiclass to s/C and 1 - s + s/C. ordinal: bce for each step "the class is above k" (Frank and
    Hall, "A Simple Approach to Ordinal Classification", 2001; as one network: Niu et al., "Ordinal
    Regression with Multiple Output CNN", 2016). mse, mae, smooth_l1 (Huber, 1964, delta 1): of
    numbers standardised by the training rows.
    """
    s, name = settings.smoothing, settings.name
    if name == "cross_entropy":
        return functional.cross_entropy(logits, targets, label_smoothing=s)
    if name == "mse":
        return functional.mse_loss(logits, targets)
    if name == "mae":
        return functional.l1_loss(logits, targets)
    if name == "smooth_l1":
        return functional.smooth_l1_loss(logits, targets)
    flags, classes = targets, logits.shape[1]
    if name == "ordinal":
        steps = torch.arange(classes, device=logits.device)
        flags = (targets[:, None] > steps).to(logits.dtype)
    elif targets.ndim == 1:
        flags = functional.one_hot(targets, classes).to(logits.dtype) * (1 - s) + s / classes
    if targets.ndim == 2 or name == "ordinal":
        flags = flags * (1 - s) + s / 2
    return functional.binary_cross_entropy_with_logits(logits, flags)
