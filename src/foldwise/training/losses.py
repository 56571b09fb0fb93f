"""The losses, each by its exact formula."""

import torch
from torch import Tensor
from torch.nn import functional

from foldwise.config import Loss
from foldwise.images.mixing import soft_targets


def loss_of(settings: Loss, logits: Tensor, targets: Tensor, multilabel: bool = False) -> Tensor:
    """The mean loss of float32 logits (n, outputs).

    Targets as in `competition.metrics`: class indices (n,), flags (n, classes) in ``multilabel``,
    numbers (n, columns) in a regression; or, of mixed images, a distribution over the classes
    (n, classes), of which class indices are the special case.

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
    outputs = logits.shape[1]
    if name == "ordinal":
        flags = _steps(targets, outputs).to(logits.dtype) * (1 - s) + s / 2
    elif multilabel:
        flags = targets * (1 - s) + s / 2
    else:
        flags = soft_targets(targets, outputs) * (1 - s) + s / outputs
    return functional.binary_cross_entropy_with_logits(logits, flags)


def _steps(targets: Tensor, steps: int) -> Tensor:
    """(n, steps): whether, or how likely, the class is above 0, above 1 …"""
    if targets.ndim == 1:
        return targets[:, None] > torch.arange(steps, device=targets.device)
    place = torch.arange(steps + 1, device=targets.device)
    above = place[:, None] > place[:steps]  # (a cumsum would not be deterministic on a GPU)
    return (targets[:, :, None] * above).sum(dim=1)
