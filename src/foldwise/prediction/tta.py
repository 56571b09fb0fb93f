"""Test-time augmentation: the same image in several views, whose predictions are averaged.

A view takes uint8 images (n, size, size, channels) and gives as many of the same shape; `views` has
their names.
"""

import re
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from foldwise.prediction.views import SHIFT, names_of

View = Callable[[Tensor], Tensor]


def views_of(setting: str, size: int) -> dict[str, View]:
    """The views that `views.names_of` names, by these names. Raises UsageError as that does."""
    return {name: _view(name) for name in names_of(setting, size)}


def _view(name: str) -> View:
    if "+" in name:
        first, rest = map(_view, name.split("+", 1))
        return lambda images: rest(first(images))
    if name in SIMPLE:
        return SIMPLE[name]
    if match := re.fullmatch(SHIFT, name):
        down, right = int(match[1]), int(match[2])
        return lambda images: shifted(images, down, right)
    factor = float(name.removeprefix("zoom:"))
    return lambda images: zoomed(images, factor)


SIMPLE: dict[str, View] = {
    "plain": lambda images: images,
    "hflip": lambda images: images.flip(2),
    "vflip": lambda images: images.flip(1),
    "rot90": lambda images: images.rot90(1, (1, 2)),
    "rot180": lambda images: images.flip(1, 2),
    "rot270": lambda images: images.rot90(3, (1, 2)),
    "transpose": lambda images: images.transpose(1, 2),
    "antitranspose": lambda images: images.transpose(1, 2).flip(1, 2),
}


def shifted(images: Tensor, down: int, right: int) -> Tensor:
    """Moved by whole pixels; what comes in repeats the border."""
    _, height, width, _ = images.shape
    rows = (torch.arange(height, device=images.device) - down).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) - right).clamp(0, width - 1)
    return images[:, rows][:, :, columns]


def zoomed(images: Tensor, factor: float) -> Tensor:
    """The middle, ``factor`` times as large, bilinear; what comes in repeats the border."""
    count, height, width, _ = images.shape
    matrix = torch.eye(2, 3, device=images.device) / factor
    grid = functional.affine_grid(
        matrix.expand(count, 2, 3), [count, 1, height, width], align_corners=False
    )
    planes = images.permute(0, 3, 1, 2).float()
    if factor < 1:  # smaller: what falls between the sampled pixels is averaged first
        sides = (max(1, round(height * factor)), max(1, round(width * factor)))
        small = functional.interpolate(planes, sides, mode="bilinear", antialias=True)
        planes = functional.interpolate(small, (height, width), mode="bilinear")
    zoomed = functional.grid_sample(
        planes, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return zoomed.round().to(torch.uint8).permute(0, 2, 3, 1)
