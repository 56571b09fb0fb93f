"""Whole batches of uint8 images, augmented and normalised on the device that trains."""

import torch
from torch import Tensor

from foldwise.config import Augment


def augment(images: Tensor, settings: Augment) -> Tensor:
    """Flips and shifted crops of uint8 (batch, height, width, channels), in one gather.

    A crop that leaves the image repeats its border. Parameters are drawn for each image from
    the device's default generator, so the caller's seed decides them; there is no synchronisation.
    """
    batch, height, width, _ = images.shape
    rows = _positions(batch, height, settings.shift, settings.vflip, images.device)
    columns = _positions(batch, width, settings.shift, settings.hflip, images.device)
    if rows is None and columns is None:
        return images
    if rows is None:
        rows = torch.arange(height, device=images.device).expand(batch, -1)
    if columns is None:
        columns = torch.arange(width, device=images.device).expand(batch, -1)
    which = torch.arange(batch, device=images.device)
    return images[which[:, None, None], rows[:, :, None], columns[:, None, :]]


def _positions(
    batch: int, side: int, shift: float, flip: float, device: torch.device
) -> Tensor | None:
    """Source positions (batch, side) along one axis, or None where every image stays as it is."""
    reach = int(shift * side)  # whole pixels: a share of less than one moves nothing
    if not reach and not flip:
        return None
    positions = torch.arange(side, device=device).expand(batch, -1)
    if reach:
        offset = torch.randint(-reach, reach + 1, (batch, 1), device=device)
        positions = (positions + offset).clamp(0, side - 1)
    if flip:
        chosen = torch.rand(batch, 1, device=device) < flip
        positions = torch.where(chosen, positions.flip(1), positions)
    return positions


class Normalize:
    """uint8 (batch, height, width, channels) -> float (batch, channels, height, width).

    ``mean`` and ``std``: of each channel, for pixels scaled to 0..1.
    """

    def __init__(
        self, mean: list[float], std: list[float], device: torch.device, channels_last: bool
    ) -> None:
        self.scale = (1 / (255 * torch.tensor(std))).to(device)
        self.offset = (-torch.tensor(mean) / torch.tensor(std)).to(device)
        self.channels_last = channels_last

    def __call__(self, images: Tensor) -> Tensor:
        pixels = images.float().mul_(self.scale).add_(self.offset).permute(0, 3, 1, 2)
        return pixels if self.channels_last else pixels.contiguous()
