"""Colours, blur, holes and noise of whole batches: float (batch, channels, height, width), 0..255.

Everything is drawn for each image from the device's default generator; nothing waits for the
device. Channels in threes are taken for RGB; others have brightness and contrast alone.
"""

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from foldwise.config import Augment

LUMA = (0.299, 0.587, 0.114)  # of gray, ITU-R BT.601
# Luma I Q from R G B (NTSC): hue turns the plane of I and Q, and leaves luma as it is.
YIQ = (LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
GRAY = 128  # of holes: near the mean of most images, as the zeros of the paper


@dataclass(frozen=True)
class Jitter:
    """Factors (batch,) of each image; None stands for all images as they are."""

    brightness: Tensor | None
    contrast: Tensor | None
    chroma: Tensor | None  # (batch, 3, 3): saturation and hue


def draw_jitter(settings: Augment, batch: int, channels: int, on: torch.device) -> Jitter:
    """Brightness, contrast, saturation and hue of each image."""
    s, coloured = settings, channels % 3 == 0
    if not (s.brightness or s.contrast or (coloured and (s.saturation or s.hue))):
        return Jitter(None, None, None)
    chosen = torch.rand(batch, device=on) < s.jitter_prob

    def drawn(reach: float, rest: float) -> Tensor:
        values = rest + reach * (2 * torch.rand(batch, device=on) - 1)
        return torch.where(chosen, values, rest)

    chroma = None
    if coloured and (s.saturation or s.hue):
        chroma = _chroma(drawn(s.saturation, 1.0), 2 * math.pi * drawn(s.hue, 0.0))
    return Jitter(
        drawn(s.brightness, 1.0) if s.brightness else None,
        drawn(s.contrast, 1.0) if s.contrast else None,
        chroma,
    )


def _chroma(saturation: Tensor, angle: Tensor) -> Tensor:
    """(batch, 3, 3): what is not gray, made stronger and turned about the gray axis.

    Hue is turned in YIQ, where that is linear; HSV's hue, which is not, differs a little.
    """
    kept, same, turned = _parts().to(angle.device, non_blocking=True)
    straight = (saturation * angle.cos())[:, None, None]
    across = (saturation * angle.sin())[:, None, None]
    return kept + straight * same + across * turned


@cache
def _parts() -> Tensor:
    """float32 (3, 3, 3): the matrices that give a colour's gray, the rest, and that rest turned."""
    to_yiq = torch.tensor(YIQ, dtype=torch.float64)
    quarter = torch.tensor([[0.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)
    gray = torch.tensor(LUMA, dtype=torch.float64).expand(3, 3)
    return torch.stack([gray, torch.eye(3) - gray, to_yiq.inverse() @ quarter @ to_yiq]).float()


def jittered(pixels: Tensor, jitter: Jitter) -> Tensor:
    """Brightness, contrast, saturation, hue, in this order, as one matrix for each image.

    Contrast is about the image's mean gray, as torchvision's. Clamped once, at the end.
    """
    batch, channels = pixels.shape[:2]
    if jitter.brightness is None and jitter.contrast is None and jitter.chroma is None:
        return pixels
    factor, offset = pixels.new_ones(batch, dtype=torch.float32), None
    if jitter.brightness is not None:
        factor = factor * jitter.brightness
    if jitter.contrast is not None:
        offset = (1 - jitter.contrast) * factor * _mean_gray(pixels)
        factor = factor * jitter.contrast
    offset = torch.zeros_like(factor) if offset is None else offset
    if jitter.chroma is None:
        factor, offset = (x[:, None, None, None].to(pixels.dtype) for x in (factor, offset))
        return torch.addcmul(offset, pixels, factor).clamp_(0, 255)
    matrix = (jitter.chroma * factor[:, None, None]).to(pixels.dtype)
    images = channels // 3  # several that are stacked share their matrix
    matrix = matrix.repeat_interleave(images, dim=0)
    offset = offset.to(pixels.dtype).repeat_interleave(images)[:, None, None]
    colours = torch.baddbmm(offset, matrix, pixels.reshape(batch * images, 3, -1))
    return colours.clamp_(0, 255).view(pixels.shape)


def _mean_gray(pixels: Tensor) -> Tensor:
    """float32 (batch,)."""
    means = pixels.mean(dim=(2, 3), dtype=torch.float32)
    if pixels.shape[1] % 3:
        return means.mean(dim=1)
    luma = sum(weight * means[:, n::3] for n, weight in enumerate(LUMA))
    assert isinstance(luma, Tensor)
    return luma.mean(dim=1)


def draw_sigma(settings: Augment, batch: int, on: torch.device) -> Tensor | None:
    """float32 (batch,): each image's blur in pixels, next to 0 for none; None: no blur at all."""
    if not settings.blur:
        return None
    sigma = 0.1 + (settings.blur_sigma - 0.1) * torch.rand(batch, device=on)
    return torch.where(torch.rand(batch, device=on) < settings.blur, sigma, 0.01)


def blurred(pixels: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur with each image's own sigma (batch,), as a product with a matrix a side.

    No kernel is cut off; beyond the border nothing counts.
    """
    height, width = pixels.shape[2:]
    columns = _smoothing(width, sigma).to(pixels.dtype)[:, None]
    rows = columns if height == width else _smoothing(height, sigma).to(pixels.dtype)[:, None]
    return rows @ (pixels @ columns.transpose(2, 3))


def _smoothing(side: int, sigma: Tensor) -> Tensor:
    """(batch, side, side): the weight of each pixel of a line for each; rows sum to 1."""
    place = torch.arange(side, device=sigma.device)
    distance = (place[:, None] - place).abs() / sigma[:, None, None]
    return (-0.5 * distance.square()).softmax(dim=2)


@dataclass(frozen=True)
class Holes:
    """Edges (batch, holes) of rectangles in pixels, the far ones outside; not all are whole."""

    top: Tensor
    left: Tensor
    bottom: Tensor
    right: Tensor


def draw_cutout(
    settings: Augment, batch: int, height: int, width: int, on: torch.device
) -> Holes | None:
    """Gray squares anywhere, cut off by the border (DeVries and Taylor, "Cutout", 2017).

    One to ``cutout_holes`` of them in an image that has any.
    """
    if not settings.cutout:
        return None
    shape = (batch, settings.cutout_holes)
    count = torch.randint(1, settings.cutout_holes + 1, (batch, 1), device=on)
    count = count * (torch.rand(batch, 1, device=on) < settings.cutout)
    there = torch.arange(settings.cutout_holes, device=on) < count
    top, bottom = _span(torch.rand(shape, device=on), settings.cutout_size, height)
    left, right = _span(torch.rand(shape, device=on), settings.cutout_size, width)
    return Holes(top, left, torch.where(there, bottom, top), right)


def _span(centre: Tensor, share: float, side: int) -> tuple[Tensor, Tensor]:
    """Begin and end of ``share`` of a side about ``centre`` (0..1)."""
    length = max(1, round(share * side))
    begin = (centre * side).floor() - length // 2
    return begin, begin + length


def draw_erasing(
    settings: Augment, batch: int, height: int, width: int, on: torch.device
) -> Holes | None:
    """One rectangle inside the image: from 2 % of its area, sides from 0.3 to 3.3.

    (Zhong et al., "Random Erasing Data Augmentation", 2017.)
    """
    if not settings.erase:
        return None
    area = 0.02 + (settings.erase_area - 0.02) * torch.rand(batch, 1, device=on)
    longer = (math.log(3.3) * (torch.rand(batch, 1, device=on) - 0.5)).exp()
    chosen = torch.rand(batch, 1, device=on) < settings.erase
    tall = (area.sqrt() * longer * height).round().clamp(1, height) * chosen
    wide = (area.sqrt() / longer * width).round().clamp(1, width)
    top = (torch.rand(batch, 1, device=on) * (height - tall + 1)).floor()
    left = (torch.rand(batch, 1, device=on) * (width - wide + 1)).floor()
    return Holes(top, left, top + tall, left + wide)


def mask_of(holes: Holes, height: int, width: int) -> Tensor:
    """bool (batch, 1, height, width): true inside a rectangle."""
    y = torch.arange(height, device=holes.top.device)[:, None, None]
    x = torch.arange(width, device=holes.top.device)[:, None]
    rows = (y >= holes.top[:, None, None]) & (y < holes.bottom[:, None, None])
    columns = (x >= holes.left[:, None, None]) & (x < holes.right[:, None, None])
    mask = rows[..., 0] & columns[..., 0]
    for n in range(1, holes.top.shape[1]):
        mask |= rows[..., n] & columns[..., n]
    return mask.reshape(-1, 1, height, width)


def draw_noise(settings: Augment, batch: int, on: torch.device) -> Tensor | None:
    """float32 (batch,): each image's standard deviation, 0..255; None: no noise at all."""
    if not settings.noise:
        return None
    chosen = torch.rand(batch, device=on) < settings.noise
    return 255 * settings.noise_std * torch.rand(batch, device=on) * chosen
