"""The losses, each by its exact formula.

z are the logits of a row, t its targets with smoothing s (``loss.smoothing``) in them; C classes.
"""

import torch
from torch import Tensor
from torch.nn import functional

from foldwise.config import Loss
from foldwise.images.mixing import soft_targets

NUMBERS = {
    "mse": functional.mse_loss,
    "mae": functional.l1_loss,
    "smooth_l1": functional.smooth_l1_loss,
}


def loss_of(
    settings: Loss,
    logits: Tensor,
    targets: Tensor,
    multilabel: bool = False,
    class_weights: Tensor | None = None,
    row_weights: Tensor | None = None,
) -> Tensor:
    """The mean loss of float32 logits (n, outputs).

    Targets as in `competition.metrics`: class indices (n,), flags (n, classes) in ``multilabel``,
    numbers (n, columns) in a regression; or, of mixed images, a distribution over the classes
    (n, classes), of which class indices are the special case.

    cross_entropy: -sum_c t_c log p_c, with p = softmax(z) and t = 1 - s + s/C for the true class
    and s/C for the others. focal: `softmax_focal`, in multilabel `sigmoid_focal`. bce: the binary
    cross-entropy of each class's own sigmoid, averaged over rows and classes; smoothing moves 0 and
    1 by s/2 towards each other, and in multiclass to s/C and 1 - s + s/C. ordinal: bce for each
    step "the class is above k" (Frank and Hall, "A Simple Approach to Ordinal Classification",
    2001; as one network: Niu et al., "Ordinal Regression with Multiple Output CNN", 2016). mse,
    mae, smooth_l1 (Huber, 1964, delta 1): of numbers standardised by the training rows, averaged
    over rows and columns.

    ``class_weights``, float32 (classes,), w: in multilabel each class's part of a row has its
    weight, sum_c w_c l_c / sum_c w_c, and the rows are averaged. Otherwise it is torch's weighted
    mean, sum_n l_n / sum_n w(n), with w(n) the weight of row n's class, or of mixed images their
    mean (torch itself divides by n there, so that classes and the same classes as distributions
    differ). In cross_entropy and focal w_c is a factor of the term of class c, as in torch; in bce
    and ordinal w(n) is one of the whole row (Cui et al., "Class-Balanced Loss Based on Effective
    Number of Samples", 2019).

    ``row_weights``, float32 (n,), multiply each row's loss and are in no denominator.
    """
    name, s = settings.name, settings.smoothing
    plain = class_weights is None and row_weights is None
    how = "mean" if plain else "none"
    if name in NUMBERS:
        losses = NUMBERS[name](logits, targets, reduction=how)
    elif name == "cross_entropy":
        losses = functional.cross_entropy(
            logits, targets, class_weights, label_smoothing=s, reduction=how
        )
    elif name == "focal" and not multilabel:
        losses = softmax_focal(settings, logits, targets, class_weights)
    else:
        outputs = logits.shape[1]
        if name == "ordinal":
            flags = _steps(targets, outputs).to(logits.dtype) * (1 - s) + s / 2
        elif multilabel:
            flags = targets * (1 - s) + s / 2
        else:
            flags = soft_targets(targets, outputs) * (1 - s) + s / outputs
        if name == "focal":
            losses = sigmoid_focal(settings, logits, flags)
        else:
            losses = functional.binary_cross_entropy_with_logits(logits, flags, reduction=how)
    if plain:
        return losses.mean() if losses.ndim else losses
    by_row = name in ("bce", "ordinal") and not multilabel
    return _weighted(losses, targets, multilabel, by_row, class_weights, row_weights)


def softmax_focal(
    settings: Loss, logits: Tensor, targets: Tensor, class_weights: Tensor | None = None
) -> Tensor:
    """float32 (n,): -a sum_c w_c t_c (1 - p_c)^gamma log p_c, with p = softmax(z).

    For one true class that is formula 5 of Lin et al., "Focal Loss for Dense Object Detection",
    2017, with a = ``loss.focal_alpha`` (1 where it is 0), a factor of all rows. Each class has its
    own (1 - p_c)^gamma, of its probability alone: not (1 - exp(-loss))^gamma of a loss that is
    smoothed or weighted already, as is often written, where exp(-loss) is no probability any more.
    So the loss is linear in t: that of mixed images is the mixture of their losses, and smoothing
    counts however sure a row is.
    """
    outputs, s = logits.shape[1], settings.smoothing
    t = soft_targets(targets, outputs) * (1 - s) + s / outputs
    log_p = functional.log_softmax(logits, dim=1)
    terms = -log_p * t
    if settings.focal_gamma:
        # expm1 is exact for sure rows; the floor spares 0 its slope, which is endless if gamma < 1
        terms = terms * (-torch.expm1(log_p)).clamp_min(1e-12) ** settings.focal_gamma
    if class_weights is not None:
        terms = terms * class_weights
    return (settings.focal_alpha or 1.0) * terms.sum(dim=1)


def sigmoid_focal(settings: Loss, logits: Tensor, flags: Tensor) -> Tensor:
    """float32 (n, classes): -a t (1 - p)^gamma log p - b (1 - t) p^gamma log(1 - p).

    p = sigmoid(z), a = ``loss.focal_alpha`` and b = 1 - a, both 1 where it is 0 (Lin et al., 2017,
    as torchvision's sigmoid_focal_loss for t of 0 and 1); linear in t as `softmax_focal` is. The
    mean is over rows and classes; in the paper's detector it is over the objects.
    """
    alpha, gamma = settings.focal_alpha, settings.focal_gamma
    yes, no = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    positive, negative = flags * yes, (1 - flags) * no
    if gamma:
        positive, negative = positive * (gamma * no).exp(), negative * (gamma * yes).exp()
    if alpha:
        positive, negative = alpha * positive, (1 - alpha) * negative
    return -(positive + negative)


def distillation(
    student: Tensor,
    teacher: Tensor,
    temperature: float,
    softmax: bool,
    row_weights: Tensor | None = None,
) -> Tensor:
    """T^2 KL(teacher || student) of float32 logits (n, outputs), divided by T = ``temperature``.

    Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015: with
    ``softmax``, T^2 sum_c p_c (log p_c - log q_c), p = softmax(teacher / T), q = softmax(student /
    T), averaged over the rows; a mean over rows and classes, as torch's kl_div takes by default and
    an ancestor did, is C times too small beside the other part of the loss. Without, each output is
    a sigmoid of its own: the KL of its yes and no, averaged over rows and outputs as bce is. T^2
    keeps the gradients' size whatever T is. ``row_weights`` as in `loss_of`.
    """
    if softmax:
        log_p = functional.log_softmax(teacher / temperature, dim=1)
        log_q = functional.log_softmax(student / temperature, dim=1)
        losses = functional.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=1)
    else:
        z, y = student / temperature, teacher / temperature
        p, log = y.sigmoid(), functional.logsigmoid
        losses = (p * (log(y) - log(z)) + (1 - p) * (log(-y) - log(-z))).mean(dim=1)
    if row_weights is not None:
        losses = losses * row_weights
    return temperature**2 * losses.mean()


def _weighted(
    losses: Tensor,
    targets: Tensor,
    multilabel: bool,
    by_row: bool,
    class_weights: Tensor | None,
    row_weights: Tensor | None,
) -> Tensor:
    """The mean of losses (n,) or (n, outputs); ``by_row``: they do not know their class's weight.

    (Products and sums instead of a matrix product, which autocast would round.)
    """
    if multilabel and class_weights is not None:
        losses = losses * (class_weights / class_weights.mean())
    if losses.ndim == 2:
        losses = losses.mean(dim=1)
    if row_weights is not None:
        losses = losses * row_weights
    if multilabel or class_weights is None:
        return losses.mean()
    if targets.ndim == 1:
        weights = class_weights[targets]
    else:
        weights = (targets * class_weights).sum(dim=1)
    return (losses * weights if by_row else losses).sum() / weights.sum()


def _steps(targets: Tensor, steps: int) -> Tensor:
    """(n, steps): whether, or how likely, the class is above 0, above 1 …"""
    if targets.ndim == 1:
        return targets[:, None] > torch.arange(steps, device=targets.device)
    place = torch.arange(steps + 1, device=targets.device)
    above = place[:, None] > place[:steps]  # (a cumsum would not be deterministic on a GPU)
    return (targets[:, :, None] * above).sum(dim=1)
