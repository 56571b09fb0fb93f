"""What was drawn for a batch, done by OpenCV where the device is the CPU.

Faster there than tensors: an image stays uint8 and in the cache, and what does not happen to it
costs nothing. `docs/augmentation.md` has the figures.
"""

import math

import cv2
import numpy as np
import torch
from torch import Tensor

from foldwise.config import Augment
from foldwise.images import colour
from foldwise.images.draw import Draw
from foldwise.images.geometry import Moves, blackened, move, sources
from foldwise.images.parallel import LARGE, in_threads

BORDERS = {
    "edge": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT,
    "black": cv2.BORDER_CONSTANT,
}
# OpenCV 5 samples four channels in half the time of three, and gives the same bytes; the pixels
# from which that is more than what the fourth one costs. OpenCV 4 takes the same time for both.
FOUR_FROM = 48 * 48 if int(cv2.__version__.split(".")[0]) >= 5 else math.inf
ROWS = 2**15 - 1  # of an image, the most that OpenCV can name


def moved(images: Tensor, moves: Moves, border: str) -> Tensor:
    """`geometry.move`: many images are one tall one, whose pixels are named by row and column."""
    batch, height, width, channels = images.shape
    if moves.columns is None or height * width * channels < LARGE:
        return move(images, moves, border)
    rows, columns = sources(moves, images.shape, images.device)
    down, along = rows.int().numpy() << 16, columns.int().numpy()  # a row above, a column below
    if moves.turned is not None:  # in a transposed image these have changed places
        turned = moves.turned.numpy()[:, None]
        down, along = np.where(turned, down >> 16, down), np.where(turned, along << 16, along)
    result = torch.empty(images.shape, dtype=torch.uint8)
    source, target = images.contiguous().numpy(), result.numpy()
    at_once, nothing = ROWS // height, np.empty(0, np.uint16)

    def remap(some: slice) -> None:
        for start in range(some.start, some.stop, at_once):
            part = slice(start, min(start + at_once, some.stop))
            first = np.arange(part.stop - start, dtype=np.int32)[:, None] * (height << 16)
            places = (down[part] + first)[:, :, None] + along[part, None, :]
            tall, pairs = (-1, width, channels), places.view(np.int16).reshape(-1, width, 2)
            many, into = source[part].reshape(tall), target[part].reshape(tall)
            cv2.remap(many, pairs, nothing, cv2.INTER_NEAREST, into)

    in_threads(remap, batch, height * width * channels)
    return blackened(result, moves) if border == "black" else result


def changed(images: Tensor, drawn: Draw, settings: Augment, field: Tensor | None) -> Tensor:
    """uint8 (batch, height, width, channels) as drawn; `augment.changed` rounded to uint8.

    ``images`` stay as they are. The noise is drawn from torch's generator, image by image.
    """
    channels = images.shape[3]
    step = channels if channels in (1, 3) else 3 if channels % 3 == 0 else 1
    # (batch, groups, height, width, step): OpenCV is given RGB or gray, one after the other.
    source = images.unflatten(3, (-1, step)).permute(0, 3, 1, 2, 4).contiguous()
    result = torch.empty_like(source)
    job = _Job(source.numpy(), result.numpy(), drawn, settings, field)
    in_threads(job.change, len(images), images[0].numel())
    return result.permute(0, 2, 3, 1, 4).flatten(3)


class _Job:
    """A batch with its draws as arrays; the methods take a slice of its images."""

    def __init__(
        self, source: np.ndarray, result: np.ndarray, drawn: Draw, settings: Augment,
        field: Tensor | None,
    ) -> None:  # fmt: skip
        self.source, self.result, self.settings = source, result, settings
        _, self.groups, self.height, self.width, self.step = source.shape
        self.matrices = None if drawn.matrix is None else self._in_pixels(drawn.matrix)
        self.sigma = None if drawn.sigma is None else drawn.sigma.numpy()
        self.jitter = drawn.jitter
        self.cutout, self.erasing = _edges(drawn.cutout), _edges(drawn.erasing)
        self.field = None if field is None else self._grouped(field.permute(1, 2, 0).byte())
        shape = (self.height, self.width, self.groups * self.step)
        self.noise = {n: self._grouped(noise) for n, noise in _noise(drawn.noise, shape)}

    def _grouped(self, image: Tensor) -> np.ndarray:
        """(height, width, channels) as (groups, height, width, step)."""
        return image.unflatten(2, (-1, self.step)).permute(2, 0, 1, 3).contiguous().numpy()

    def _in_pixels(self, matrix: Tensor) -> np.ndarray:
        """The matrices between places that are counted in pixels, as OpenCV wants them."""
        x, y = self.width / 2, self.height / 2
        scale = np.array([[x, 0, x - 0.5], [0, y, y - 0.5], [0, 0, 1]])
        return scale @ matrix.double().numpy() @ np.linalg.inv(scale)

    def change(self, some: slice) -> None:
        """All that happens to some of the images, while they are in the processor's cache."""
        result = self.result[some]
        now = self.source[some]  # as far as it has come
        if self.matrices is not None:
            now = self._warped(now, self.matrices[some], result)
        if self.sigma is not None:
            now = self._blurred(now, self.sigma[some], result)
        now = self._jittered(now, some, result)
        if now is not result:
            result[:] = now
        for n, image in enumerate(result, some.start):
            for top, left, bottom, right in self.cutout.get(n, ()):
                image[:, top:bottom, left:right] = colour.GRAY
            for top, left, bottom, right in self.erasing.get(n, ()):
                assert self.field is not None
                image[:, top:bottom, left:right] = self.field[:, top:bottom, left:right]
            if n in self.noise:
                flat = image.reshape(-1, self.width * self.step)
                cv2.add(flat, self.noise[n].reshape(flat.shape), flat, dtype=cv2.CV_8U)

    def _flat(self, images: np.ndarray) -> np.ndarray:
        return images.reshape(-1, self.height, self.width, self.step)

    def _warped(self, now: np.ndarray, matrices: np.ndarray, result: np.ndarray) -> np.ndarray:
        size, border = (self.width, self.height), BORDERS[self.settings.border]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        matrices = matrices.repeat(self.groups, axis=0)
        sample = cv2.warpPerspective if self.settings.perspective else cv2.warpAffine
        if sample is cv2.warpAffine:
            matrices = matrices[:, :2]
        four = self.step == 3 and self.height * self.width >= FOUR_FROM
        for part, matrix, into in zip(self._flat(now), matrices, self._flat(result), strict=True):
            if four:
                rgba = cv2.cvtColor(part, cv2.COLOR_RGB2RGBA)
                rgba = sample(rgba, matrix, size, None, flags, border)
                cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB, into)
            else:
                sample(part, matrix, size, into, flags, border)
        return result

    def _blurred(self, now: np.ndarray, sigmas: np.ndarray, result: np.ndarray) -> np.ndarray:
        if now is not result:
            result[:] = now
        for image, sigma in zip(result, sigmas.tolist(), strict=True):
            if sigma >= 0.1:
                reach = 2 * math.ceil(3 * sigma) + 1
                for part in image:
                    part[:] = cv2.GaussianBlur(part, (reach, reach), sigma).reshape(part.shape)
        return result

    def _jittered(self, now: np.ndarray, some: slice, result: np.ndarray) -> np.ndarray:
        """`colour.jittered`: a matrix for each image, or where no colour turns, a table."""
        jitter = self.jitter
        if jitter.brightness is None and jitter.contrast is None and jitter.chroma is None:
            return now
        factor, offset = np.ones(len(now)), np.zeros(len(now))
        if jitter.brightness is not None:
            factor = factor * jitter.brightness[some].double().numpy()
        if jitter.contrast is not None:
            contrast = jitter.contrast[some].double().numpy()
            offset = (1 - contrast) * factor * self._mean_gray(now)
            factor = factor * contrast
        parts, into = self._flat(now), self._flat(result)
        if jitter.chroma is not None:
            matrices = np.empty((len(now), 3, 4))
            matrices[:, :, :3] = jitter.chroma[some].numpy() * factor[:, None, None]
            matrices[:, :, 3] = offset[:, None]
            matrices = matrices.repeat(self.groups, axis=0)
            for part, matrix, to in zip(parts, matrices, into, strict=True):
                cv2.transform(part, matrix, to)
        else:
            values = np.arange(256) * factor[:, None] + offset[:, None]
            tables = np.rint(values).clip(0, 255).astype(np.uint8).repeat(self.groups, axis=0)
            for part, table, to in zip(parts, tables, into, strict=True):
                cv2.LUT(part.reshape(self.height, -1), table, to.reshape(self.height, -1))
        return result

    def _mean_gray(self, images: np.ndarray) -> np.ndarray:
        """float64 (n,) of uint8 (n, groups, height, width, step)."""
        weights = np.zeros(4)  # sumElems gives four sums, whatever the channels
        weights[: self.step] = colour.LUMA if self.step == 3 else 1
        gray = np.array(list(map(cv2.sumElems, self._flat(images)))) @ weights
        return gray.reshape(len(images), -1).mean(axis=1) / (self.height * self.width)


def _edges(holes: "colour.Holes | None") -> dict[int, list[list[int]]]:
    """{image: [top, left, bottom, right of each hole that it has]}, cut off at the beginnings."""
    found: dict[int, list[list[int]]] = {}
    if holes is not None:
        sides = torch.stack([holes.top, holes.left, holes.bottom, holes.right], 2).clamp_(min=0)
        image, hole = (holes.bottom > holes.top).nonzero(as_tuple=True)
        for n, edges in zip(image.tolist(), sides[image, hole].int().tolist(), strict=True):
            found.setdefault(n, []).append(edges)
    return found


def _noise(deviations: Tensor | None, shape: tuple[int, ...]) -> list[tuple[int, Tensor]]:
    """Noise for the images that have any, with their numbers, drawn in their order."""
    chosen = [] if deviations is None else deviations.tolist()
    return [(n, torch.randn(shape) * s) for n, s in enumerate(chosen) if s]
