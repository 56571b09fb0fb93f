"""Test-time augmentation: the same image in several views, whose predictions are averaged.

A view takes uint8 images (n, size, size, channels) and gives as many of the same shape. Its name
says what it does: plain; hflip, vflip; rot90, rot180, rot270 (counterclockwise); transpose and
antitranspose (mirrored at a diagonal); shift:DOWN:RIGHT by whole pixels, the border repeated;
zoom:F, the middle F times as large, or smaller with the border repeated.
"""

import re
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from foldwise.errors import UsageError, nearest

View = Callable[[Tensor], Tensor]

_MOORE = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]
D4 = ["plain", "hflip", "vflip", "rot90", "rot180", "rot270", "transpose", "antitranspose"]
SETS = {
    "none": ["plain"],
    "flip": ["plain", "hflip"],
    "flips": ["plain", "hflip", "vflip", "rot180"],
    "d4": D4,
    "crop4": ["plain", "hflip", "zoom:1.143", "vflip"],  # the middle 7 eighths
    "shift16": [f"shift:{step * y}:{step * x}" for step in (1, 2) for y, x in _MOORE],
    "multiscale": ["zoom:0.8", "plain", "zoom:1.2"],
}
# Sets of views that suit photographs: mirrored or not, moved by a sixteenth of the side, larger.
_AROUND = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)]
PARTS = {
    "views8": ["plain", "move:0:1", "move:0:-1", "zoom:1.143"],
    "views16": [*(f"move:{y}:{x}" for y, x in _AROUND), "zoom:1.143", "zoom:1.3", "zoom:0.9"],
}
SIXTEENTH = 16


def views_of(setting: str, size: int) -> dict[str, View]:
    """The views of a set, or of names with commas between, for images of ``size`` pixels a side.

    Each distinct one once. Raises UsageError for a name that is neither.
    """
    if setting in PARTS:
        names = [f"{flip}{part}" for part in PARTS[setting] for flip in ("", "hflip+")]
    else:
        names = SETS.get(setting) or [name.strip() for name in setting.split(",")]
    found: dict[str, View] = {}
    for name in names:
        exact = _in_pixels(name, size)
        found.setdefault(exact, _view(exact, name, setting))
    return found


def canonical(setting: str, size: int) -> str:
    """One text for all that mean the same views: a set's name, or names with commas between.

    Raises UsageError as `views_of`.
    """
    names = list(views_of(setting, size))
    for known in (*SETS, *PARTS):
        if set(views_of(known, size)) == set(names):
            return known
    return ",".join(names)


def file_name(views: str) -> str:
    """Canonical views as a part of files' names: _ for a comma, = for a colon."""
    return views.replace(",", "_").replace(":", "=")


def named_so(name: str) -> str:
    """The views whose `file_name` this is."""
    return name.replace("_", ",").replace("=", ":")


def _in_pixels(name: str, size: int) -> str:
    """move:1:0 is a shift by a sixteenth of the side; hflip+plain is hflip; zoom:1.20 zoom:1.2."""
    match = re.fullmatch(r"(.*)move:(-?\d+):(-?\d+)", name)
    if match:
        step = max(1, round(size / SIXTEENTH))
        name = f"{match[1]}shift:{int(match[2]) * step}:{int(match[3]) * step}"
    name = re.sub(r"shift:(-?\d+):(-?\d+)", lambda m: f"shift:{int(m[1])}:{int(m[2])}", name)
    name = re.sub(r"zoom:(\d*\.?\d+)$", lambda m: f"zoom:{float(m[1]):g}", name)
    name = re.sub(r"shift:0:0$", "plain", name)
    return name.removesuffix("+plain").removeprefix("plain+")


def _view(name: str, said: str, setting: str) -> View:
    if "+" in name:
        parts = [_view(part, said, setting) for part in name.split("+")]
        return lambda images: parts[1](parts[0](images))
    if name in SIMPLE:
        return SIMPLE[name]
    if match := re.fullmatch(r"shift:(-?\d+):(-?\d+)", name):
        down, right = int(match[1]), int(match[2])
        return lambda images: shifted(images, down, right)
    if match := re.fullmatch(r"zoom:(\d*\.?\d+)", name):
        factor = float(match[1])
        if 0.1 <= factor <= 10:
            return lambda images: zoomed(images, factor)
    known = [*SETS, *PARTS, *SIMPLE, "shift:1:0", "zoom:1.2"]
    raise UsageError(
        f"tta.views={setting}: there is no view '{said}'; the sets are "
        f"{', '.join([*SETS, *PARTS])}, the views {', '.join(SIMPLE)}, shift:DOWN:RIGHT and "
        f"zoom:FACTOR{nearest(said, known)}"
    )


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
