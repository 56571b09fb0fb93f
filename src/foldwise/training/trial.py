"""Choices that are made by trying: training steps of a network that is thrown away.

`train.batch_size=auto` is the largest batch that fits: whole steps on random images of the real
size, with batches that double. On a CPU, where the system would kill a process that takes too much,
the memory of the next batch is foreseen from that of the last two. `train.compile=auto` compiles
where the steps that it makes faster are enough to pay for the minutes that it takes.
"""

import copy
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from foldwise.config import Config
from foldwise.device import autocast
from foldwise.errors import FoldwiseError, UsageError, out_of_memory
from foldwise.images.load import ResidentImages
from foldwise.images.window import decode_side
from foldwise.prediction.fold_model import FoldModel
from foldwise.training.fold import beginning
from foldwise.training.material import Material
from foldwise.training.step import train_step

SMALLEST = 8
LARGEST = {"cpu": 256}  # elsewhere MOST: more images a step than that train no better
MOST = 1024
STEPS = 32  # an epoch has at least so many
ROOM = 0.8  # share of the free memory that a step may take
LONG = 600  # seconds of training: compiling is not tried for less
WARMING, MEASURED = 3, 10  # steps
MEANT = 64  # the batch size that optimizer.lr is meant for, where optimizer.lr_batch is not said


@torch.no_grad()
def check_fit(model: FoldModel) -> None:
    """Raises UsageError where the network does not take images of the size: tried with one."""
    config, side = model.config, decode_side(model.config.images)
    pixels = torch.zeros(1, side, side, config.model.in_chans, dtype=torch.uint8)
    try:
        with autocast(model.device, config.train.precision):
            # Its forward, not itself: one image is not worth compiling for.
            model.network.eval().forward(model.pixels(pixels.to(model.device)))
    except Exception as error:  # whatever a network thinks fit to raise
        if out_of_memory(error):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UsageError(
            f"model.name={config.model.name} does not take images.size={config.images.size} "
            f"({reason}): say another size or another model"
        ) from error


def decide_batch_size(config: Config, rows: int, device: torch.device) -> str:
    """Replace an automatic `train.batch_size` by a decision, and say it; '' where it was given.

    ``rows``: of a fold's training. The learning rate then is that of a batch of 64, scaled (see
    `training.optimizer`). Raises FoldwiseError where not even a small batch fits.
    """
    if config.train.batch_size:
        return ""
    limit = min(LARGEST.get(device.type, MOST), max(1, rows // STEPS))
    config.optimizer.lr_batch = config.optimizer.lr_batch or MEANT
    size = config.train.batch_size = _largest(config, 2 ** int(np.log2(limit)), device)
    return f"train.batch_size=auto: {size} images (at most {limit} here)"


def _largest(config: Config, limit: int, device: torch.device) -> int:
    free, needs, size, best = _free(device), [0.0, 0.0], min(SMALLEST, limit), 0
    while size <= limit:
        foreseen = needs[-1] + 2 * (needs[-1] - needs[-2])
        if best and foreseen > ROOM * free:
            break
        try:
            needs.append(_need(config, size, device))
        except Exception as error:
            if not out_of_memory(error):
                raise
            break
        if needs[-1] > ROOM * free:
            break
        best, size = size, 2 * size
    if not best:
        raise FoldwiseError(
            f"not even {min(SMALLEST, limit)} images of {config.images.size} pixels fit into the "
            f"memory with {config.model.name}: say a smaller images.size or another model.name"
        )
    return best


def _need(config: Config, size: int, device: torch.device) -> float:
    """Bytes that two training steps take: the second has the optimizer's state beside it."""
    with Peak(device) as peak:
        take = _steps(config, size, device)
        take(2)
    del take
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return peak.bytes


def _steps(config: Config, size: int, device: torch.device) -> Callable[[int], None]:
    """A function that takes training steps on ``size`` random images, by a network of its own."""
    config = copy.deepcopy(config)
    config.train.batch_size, config.train.accumulate = size, 1
    config.model.weights = ""  # it learns nothing that is kept
    state, normalize = beginning(config, 0, 10**6, device)
    side = decode_side(config.images)
    shape = (size, side, side, config.model.in_chans)
    pixels = torch.randint(256, shape, dtype=torch.uint8, device=device)
    images, rows = ResidentImages(pixels), np.arange(size)
    material = Material(0, rows, images, _targets(config, size).to(device), normalize, device)

    def take(steps: int) -> None:
        for _ in range(steps):
            train_step(config, material, state, rows, pixels)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return take


def decide_compile(config: Config, images: int, device: torch.device) -> str:
    """Replace an automatic `train.compile` by a decision, and say it where it took a while.

    ``images``: that the call will train on, over all epochs and folds. Never on a CPU, where it
    made two of three networks slower.
    """
    if config.train.compile != "auto":
        return ""
    config.train.compile = "off"
    if device.type != "cuda":
        return ""
    size = config.train.batch_size
    plain = _seconds(config, size, device)
    steps = images / size
    if config.train.hours:
        steps = 3600 * config.train.hours / plain
    if steps * plain < LONG:
        return ""
    config.train.compile = "on"
    began = time.monotonic()
    try:
        compiled = _seconds(config, size, device)
    except Exception as error:  # whatever the compiler thinks fit to raise
        config.train.compile = "off"
        return f"train.compile=auto: off, it fails here ({type(error).__name__})"
    taken = time.monotonic() - began
    if steps * (plain - compiled) < taken:
        config.train.compile = "off"
    return f"train.compile=auto: {config.train.compile} ({plain / compiled:.2f} times as fast)"


def _seconds(config: Config, size: int, device: torch.device) -> float:
    """Seconds of a training step."""
    take = _steps(config, size, device)
    take(WARMING)
    began = time.monotonic()
    take(MEASURED)
    return (time.monotonic() - began) / MEASURED


def _targets(config: Config, size: int) -> torch.Tensor:
    """Some targets of the shape and type that the competition's have."""
    classes = len(config.competition.classes)
    if config.competition.task in ("multilabel", "regression"):
        return torch.zeros(size, classes)
    return torch.arange(size) % classes


class Peak:
    """The most memory that is taken inside, in bytes beyond what was taken before."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.bytes = device, 0.0

    def __enter__(self) -> "Peak":
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            self.before = torch.cuda.memory_reserved(self.device)
            return self
        self.before, self.ended = _resident(), threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()
        return self

    def _look(self) -> None:
        while not self.ended.wait(0.002):
            self.bytes = max(self.bytes, _resident() - self.before)

    def __exit__(self, *_: object) -> None:
        if self.device.type == "cuda":
            self.bytes = torch.cuda.max_memory_reserved(self.device) - self.before
            return
        self.ended.set()
        self.thread.join()


def _resident() -> int:
    """Bytes of this process that are in memory; 0 where Linux's /proc is not there."""
    statm = Path("/proc/self/statm")
    if not statm.is_file():
        return 0
    return int(statm.read_text().split()[1]) * resource.getpagesize()


def _free(device: torch.device) -> float:
    """Bytes that this process may still take."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    limits = [float("inf")]
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        line = next(x for x in meminfo.read_text().splitlines() if x.startswith("MemAvailable"))
        limits.append(int(line.split()[1]) * 1024)
    folder = Path("/sys/fs/cgroup")  # a container's own
    most, now = folder / "memory.max", folder / "memory.current"
    if most.is_file() and most.read_text().strip().isdigit():
        limits.append(int(most.read_text()) - int(now.read_text()))
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    statm = Path("/proc/self/statm")
    if soft != resource.RLIM_INFINITY and statm.is_file():
        limits.append(soft - int(statm.read_text().split()[0]) * resource.getpagesize())
    return min(limits)
