"""Flat pixels -> images: which columns of a table are pixels, and what shape a row of them has."""

import math
import re
from collections.abc import Sequence

import numpy as np

from foldwise.errors import FoldwiseError, UsageError

FEWEST = 36  # a table with fewer numbered columns has features, not images
_PREFIX = r"(?:pixel|pixels|pix|px|p|x|v)?[ _.-]*"
_NUMBERED = re.compile(rf"{_PREFIX}(\d+)", re.IGNORECASE)
_BY_PLACE = re.compile(r"(\d+)[x_](\d+)")  # row and column, as in 28x28
SHAPE = re.compile(r"(\d+)x(\d+)(?:x(\d+))?")


def pixel_columns(header: Sequence[str]) -> list[str]:
    """The columns with one pixel each, in the table's order; [] where there are none.

    ``pixel0 … pixel783``, ``0 … 783``, ``1x1 … 28x28`` and their like: a run of numbers without a
    gap from 0 or 1, in the table's order, or each row and column of a grid.
    """
    found = [name for name in header if _BY_PLACE.fullmatch(name.strip())]
    if len(found) < FEWEST:
        matches = {name: _NUMBERED.fullmatch(name.strip()) for name in header}
        found = [name for name, match in matches.items() if match]
        numbers = [int(match[1]) for match in matches.values() if match]
        if numbers and numbers not in (list(range(len(numbers))), list(range(1, len(numbers) + 1))):
            return []
    return found if len(found) >= FEWEST else []


def as_images(flat: np.ndarray, setting: str, source: str) -> np.ndarray:
    """uint8 (n, pixels) -> (n, h, w) or (n, h, w, c), a view where that can be.

    ``setting`` (competition.pixels): HxW, HxWxC, or CxHxW for one plane a channel. Raises
    FoldwiseError where only it could tell, UsageError where it does not fit.
    """
    count, pixels = flat.shape
    if setting:
        height, width, *channels = _shape(setting)
        if height * width * math.prod(channels) != pixels:
            raise UsageError(
                f"competition.pixels={setting} does not fit {source}: a row has {pixels:,} pixels"
            )
        images = flat.reshape(count, height, width, *channels)
        planes = len(channels) and channels[0] not in (1, 3, 4) and height in (1, 3, 4)
        return np.moveaxis(images, 1, 3) if planes else images
    side = math.isqrt(pixels)
    if side * side == pixels:
        return flat.reshape(count, side, side)
    side = math.isqrt(pixels // 3)
    if 3 * side * side == pixels:
        raise FoldwiseError(
            f"{source} has {pixels:,} pixels a row, which can be read in two ways: say "
            f"competition.pixels={side}x{side}x3 (each pixel's red, green and blue side by side) "
            f"or competition.pixels=3x{side}x{side} (all red, then all green, then all blue)"
        )
    pairs = [(h, pixels // h) for h in range(math.isqrt(pixels), 3, -1) if pixels % h == 0]
    ways = [f"{h}x{w}" for h, w in pairs[:2]] + [f"{w}x{h}" for h, w in pairs[:1]]
    raise FoldwiseError(
        f"{source} has {pixels:,} pixels a row, which is no square: say its height and width with "
        f"competition.pixels=HxW{', such as ' + ' or '.join(ways) if ways else ''}"
    )


def channels_last(images: np.ndarray) -> np.ndarray:
    """(n, c, h, w) with one, three or four planes as (n, h, w, c); anything else as it is."""
    planes = images.ndim == 4 and images.shape[3] not in (1, 3, 4) and images.shape[1] in (1, 3, 4)
    return np.moveaxis(images, 1, 3) if planes else images


def as_bytes(values: np.ndarray, source: str) -> np.ndarray:
    """Pixels of any number type as uint8: 0..1 and 0..65535 are scaled, 0..255 is rounded.

    Raises FoldwiseError for values outside of these, or not finite.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * 255
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0 or high > 65535:
        raise FoldwiseError(
            f"{source} has pixels from {low:g} to {high:g}: pixels go from 0 to 255 (or 0 to 1, or "
            "0 to 65535): scale them"
        )
    fraction = values.dtype.kind == "f" and high <= 1
    scale = 255.0 if fraction else 1.0 if high <= 255 else 255 / 65535
    out = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), 1024):  # in parts: floats take eight times the room
        part = values[start : start + 1024]
        out[start : start + 1024] = np.rint(part * scale)
    return out


def _shape(setting: str) -> list[int]:
    match = SHAPE.fullmatch(setting)
    if not match or "0" in match.groups():
        raise UsageError(
            f"competition.pixels={setting} is no shape: write 28x28, 32x32x3 (channels last) or "
            "3x32x32 (channels first)"
        )
    return [int(number) for number in match.groups() if number]
