"""From images as they are decoded to what the network sees of them, at its own size.

A random part while training, the middle afterwards. Nothing is done where the two sizes are the
same. Parts are whole pixels of the decoded image, resampled once where they are not of the
network's size themselves.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from foldwise.config import Augment
from foldwise.config import Images as Settings
from foldwise.images.decode import resized
from foldwise.images.geometry import draw_crop
from foldwise.images.parallel import in_threads

SMALLER = 1.5  # times: from there on bilinear sampling would pass over pixels


def decode_side(images: Settings) -> int:
    """The side that images are decoded at: images.decode_size, or what images.crop_pct wants."""
    return images.decode_size or round(images.size / images.crop_pct)


def middle(images: Tensor, settings: Settings) -> Tensor:
    """The middle ``crop_pct`` of uint8 (batch, side, side, channels), at images.size."""
    side, size = images.shape[1], settings.size
    if side == size:
        return images
    part = round(side * settings.crop_pct)
    start = (side - part) // 2
    if part == size:
        return images[:, start : start + part, start : start + part]
    box = torch.tensor([start, start, part, part], device=images.device)
    return _seen(images, box.expand(len(images), 4), size)


def random_part(images: Tensor, settings: Settings, augment: Augment) -> tuple[Tensor, Augment]:
    """A part of each uint8 image (batch, side, side, channels), at images.size.

    And what is left of the augmentation: without its random resized crop, which this is; otherwise
    a part is as large as the middle that is predicted from. Drawn from the device's generator.
    """
    side, size, count = images.shape[1], settings.size, len(images)
    if side == size:  # decoded so, or cropped by a pipeline
        return images, augment
    if augment.crop < 1:
        crop = draw_crop(augment, count, images.device)
        augment = replace(augment, crop=1.0)
    else:
        sides = torch.full((2, count), settings.crop_pct, device=images.device)
        places = 2 * torch.rand(2, count, device=images.device) - 1
        crop = torch.cat([sides, places * (1 - sides)])
    width, height, right, down = (crop * side).unbind()
    width, height = width.round().clamp(1, side), height.round().clamp(1, side)
    left, top = ((side + right - width) / 2).round(), ((side + down - height) / 2).round()
    left, top = torch.minimum(left, side - width), torch.minimum(top, side - height)
    boxes = torch.stack([top.clamp(min=0), left.clamp(min=0), height, width], dim=1).long()
    return _seen(images, boxes, size), augment


def _seen(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """uint8 (batch, size, size, channels) of the boxes, int64 (batch, 4): top, left, height, width.

    By OpenCV on a processor, as files are decoded; otherwise bilinear, by several samples a pixel
    where pixels would be passed over.
    """
    if images.device.type != "cpu":
        return _sampled(images, boxes, size)
    result = torch.empty((len(images), size, size, images.shape[3]), dtype=torch.uint8)
    source, target, where = images.numpy(), result.numpy(), boxes.tolist()

    def resize(some: slice) -> None:
        for n in range(some.start, some.stop):
            top, left, height, width = where[n]
            part = source[n, top : top + height, left : left + width]
            target[n] = resized(part, size, size)

    in_threads(resize, len(images), images[0].numel())
    return result


def _sampled(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    side = images.shape[1]
    finer = max(1, math.ceil(side / size / SMALLER))
    count = finer * size
    steps = (torch.arange(count, device=images.device) + 0.5) / count
    top, left, height, width = (boxes[:, n, None].float() for n in range(4))
    grid = images.new_empty((len(images), count, count, 2), dtype=torch.float32)
    grid[..., 0] = (2 * (left + steps * width) / side - 1)[:, None, :]
    grid[..., 1] = (2 * (top + steps * height) / side - 1)[:, :, None]
    planes = images.permute(0, 3, 1, 2).float()
    pixels = functional.grid_sample(planes, grid, padding_mode="border", align_corners=False)
    if finer > 1:
        pixels = functional.avg_pool2d(pixels, finer)
    return pixels.round().to(torch.uint8).permute(0, 2, 3, 1)
