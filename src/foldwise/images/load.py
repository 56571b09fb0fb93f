"""Batches of uint8 images on the device: from its memory, a pack, or decoding threads.

All sources give the same bytes for the same rows, so that what fits in memory is a question of
speed alone.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from foldwise.errors import FoldwiseError
from foldwise.images.decode import UnreadableImage
from foldwise.images.pack import Look, Pack
from foldwise.images.parallel import in_threads

AHEAD = 3  # batches decoded while a GPU uses one: hides a slow file, and is little to hold


class Images(Protocol):
    """A set of images of one size; a batch is asked for by row numbers."""

    def batches(self, rows: Iterable[np.ndarray]) -> Iterator[Tensor]:
        """uint8 (len(rows), size, size, channels) on the device, for each array of row numbers."""
        ...


class ResidentImages:
    """All images as one uint8 tensor in the device's memory."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def batches(self, rows: Iterable[np.ndarray]) -> Iterator[Tensor]:
        for numbers in rows:
            wanted = to_device(torch.from_numpy(numbers), self.images.device)
            yield self.images.index_select(0, wanted)


class PackedImages:
    """Images that are mapped from a pack: as quick as memory, and as large as the disk."""

    def __init__(self, pixels: np.ndarray, device: torch.device) -> None:
        self.pixels, self.device = pixels, device

    def batches(self, rows: Iterable[np.ndarray]) -> Iterator[Tensor]:
        if self.device.type == "cpu":
            yield from map(self._copy, rows)
            return
        with ThreadPoolExecutor(1) as pool:  # copies beside what the device computes
            ahead: deque[Future[Tensor]] = deque()
            for numbers in rows:
                ahead.append(pool.submit(self._copy, numbers))
                if len(ahead) > AHEAD:
                    yield to_device(ahead.popleft().result(), self.device)
            while ahead:
                yield to_device(ahead.popleft().result(), self.device)

    def _copy(self, numbers: np.ndarray) -> Tensor:
        shape = (len(numbers), *self.pixels.shape[1:])
        batch = torch.empty(shape, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        view = batch.numpy()

        def copy(some: slice) -> None:  # ("clip": otherwise a copy is made of the copy)
            np.take(self.pixels, numbers[some], axis=0, out=view[some], mode="clip")

        in_threads(copy, len(numbers), self.pixels[0].size)
        return batch


class StreamedImages:
    """Files decoded by threads (OpenCV works outside the interpreter's lock) as they are needed.

    Holds a few batches in memory, however many files there are.
    """

    def __init__(self, files: list[str], look: Look, device: torch.device, workers: int) -> None:
        self.files, self.look, self.device, self.workers = files, look, device, workers

    def batches(self, rows: Iterable[np.ndarray]) -> Iterator[Tensor]:
        # Where the processor itself computes, decoding beside it gains nothing, and costs a lot:
        # torch's threads wait for each other by spinning, on the cores that the decoders need.
        limit = 0 if self.device.type == "cpu" else AHEAD
        with ThreadPoolExecutor(self.workers) as pool:
            ahead: deque[tuple[Tensor, list[Future[None]]]] = deque()
            try:
                for numbers in rows:
                    ahead.append(self._begin(pool, numbers))
                    if len(ahead) > limit:
                        yield self._finish(*ahead.popleft())
                while ahead:
                    yield self._finish(*ahead.popleft())
            finally:
                pool.shutdown(cancel_futures=True)

    def _begin(
        self, pool: ThreadPoolExecutor, numbers: np.ndarray
    ) -> tuple[Tensor, list[Future[None]]]:
        shape = (len(numbers), self.look.size, self.look.size, self.look.channels)
        batch = torch.empty(shape, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        view, files = batch.numpy(), [self.files[n] for n in numbers]
        # Small pieces keep every thread busy to the end of a batch; one a file would cost more
        # in bookkeeping than small images take to decode.
        piece = max(1, min(16, len(files) // (2 * self.workers)))
        starts = range(0, len(files), piece)
        return batch, [
            pool.submit(self._decode, files[s : s + piece], view[s : s + piece]) for s in starts
        ]

    def _decode(self, files: list[str], out: np.ndarray) -> None:
        for position, path in enumerate(files):
            if not path:
                out[position] = 0
                continue
            try:
                out[position] = self.look.decode(path)
            except UnreadableImage as error:
                raise FoldwiseError(f"{path} {error}: restore it and repeat the command") from error

    def _finish(self, batch: Tensor, work: list[Future[None]]) -> Tensor:
        for future in work:
            future.result()
        return to_device(batch, self.device)


class JoinedImages:
    """Two sets of images as one: the ``count`` rows of the first, then ``places`` of the second.

    Both are on one device. A batch takes from each what it has of it, and puts that in order.
    """

    def __init__(self, first: Images, count: int, second: Images, places: np.ndarray) -> None:
        self.first, self.count, self.second, self.places = first, count, second, places

    def batches(self, rows: Iterable[np.ndarray]) -> Iterator[Tensor]:
        parts = list(rows)
        ours = self.first.batches([part[part < self.count] for part in parts])
        theirs = self.second.batches(
            [self.places[part[part >= self.count] - self.count] for part in parts]
        )
        for part, mine, others in zip(parts, ours, theirs, strict=True):
            order = np.argsort(np.argsort(part >= self.count, kind="stable"), kind="stable")
            together = torch.cat([mine, others])
            yield together.index_select(0, to_device(torch.from_numpy(order), together.device))


def open_images(
    files: list[str],
    look: Look,
    device: torch.device,
    workers: int,
    resident_gb: float,
    pack: Pack | None = None,
) -> Images:
    """The images of ``files`` ('': black), resident where they fit into ``resident_gb``.

    Otherwise mapped from their pack, or streamed where there is none.
    """
    fit = len(files) * look.bytes <= resident_gb * 2**30
    if pack is not None:
        if device.type == "cpu" or not fit:  # a processor's memory is where the pack is mapped
            return PackedImages(pack.pixels, device)
        return ResidentImages(torch.from_numpy(pack.pixels).to(device))
    if not fit:
        return StreamedImages(files, look, device, workers)
    streamed = StreamedImages(files, look, torch.device("cpu"), workers)
    images = torch.empty((len(files), look.size, look.size, look.channels), dtype=torch.uint8)
    chunks = np.array_split(np.arange(len(files)), max(1, len(files) // 1024))
    start = 0
    for batch in streamed.batches(chunks):
        images[start : start + len(batch)] = batch
        start += len(batch)
    return ResidentImages(images.to(device))


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Without waiting on CUDA, which keeps what it copies from; MPS would read freed memory."""
    return tensor.to(device, non_blocking=device.type == "cuda")
