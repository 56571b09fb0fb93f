"""What was drawn for a batch, done by OpenCV where the device is the CPU.

Faster there than tensors: an image stays uint8 and in the cache, and what does not happen to it
costs nothing. `docs/augmentation.md` has the figures.
"""

import math
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import torch
from torch import Tensor

from foldwise.config import Augment
from foldwise.images import colour
from foldwise.images.draw import Draw

BORDERS = {
    "edge": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT,
    "black": cv2.BORDER_CONSTANT,
}
PARALLEL_FROM = 64 * 64 * 3  # bytes an image: below that, calls cost more than what they do


def changed(images: Tensor, drawn: Draw, settings: Augment, field: Tensor | None) -> Tensor:
    """uint8 (batch, height, width, channels) as drawn; `augment.changed` rounded to uint8.

    ``images`` is changed in place. The noise is drawn from torch's generator, image by image.
    """
    pixels = images.numpy()
    threads = torch.get_num_threads() if images[0].numel() >= PARALLEL_FROM else 1
    parts = np.array_split(np.arange(len(pixels)), min(len(pixels), 4 * threads))
    job = _Job(pixels, drawn, settings, field)
    with ThreadPoolExecutor(threads) as pool:  # (it starts no thread before it has work)
        run = map if threads == 1 else pool.map
        if drawn.matrix is not None or drawn.sigma is not None:
            list(run(job.places, parts))
        list(run(job.colours, parts))
    return images


class _Job:
    """A batch with its draws as arrays; the methods take the numbers of some of its images."""

    def __init__(
        self, pixels: np.ndarray, drawn: Draw, settings: Augment, field: Tensor | None
    ) -> None:
        self.pixels, self.settings, self.jitter = pixels, settings, drawn.jitter
        _, self.height, self.width, channels = pixels.shape
        step = channels if channels in (1, 3) else 3 if channels % 3 == 0 else 1
        self.groups = [slice(n, n + step) for n in range(0, channels, step)]
        self.matrices = None if drawn.matrix is None else self._in_pixels(drawn.matrix)
        self.sigma = None if drawn.sigma is None else drawn.sigma.tolist()
        self.cutout, self.erasing = _edges(drawn.cutout), _edges(drawn.erasing)
        self.field = None if field is None else field.permute(1, 2, 0).byte().numpy()
        self.noise = _noise(drawn.noise, pixels.shape[1:])

    def _in_pixels(self, matrix: Tensor) -> np.ndarray:
        """The matrices between places that are counted in pixels, as OpenCV wants them."""
        x, y = self.width / 2, self.height / 2
        scale = np.array([[x, 0, x - 0.5], [0, y, y - 0.5], [0, 0, 1]])
        return scale @ matrix.double().numpy() @ np.linalg.inv(scale)

    def places(self, numbers: np.ndarray) -> None:
        """Sampling and blur."""
        for n in numbers:
            for group in self.groups:
                part = self.pixels[n, :, :, group]
                if self.matrices is not None:
                    part = self._warped(part, self.matrices[n])
                if self.sigma and self.sigma[n] >= 0.1:
                    reach = 2 * math.ceil(3 * self.sigma[n]) + 1
                    part = cv2.GaussianBlur(part, (reach, reach), self.sigma[n])
                self.pixels[n, :, :, group] = part.reshape(self.height, self.width, -1)

    def _warped(self, part: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        size, border = (self.width, self.height), BORDERS[self.settings.border]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        if self.settings.perspective:
            return cv2.warpPerspective(part, matrix, size, flags=flags, borderMode=border)
        return cv2.warpAffine(part, matrix[:2], size, flags=flags, borderMode=border)

    def colours(self, numbers: np.ndarray) -> None:
        """Colour, holes and noise."""
        first, last = int(numbers[0]), int(numbers[-1]) + 1
        self._jitter(slice(first, last))
        for n, top, left, bottom, right in self.cutout:
            if first <= n < last:
                self.pixels[n, top:bottom, left:right] = colour.GRAY
        for n, top, left, bottom, right in self.erasing:
            if first <= n < last and self.field is not None:
                self.pixels[n, top:bottom, left:right] = self.field[top:bottom, left:right]
        for n, noise in self.noise:
            if first <= n < last:
                flat = self.pixels[n].reshape(self.height, -1)
                cv2.add(flat, noise.reshape(self.height, -1), flat, dtype=cv2.CV_8U)

    def _jitter(self, some: slice) -> None:
        """`colour.jittered`: a matrix for each image, or where no colour turns, a table."""
        pixels, jitter = self.pixels[some], self.jitter
        factor, offset = np.ones(len(pixels)), np.zeros(len(pixels))
        if jitter.brightness is not None:
            factor = factor * jitter.brightness[some].double().numpy()
        if jitter.contrast is not None:
            contrast = jitter.contrast[some].double().numpy()
            offset = (1 - contrast) * factor * self._mean_gray(pixels)
            factor = factor * contrast
        if jitter.chroma is not None:
            turned = jitter.chroma[some].double().numpy() * factor[:, None, None]
            shift = np.broadcast_to(offset[:, None, None], (len(offset), 3, 1))
            matrices = np.concatenate([turned, shift], axis=2)
            if len(self.groups) == 1:  # in place
                for image, matrix in zip(pixels, matrices, strict=True):
                    cv2.transform(image, matrix, image)
            else:
                for group in self.groups:
                    for part, matrix in zip(pixels[..., group], matrices, strict=True):
                        part[:] = cv2.transform(part, matrix)
        elif jitter.brightness is not None or jitter.contrast is not None:
            values = np.arange(256) * factor[:, None] + offset[:, None]
            tables = np.rint(values).clip(0, 255).astype(np.uint8)
            for image, table in zip(pixels, tables, strict=True):
                flat = image.reshape(self.height, -1)
                cv2.LUT(flat, table, flat)

    def _mean_gray(self, pixels: np.ndarray) -> np.ndarray:
        """float64 (n,) of uint8 (n, height, width, channels)."""
        weights = np.zeros(4)  # sumElems gives four sums, whatever the channels
        step = self.groups[0].stop
        weights[:step] = colour.LUMA if step == 3 else 1
        gray = np.zeros(len(pixels))
        for group in self.groups:
            gray += np.array(list(map(cv2.sumElems, pixels[..., group]))) @ weights
        return gray / (len(self.groups) * self.height * self.width)


def _edges(holes: "colour.Holes | None") -> list[list[int]]:
    """image, top, left, bottom, right of each hole that there is, cut off at the beginnings."""
    if holes is None:
        return []
    sides = torch.stack([holes.top, holes.left, holes.bottom, holes.right], dim=2).clamp_(min=0)
    image, hole = (holes.bottom > holes.top).nonzero(as_tuple=True)
    return torch.cat([image[:, None], sides[image, hole].long()], dim=1).tolist()


def _noise(deviations: Tensor | None, shape: tuple[int, ...]) -> list[tuple[int, np.ndarray]]:
    """Noise for the images that have any, with their numbers, drawn in their order."""
    chosen = [] if deviations is None else deviations.tolist()
    return [(n, (torch.randn(shape) * s).numpy()) for n, s in enumerate(chosen) if s]
