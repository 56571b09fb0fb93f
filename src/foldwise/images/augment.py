"""Whole batches of uint8 images, augmented and normalised on the device that trains.

Parameters are drawn for each image from the device's default generator, so the caller's seed
decides them. Geometry is one gather of whole pixels, or one matrix an image and one sampling;
colour is one matrix an image; then come holes and noise. Nothing waits for the device.
"""

import cv2
import numpy as np
import torch
from torch import Tensor

from foldwise.config import Augment
from foldwise.images import colour, geometry, processor
from foldwise.images.draw import Draw, draw
from foldwise.images.load import to_device
from foldwise.images.parallel import LARGE, in_threads


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
        self.tables = None  # (256, 1, channels): what becomes of each byte, where a CPU looks it up
        if device.type == "cpu":
            bytes_ = torch.arange(256.0)[:, None, None]
            self.tables = bytes_.mul(self.scale).add(self.offset).numpy()

    def __call__(self, images: Tensor) -> Tensor:
        images = to_device(images, self.scale.device)
        large = images[0].numel() >= LARGE
        if self.tables is not None and images.dtype == torch.uint8 and large:
            pixels = self._looked_up(images.contiguous(), self.tables)
        elif images.stride(3) == 1:  # a line at a time is 5 times as fast as three numbers
            batch, height, width, channels = images.shape
            lines = images.reshape(batch, height, width * channels).to(torch.float32, copy=True)
            pixels = lines.mul_(self.scale.repeat(width)).add_(self.offset.repeat(width))
            pixels = pixels.view(images.shape)
        else:
            pixels = torch.addcmul(self.offset, images.float(), self.scale)
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return pixels.permute(0, 3, 1, 2).contiguous(memory_format=layout)

    def _looked_up(self, images: Tensor, tables: np.ndarray) -> Tensor:
        """float32 of the same shape: one pass, in our own threads, and the same bytes."""
        pixels = torch.empty(images.shape)
        source, result, lines = images.numpy(), pixels.numpy(), (-1, *images.shape[2:])

        def look_up(some: slice) -> None:
            cv2.LUT(source[some].reshape(lines), tables, result[some].reshape(lines))

        in_threads(look_up, len(images), images[0].numel())
        return pixels

    def undone(self, pixels: Tensor) -> Tensor:
        """What the network sees as an image: uint8 (batch, height, width, channels)."""
        images = (pixels.permute(0, 2, 3, 1) - self.offset) / self.scale
        return images.round().clamp(0, 255).to(torch.uint8)


def augment(images: Tensor, settings: Augment, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 (batch, height, width, channels) -> the same shape, augmented, pixels 0..255.

    uint8 on a CPU, and where pixels change places alone (flips, quarter turns, shifts, lower
    resolutions); otherwise ``dtype``: places are computed in float32, colours in it (float16 is
    exact to a sixteenth). Quarter turns want square images. What `images.pipeline` does is not
    done here: all with `augment.on=cpu`, otherwise what only the CPU can.
    """
    if settings.on == "cpu":
        return images
    drawn = draw(settings, images.shape, images.device)
    move = processor.moved if images.device.type == "cpu" else geometry.move
    moved = move(images, drawn.moves, settings.border)
    if drawn.exact():
        return moved
    field = None
    if drawn.erasing:  # one for the whole batch: at its own place, each image shows another part
        field = torch.rand(images.shape[1:], device=images.device).permute(2, 0, 1) * 255
    if images.device.type == "cpu":
        return processor.changed(moved, drawn, settings, field)
    return changed(moved, drawn, settings, field, dtype)


def changed(
    images: Tensor, drawn: Draw, settings: Augment, field: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """uint8 images -> ``dtype`` of the same shape, as drawn but for the moves, by tensors.

    ``field``: (channels, height, width), the random pixels that erasing shows.
    """
    pixels = images.permute(0, 3, 1, 2).contiguous()  # a colour matrix wants whole planes
    if drawn.matrix is not None:
        pixels = geometry.warp(pixels.float(), drawn.matrix, settings)
    pixels = pixels.to(dtype)
    if drawn.sigma is not None:
        pixels = colour.blurred(pixels, drawn.sigma)
    pixels = colour.jittered(pixels, drawn.jitter)
    height, width = pixels.shape[2:]
    if drawn.cutout is not None:
        pixels = pixels.masked_fill(colour.mask_of(drawn.cutout, height, width), colour.GRAY)
    if drawn.erasing is not None and field is not None:
        mask = colour.mask_of(drawn.erasing, height, width)
        pixels = torch.where(mask, field.to(dtype), pixels)
    if drawn.noise is not None:
        deviation = drawn.noise[:, None, None, None].to(dtype)
        pixels = torch.randn_like(pixels).mul_(deviation).add_(pixels).clamp_(0, 255)
    return pixels.permute(0, 2, 3, 1)
