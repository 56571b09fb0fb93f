"""Any image files, a part at a time: however many there are, only one part is decoded in memory."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from foldwise.config import Config
from foldwise.containers import JOINED
from foldwise.device import automatic_precision
from foldwise.errors import FoldwiseError
from foldwise.images.decode import UnreadableImage, threads
from foldwise.images.load import ResidentImages
from foldwise.images.pack import Look
from foldwise.prediction.fold_model import FoldModel, load_fold, look_of
from foldwise.prediction.views import names_of
from foldwise.runs import Run

PART, ROWS = 2**26, 4096  # bytes of pixels and predictions at a time, and images


@dataclass(frozen=True)
class Part:
    """Some files of a list, decoded.

    pixels: of each look, uint8 (n, size, size, channels), zeros for broken images. broken:
    {position in the part: what is wrong}. usable: the positions of the others, int64.
    """

    start: int
    count: int
    pixels: dict[Look, np.ndarray]
    broken: dict[int, str]

    @property
    def usable(self) -> np.ndarray:
        return np.array([n for n in range(self.count) if n not in self.broken], np.int64)


def parts(
    files: Sequence[str], looks: Sequence[Look], numbers: int, step: int, workers: int, ahead: bool
) -> Iterator[Part]:
    """The files in their order, each decoded once for every look.

    ``numbers`` are predicted of an image. ``step``: a part is a multiple of so many, so that
    batches are cut as in one long list. ``ahead``: the next part is decoded while one is used.
    """
    looks = list(dict.fromkeys(looks))
    most = min(ROWS, PART // (sum(look.bytes for look in looks) + 4 * numbers))
    count = max(1, most // step) * step
    starts = range(0, len(files), count)
    with ThreadPoolExecutor(workers) as pool, ThreadPoolExecutor(1) as one:
        waiting: Future[Part] | None = None
        try:
            for start in starts:
                begun = waiting or one.submit(_decoded, files, start, count, looks, pool)
                part, waiting = begun.result(), None
                if ahead and start + count < len(files):
                    waiting = one.submit(_decoded, files, start + count, count, looks, pool)
                yield part
        finally:
            pool.shutdown(cancel_futures=True)


def _decoded(
    files: Sequence[str], start: int, count: int, looks: Sequence[Look], pool: ThreadPoolExecutor
) -> Part:
    names = files[start : start + count]
    pixels = {
        look: np.zeros((len(names), look.size, look.size, look.channels), np.uint8)
        for look in looks
    }
    broken: dict[int, str] = {}

    def decode(position: int) -> None:
        try:
            if not names[position]:
                raise UnreadableImage("is missing")
            if JOINED in names[position]:
                raise UnreadableImage("has a line break in its name")
            for look, images in pixels.items():
                images[position] = look.decode(names[position])
        except UnreadableImage as error:
            broken[position] = str(error)

    list(pool.map(decode, range(len(names))))
    return Part(start, len(names), pixels, dict(sorted(broken.items())))


def look_of_files(config: Config) -> Look:
    """What a run's networks see of a file.

    Raises FoldwiseError where a row has several images: a file alone is none.
    """
    if config.model.in_chans not in (1, 3):
        raise FoldwiseError(
            f"{config.run} was trained on rows of several images ({config.model.in_chans} "
            "channels), and files are one image each: put them into the competition's test set"
        )
    return look_of(config)


def networks_of(
    run: Run, folds: Sequence[int], device: torch.device, epoch: int = 0
) -> list[FoldModel]:
    """The networks of finished folds (``epoch``: as of `load_fold`).

    On a CPU in the precision that is fast on this one.
    """
    models = []
    for fold in folds:
        model, _ = load_fold(run, fold, device, epoch)
        if device.type == "cpu" and model.config.train.precision != "fp32":
            model.config.train.precision = automatic_precision(device)
        models.append(model)
    return models


def predicted(model: FoldModel, part: Part, views: str) -> np.ndarray:
    """float32 (usable images of the part, classes)."""
    pixels = part.pixels[look_of_files(model.config)]
    images = ResidentImages(torch.from_numpy(pixels).to(model.device))
    if not len(part.usable):
        return np.empty((0, len(model.config.competition.classes)), np.float32)
    return model(images, part.usable, views)


def batch_of(config: Config, views: str) -> int:
    """Images that `predict` takes at a time."""
    number = len(names_of(views or config.tta.views, config.images.size))
    return max(1, 2 * config.train.batch_size // number)


def stream(models: Sequence[FoldModel], files: Sequence[str], views: str = "") -> Iterator[Part]:
    """The parts of ``files`` as these networks want them."""
    first = models[0]
    step = batch_of(first.config, views)
    workers = threads(first.config.images.workers)
    looks = [look_of_files(model.config) for model in models]
    numbers = (len(models) + 1) * len(first.config.competition.classes)
    # Where the processor itself computes, decoding beside it gains nothing (see images.load).
    return parts(files, looks, numbers, step, workers, ahead=first.device.type != "cpu")
