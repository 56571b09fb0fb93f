"""`train.batch_size=auto`: the largest batch that fits, and the learning rate that goes with it.

Whole training steps are taken on random images of the real size by a network that is thrown away,
with batches that double. On a CPU, where the system would kill a process that takes too much, the
memory of the next batch is foreseen from that of the last two.
"""

import resource
import threading
from pathlib import Path

import numpy as np
import torch

from foldwise.config import Config
from foldwise.errors import FoldwiseError, out_of_memory
from foldwise.images.load import ResidentImages
from foldwise.training.fold import beginning
from foldwise.training.loop import Material, step

SMALLEST = 8
LARGEST = {"cpu": 256}  # elsewhere MOST: more images a step than that train no better
MOST = 1024
STEPS = 32  # an epoch has at least so many
ROOM = 0.8  # share of the free memory that a step may take
MEANT = 64  # the batch size that optimizer.lr is meant for, where optimizer.lr_batch is not said


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
    shape = (size, config.images.size, config.images.size, config.model.in_chans)
    pixels = torch.randint(256, shape, dtype=torch.uint8, device=device)
    targets = _targets(config, size).to(device)
    rows = np.arange(size)
    config.train.batch_size = size
    try:
        with Peak(device) as peak:
            state, normalize = beginning(config, 0, 2, device)
            images = ResidentImages(pixels)
            material = Material(0, rows, images, targets, normalize, device)
            for _ in range(2):
                step(config, material, state, rows, pixels)
        return peak.bytes
    finally:
        config.train.batch_size = 0
        if device.type == "cuda":
            torch.cuda.empty_cache()


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
