"""What was drawn for a batch, done by OpenCV where the device is the CPU.

Faster there than tensors: an image stays uint8 and in the cache, and what does not happen to it
costs nothing. `docs/augmentation.md` has the figures.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor

from foldwise.config import Augment
from foldwise.images import colour

if TYPE_CHECKING:
    from foldwise.images.augment import Draw

BORDERS = {
    "edge": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT,
    "black": cv2.BORDER_CONSTANT,
}
PARALLEL_FROM = 64 * 64 * 3  # bytes an image: below that, calls cost more than what they do


def changed(images: Tensor, drawn: "Draw", settings: Augment, field: Tensor | None) -> Tensor:
    """uint8 (batch, height, width, channels) as drawn; `augment._changed` rounded to uint8.

    ``images`` is changed in place. The noise is drawn from torch's generator, image by image.
    """
    job = _Job(images.numpy(), drawn, settings, field)
    numbers = range(len(images))
    threads = torch.get_num_threads()
    if threads == 1 or images[0].numel() < PARALLEL_FROM:
        for n in numbers:
            job.places(n)
        job.measure()
        for n in numbers:
            job.colours(n)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(job.places, numbers))
            job.measure()
            list(pool.map(job.colours, numbers))
    return images


class _Job:
    """A batch with its draws as arrays; a method's threads touch different images."""

    def __init__(
        self, pixels: np.ndarray, drawn: "Draw", settings: Augment, field: Tensor | None
    ) -> None:
        self.pixels, self.settings, self.jitter = pixels, settings, drawn.jitter
        _, self.height, self.width, channels = pixels.shape
        step = channels if channels in (1, 3) else 3 if channels % 3 == 0 else 1
        self.groups = [slice(n, n + step) for n in range(0, channels, step)]
        self.matrices = None if drawn.matrix is None else self._in_pixels(drawn.matrix)
        self.sigma = None if drawn.sigma is None else drawn.sigma.tolist()
        self.cutout, self.erasing = _edges(drawn.cutout), _edges(drawn.erasing)
        self.field = None if field is None else field.permute(1, 2, 0).byte().numpy()
        self.noise = None if drawn.noise is None else _noise(drawn.noise, pixels.shape[1:])

    def _in_pixels(self, matrix: Tensor) -> np.ndarray:
        """The matrices between places that are counted in pixels, as OpenCV wants them."""
        x, y = self.width / 2, self.height / 2
        scale = np.array([[x, 0, x - 0.5], [0, y, y - 0.5], [0, 0, 1]])
        return scale @ matrix.double().numpy() @ np.linalg.inv(scale)

    def places(self, n: int) -> None:
        """Sampling and blur."""
        image = self.pixels[n]
        for group in self.groups:
            part = image[:, :, group]
            if self.matrices is not None:
                part = self._warped(part, self.matrices[n])
            if self.sigma and self.sigma[n] >= 0.1:
                reach = 2 * math.ceil(3 * self.sigma[n]) + 1
                part = cv2.GaussianBlur(part, (reach, reach), self.sigma[n])
            if self.matrices is not None or self.sigma:
                image[:, :, group] = part.reshape(self.height, self.width, -1)

    def _warped(self, part: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        size, border = (self.width, self.height), BORDERS[self.settings.border]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        if self.settings.perspective:
            return cv2.warpPerspective(part, matrix, size, flags=flags, borderMode=border)
        return cv2.warpAffine(part, matrix[:2], size, flags=flags, borderMode=border)

    def measure(self) -> None:
        """The matrix or the factor and offset of each image, which need its mean gray."""
        factor, offset, chroma = np.ones(len(self.pixels)), None, self.jitter.chroma
        if self.jitter.brightness is not None:
            factor = factor * self.jitter.brightness.double().numpy()
        if self.jitter.contrast is not None:
            contrast = self.jitter.contrast.double().numpy()
            offset = (1 - contrast) * factor * self._mean_gray()
            factor = factor * contrast
        offset = np.zeros_like(factor) if offset is None else offset
        self.matrix, self.tables = None, None
        if chroma is not None:
            turned = chroma.double().numpy() * factor[:, None, None]
            shift = np.broadcast_to(offset[:, None, None], (len(offset), 3, 1))
            self.matrix = np.concatenate([turned, shift], axis=2)
        elif self.jitter.brightness is not None or self.jitter.contrast is not None:
            values = np.arange(256) * factor[:, None] + offset[:, None]
            self.tables = np.rint(values).clip(0, 255).astype(np.uint8)

    def _mean_gray(self) -> np.ndarray:
        batch, channels = len(self.pixels), self.pixels.shape[3]
        weights = colour.LUMA if channels % 3 == 0 else (1.0,)
        lines = self.pixels.reshape(batch, -1, channels)
        sums = np.empty((batch, channels))
        for group in self.groups:
            part = np.ascontiguousarray(lines[:, :, group])
            sums[:, group] = cv2.reduce(part, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S).reshape(
                batch, -1
            )
        means = sums.reshape(batch, -1, len(weights)) / lines.shape[1]
        return (means @ np.array(weights)).mean(axis=1)

    def colours(self, n: int) -> None:
        """Colour, holes and noise."""
        image = self.pixels[n]
        if self.matrix is not None:
            for group in self.groups:
                image[:, :, group] = cv2.transform(image[:, :, group], self.matrix[n])
        elif self.tables is not None:
            image[:] = cv2.LUT(image, self.tables[n]).reshape(image.shape)
        for top, left, bottom, right in self.cutout[n] if self.cutout else ():
            image[top:bottom, left:right] = colour.GRAY
        for top, left, bottom, right in self.erasing[n] if self.erasing else ():
            assert self.field is not None
            image[top:bottom, left:right] = self.field[top:bottom, left:right]
        noise = self.noise[n] if self.noise else None
        if noise is not None:
            noisy = cv2.add(image.ravel(), noise.ravel(), dtype=cv2.CV_8U)
            image[:] = noisy.reshape(image.shape)


def _edges(holes: "colour.Holes | None") -> list[list[list[int]]] | None:
    """top, left, bottom, right of each hole of each image, inside the image's beginning."""
    if holes is None:
        return None
    sides = torch.stack([holes.top, holes.left, holes.bottom, holes.right], dim=2)
    return sides.clamp(min=0).int().tolist()


def _noise(deviations: Tensor, shape: tuple[int, ...]) -> list[np.ndarray | None]:
    """Noise for the images that have any, drawn in their order, by no thread."""
    return [(torch.randn(shape) * s).numpy() if s else None for s in deviations.tolist()]
