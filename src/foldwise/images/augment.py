"""Whole batches of uint8 images, augmented and normalised on the device that trains.

Parameters are drawn for each image from the device's default generator, so the caller's seed
decides them. Geometry is one gather of whole pixels, or one matrix an image and one sampling;
colour is one matrix an image; then come holes and noise. Nothing waits for the device.
"""

from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from foldwise.config import Augment
from foldwise.images import colour, geometry

SLICE = (
    2**20
)  # numbers that a CPU works on at a time: what stays in its caches is not fetched again


class Normalize:
    """Pixels (batch, height, width, channels), 0..255 -> float32 (batch, channels, height, width).

    ``mean`` and ``std``: of each channel, for pixels scaled to 0..1.
    """

    def __init__(
        self, mean: list[float], std: list[float], device: torch.device, channels_last: bool
    ) -> None:
        self.scale = (1 / (255 * torch.tensor(std))).to(device)
        self.offset = (-torch.tensor(mean) / torch.tensor(std)).to(device)
        self.channels_last = channels_last

    def __call__(self, images: Tensor) -> Tensor:
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        if images.is_floating_point():
            pixels = torch.addcmul(self.offset, images.float(), self.scale)
        else:
            pixels = images.float().mul_(self.scale).add_(self.offset)
        return pixels.permute(0, 3, 1, 2).contiguous(memory_format=layout)

    def undone(self, pixels: Tensor) -> Tensor:
        """What the network sees as an image: uint8 (batch, height, width, channels)."""
        images = (pixels.permute(0, 2, 3, 1) - self.offset) / self.scale
        return images.round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class Draw:
    """What happens to each image of a batch: every tensor's first axis is the batch."""

    moves: geometry.Moves
    matrix: Tensor | None
    sigma: Tensor | None
    jitter: colour.Jitter
    cutout: colour.Holes | None
    erasing: colour.Holes | None
    noise: Tensor | None

    def exact(self) -> bool:
        """Whether pixels change places alone."""
        s, j = self, self.jitter
        changes = (s.matrix, s.sigma, s.cutout, s.erasing, s.noise, j.brightness, j.contrast)
        return all(part is None for part in (*changes, j.chroma))


def draw(settings: Augment, shape: torch.Size, on: torch.device) -> Draw:
    """For images of ``shape`` (batch, height, width, channels)."""
    batch, height, width, channels = shape
    return Draw(
        geometry.draw_moves(settings, batch, height, width, on),
        geometry.draw_matrix(settings, batch, height, width, on),
        colour.draw_sigma(settings, batch, on),
        colour.draw_jitter(settings, batch, channels, on),
        colour.draw_cutout(settings, batch, height, width, on),
        colour.draw_erasing(settings, batch, height, width, on),
        colour.draw_noise(settings, batch, on),
    )


def augment(images: Tensor, settings: Augment, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 (batch, height, width, channels) -> the same shape, augmented, pixels 0..255.

    uint8 where pixels change places alone (flips, quarter turns, shifts, lower resolutions),
    otherwise ``dtype``: places are computed in float32, colours in it; float16 is exact to a
    sixteenth. Quarter turns want square images. Its CPU-only settings are `images.pipeline`'s.
    """
    return _augmented(images, settings, dtype, None)


def augment_and_normalize(
    images: Tensor, settings: Augment, normalize: Normalize, dtype: torch.dtype = torch.float32
) -> Tensor:
    """uint8 (batch, height, width, channels) -> what the network takes: see both."""
    return _augmented(images, settings, dtype, normalize)


def _augmented(
    images: Tensor, settings: Augment, dtype: torch.dtype, normalize: Normalize | None
) -> Tensor:
    drawn = draw(settings, images.shape, images.device)
    field = None
    if drawn.erasing:  # one for the whole batch: at its own place, each image shows another part
        field = torch.rand(images.shape[1:], device=images.device).permute(2, 0, 1) * 255
    size = len(images)
    if images.device.type == "cpu" and not drawn.exact():
        size = max(1, SLICE // images[0].numel())
    parts = []
    for start in range(0, len(images), size):
        some = slice(start, start + size)
        whole = size >= len(images)
        part = images if whole else images[some]
        part = _changed(part, drawn if whole else _sliced(drawn, some), settings, field, dtype)
        parts.append(normalize(part) if normalize else part)
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _sliced(part: Any, some: slice) -> Any:
    """A Draw, or a part of it, of some of the images."""
    if is_dataclass(part):
        return type(part)(*(_sliced(getattr(part, item.name), some) for item in fields(part)))  # type: ignore[misc]
    return None if part is None else part[some]


def _changed(
    images: Tensor, drawn: Draw, settings: Augment, field: Tensor | None, dtype: torch.dtype
) -> Tensor:
    images = geometry.move(images, drawn.moves, settings.border)
    if drawn.exact():
        return images
    pixels = images.permute(0, 3, 1, 2).contiguous()  # a colour matrix wants whole planes
    if drawn.matrix is not None:
        pixels = geometry.warp(pixels.float(), drawn.matrix, settings)
    pixels = pixels.to(dtype)
    if drawn.sigma is not None:
        pixels = colour.blurred(pixels, drawn.sigma)
    pixels = colour.jittered(pixels, drawn.jitter)
    height, width = pixels.shape[2:]
    if drawn.cutout is not None:
        pixels.masked_fill_(colour.mask_of(drawn.cutout, height, width), colour.GRAY)
    if drawn.erasing is not None and field is not None:
        mask = colour.mask_of(drawn.erasing, height, width)
        pixels = torch.where(mask, field.to(dtype), pixels)
    if drawn.noise is not None:
        deviation = drawn.noise[:, None, None, None].to(dtype)
        pixels = torch.randn_like(pixels).mul_(deviation).add_(pixels).clamp_(0, 255)
    return pixels.permute(0, 2, 3, 1)
