"""Augmentation on the CPU: albumentations, one image at a time, in a few threads.

Each image's random numbers come from the seed, the fold, the epoch and its row, so that threads,
epochs and folds never repeat each other's, and a run that was stopped goes on as it would have.
"""

import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foldwise.config import Augment, Images
from foldwise.errors import FoldwiseError, UsageError
from foldwise.images import albumentation
from foldwise.images.decode import resized
from foldwise.images.load import AHEAD, to_device
from foldwise.images.window import decode_side

NEEDS_CPU = ("pipeline", "jpeg", "clahe", "randaugment")  # settings that no tensor can do
TRIALS = 4  # images that a pipeline is tried on before it is trained with


def asked_of_cpu(settings: Augment) -> list[str]:
    """The settings that only the CPU can do and that are asked for."""
    return [name for name in NEEDS_CPU if getattr(settings, name)]


def pipeline_of(
    settings: Augment, images: Images, channels: int, workers: int
) -> "Pipeline | None":
    """What happens on the CPU to images as they are decoded; None where nothing does.

    Raises UsageError for `augment.on=device` with what only the CPU can, for an unknown transform
    or argument, and for a pipeline that does not run or makes no uint8 images.
    """
    asked = asked_of_cpu(settings)
    if asked and settings.on == "device":
        raise UsageError(
            f"augment.{asked[0]}={getattr(settings, asked[0])} works on the CPU only: "
            "say augment.on=auto (or cpu), or leave it out"
        )
    if not asked and settings.on != "cpu":
        return None
    pipeline = Pipeline(settings, images, channels, workers)
    side = decode_side(images)
    trial = np.random.default_rng(0).integers(0, 256, (side, side, channels), np.uint8)
    try:
        shapes = {pipeline.made(trial, (0, 0, 0, row)).shape[:2] for row in range(TRIALS)}
    except FoldwiseError as error:
        raise UsageError(str(error)) from error
    if shapes != {(side, side)}:
        pipeline.side = images.size
    return pipeline


class Pipeline:
    """Transforms for images as they are decoded; its own copy for every thread.

    ``side``: of what comes out: as decoded, or, where transforms crop, what the network sees.
    """

    def __init__(self, settings: Augment, images: Images, channels: int, workers: int) -> None:
        self.side, self.share, self.workers = decode_side(images), images.crop_pct, workers
        # Several stacked images are given to the transforms one after the other, with the same
        # random numbers: most of them know RGB and gray alone.
        step = 3 if channels % 3 == 0 else 1
        self.groups = [slice(n, n + step) for n in range(0, channels, step)]
        self.make: Callable[[], Any] = lambda: albumentation.compose(settings, images.size, step)
        self.local = threading.local()

    def __call__(self, image: np.ndarray, key: tuple[int, ...]) -> np.ndarray:
        """uint8 (side, side, channels), augmented; ``key`` decides. Raises FoldwiseError."""
        result = self.made(image, key)
        if self.side != len(image) == len(result):  # of transforms that crop now and then
            part = max(self.side, round(len(image) * self.share))
            top, left = np.random.default_rng((*key, 1)).integers(0, len(image) - part + 1, 2)
            result = result[top : top + part, left : left + part]
        return resized(result, self.side, self.side)

    def made(self, image: np.ndarray, key: tuple[int, ...]) -> np.ndarray:
        """The same, of whatever size the transforms make."""
        if not hasattr(self.local, "compose"):
            self.local.compose = self.make()
        parts = [self._one(np.ascontiguousarray(image[:, :, g]), key) for g in self.groups]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)

    def _one(self, image: np.ndarray, key: tuple[int, ...]) -> np.ndarray:
        generator = np.random.default_rng(key)
        compose = self.local.compose
        compose.set_random_state(generator, random.Random(int(generator.integers(2**63))))
        try:
            result = compose(image=image)["image"]
        except Exception as error:  # whatever a transform thinks fit to raise
            reason = (str(error).splitlines() or [""])[0]
            raise FoldwiseError(
                f"augment.pipeline does not work on images of {len(image)} pixels: "
                f"{type(error).__name__}: {reason}; mend it, or change images.size"
            ) from error
        if not isinstance(result, np.ndarray) or result.dtype != np.uint8:
            kind = getattr(result, "dtype", type(result).__name__)
            raise FoldwiseError(
                f"augment.pipeline makes {kind}, not uint8 images: leave out Normalize, ToFloat "
                "and ToTensorV2; the model's own normalisation comes after it"
            )
        return result.reshape(*result.shape[:2], image.shape[2])

    def batches(
        self,
        batches: Iterable[Tensor],
        rows: Iterable[np.ndarray],
        key: tuple[int, ...],
        device: torch.device,
    ) -> Iterator[Tensor]:
        """uint8 batches in memory -> augmented on ``device``; ``rows``: their row numbers.

        ``key``: seed, fold and epoch. For a GPU a few batches are made before they are asked for.
        """
        made = self._made(batches, rows, key, pinned=device.type == "cuda")
        if device.type != "cpu":
            made = ahead(made, AHEAD)
        return (to_device(batch, device) for batch in made)

    def _made(
        self,
        batches: Iterable[Tensor],
        rows: Iterable[np.ndarray],
        key: tuple[int, ...],
        pinned: bool,
    ) -> Iterator[Tensor]:
        with ThreadPoolExecutor(self.workers) as pool:
            for batch, numbers in zip(batches, rows, strict=True):
                shape = (len(batch), self.side, self.side, batch.shape[3])
                result = torch.empty(shape, dtype=torch.uint8, pin_memory=pinned)
                source, target = batch.numpy(), result.numpy()

                def piece(
                    places: np.ndarray,
                    source: np.ndarray = source,
                    target: np.ndarray = target,
                    numbers: np.ndarray = numbers,
                ) -> None:
                    for n in places:
                        target[n] = self(source[n], (*key, int(numbers[n])))

                pieces = np.array_split(np.arange(len(batch)), min(len(batch), 4 * self.workers))
                list(pool.map(piece, pieces))
                yield result


def ahead(items: Iterator[Tensor], count: int) -> Iterator[Tensor]:
    """The items, made by a thread up to ``count`` before they are asked for."""
    with ThreadPoolExecutor(1) as pool:  # one worker: they are made one after the other
        waiting: deque[Future[Tensor | None]] = deque()
        try:
            for _ in range(count):
                waiting.append(pool.submit(next, items, None))
            while (item := waiting.popleft().result()) is not None:
                waiting.append(pool.submit(next, items, None))
                yield item
        finally:
            pool.shutdown(cancel_futures=True)
