"""MixUp and CutMix on the device: two images as one, and their labels in the same shares."""

import torch
from torch import Tensor

from foldwise.config import Augment
from foldwise.images.load import to_device


def mix(pixels: Tensor, targets: Tensor, settings: Augment, step: int) -> tuple[Tensor, Tensor]:
    """Float (batch, channels, height, width) and soft targets (batch, outputs), each mixed.

    MixUp (Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018) weighs all pixels
    alike, CutMix (Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers", 2019)
    with 0 inside a box and 1 outside, so both are one interpolation; the labels' share is the mean
    of the weights. Each image's partner is its neighbour: the order of a batch is random already.
    ``step`` counts the training's steps, for mixup and cutmix by turns.
    """
    if not mixes(settings) or len(pixels) == 1:
        return pixels, targets
    weights = draw_weights(settings, pixels.shape, step, pixels.device)
    share = weights.mean(dim=(2, 3), dtype=torch.float64).float()
    mixed = torch.lerp(pixels.roll(1, 0), pixels, weights.to(pixels.dtype))
    return mixed, torch.lerp(targets.roll(1, 0), targets, share)


def mix_weighted(
    pixels: Tensor, targets: Tensor, weights: Tensor, settings: Augment, step: int
) -> tuple[Tensor, Tensor, Tensor]:
    """`mix` for rows with ``weights`` (batch,) in the loss: pixels, targets and weights, mixed.

    With the shares a and b of a pair, the row weighs a w + b v and its target is their mean by
    these weights, so that its loss is a w loss(own) + b v loss(other) in every loss that is linear
    in its targets (in the squared error of a regression but for a constant).
    """
    both = torch.cat([targets * weights[:, None], weights[:, None]], dim=1)
    pixels, both = mix(pixels, both, settings, step)
    targets, weights = both[:, :-1], both[:, -1]
    return pixels, targets / weights.clamp_min(1e-12)[:, None], weights


def mixes(settings: Augment) -> bool:
    return bool((settings.mixup or settings.cutmix) and settings.mix_prob)


def soft_targets(targets: Tensor, classes: int) -> Tensor:
    """Class indices int64 (n,) -> float32 (n, classes); what is soft already stays as it is."""
    if targets.ndim == 2:
        return targets
    # (one_hot would look at the indices, and so wait for the device)
    return (targets[:, None] == torch.arange(classes, device=targets.device)).float()


def draw_weights(settings: Augment, shape: torch.Size, step: int, on: torch.device) -> Tensor:
    """float32 (batch, 1, height, width): what each pixel keeps of its own image.

    (1 for the batch where ``mix_by`` is batch, and 1 for the sides where no box is drawn.)
    """
    batch, _, height, width = shape
    count = batch if settings.mix_by == "image" else 1
    spared = torch.rand(count, device=on) >= settings.mix_prob
    weights = blend = None
    if settings.mixup:
        blend = _beta(settings.mixup, count, on).masked_fill(spared, 1.0)[:, None, None, None]
        weights = blend
    if settings.cutmix:
        outside = (~_box(_beta(settings.cutmix, count, on), height, width)).float()
        weights = box = torch.where(spared[:, None, None, None], 1.0, outside)
    if blend is not None and settings.cutmix:
        if settings.mix_both == "alternate":
            return box if step % 2 else blend.expand_as(box)
        weights = torch.where(torch.rand(count, 1, 1, 1, device=on) < 0.5, box, blend)
    assert weights is not None
    return weights


def _beta(alpha: float, count: int, on: torch.device) -> Tensor:
    """Shares (count,) from Beta(alpha, alpha), drawn by the CPU: not every device can."""
    parameter = torch.full((count,), alpha)
    return to_device(torch.distributions.Beta(parameter, parameter).sample(), on)


def _box(share: Tensor, height: int, width: int) -> Tensor:
    """bool (n, 1, height, width): true in a box of area 1 - ``share`` anywhere, cut off outside."""
    size = (1 - share).sqrt()
    sides = []
    for length in (height, width):
        middle = (torch.rand(len(share), device=share.device) * length).floor()
        half = (size * length / 2).floor()
        place = torch.arange(length, device=share.device)
        sides.append((place >= (middle - half)[:, None]) & (place < (middle + half)[:, None]))
    return (sides[0][:, :, None] & sides[1][:, None, :])[:, None]
