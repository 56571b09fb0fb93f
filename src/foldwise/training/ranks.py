"""One training by several processes, as `torchrun` starts them: DistributedDataParallel.

Every process reads the same command and the same files. Of each global batch a process takes its
share of the rows; the gradients are averaged, so that all have the same weights. The first process
alone writes. Without torchrun there is one process, and nothing here does anything.
"""

import contextlib
import datetime
import io
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from foldwise.config import Config
from foldwise.errors import UsageError

PATIENCE = datetime.timedelta(hours=2)  # that others wait for the first, which decodes and packs
Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Ranks:
    """This process's number among those that train together."""

    rank: int = 0
    count: int = 1
    local: int = 0  # its number on this machine

    @property
    def first(self) -> bool:
        return self.rank == 0

    def device(self, device: torch.device) -> torch.device:
        """Its own GPU, where GPUs are what is trained on."""
        if device.type != "cuda" or self.count == 1:
            return device
        if self.local >= torch.cuda.device_count():
            raise UsageError(
                f"torchrun starts more processes than there are GPUs ({torch.cuda.device_count()}):"
                " say --nproc-per-node with their number"
            )
        torch.cuda.set_device(self.local)
        return torch.device("cuda", self.local)

    def check_batch(self, config: Config) -> None:
        """Raises UsageError for a batch that the processes cannot share equally."""
        size = config.train.batch_size
        if size % self.count:
            raise UsageError(
                f"train.batch_size={size} cannot be shared by {self.count} processes: say "
                f"train.batch_size={max(1, size // self.count) * self.count}"
            )

    def share(self, rows: np.ndarray) -> np.ndarray:
        """This process's part of some rows: the parts together are all of them, in order."""
        return np.array_split(rows, self.count)[self.rank] if self.count > 1 else rows

    def key(self) -> tuple[int, ...]:
        """What a seed has beside (seed, fold, epoch, step): processes never draw the same."""
        return (self.rank,) if self.count > 1 else ()

    @contextlib.contextmanager
    def first_alone(self) -> Iterator[None]:
        """Inside, the first process goes before the others: it makes files that they then find."""
        if not self.first:
            dist.barrier(_control())
        yield
        if self.first and self.count > 1:
            dist.barrier(_control())

    def gathered(self, part: np.ndarray) -> np.ndarray:
        """The parts of all processes, one after the other, on each of them."""
        if self.count == 1:
            return part
        parts: list[Any] = [None] * self.count
        dist.all_gather_object(parts, part, group=_control())
        return np.concatenate([p for p in parts if len(p)] or [part])

    def agreed(self, number: int | bool) -> int:
        """The largest of the processes' numbers: a signal to one is honoured by all."""
        if self.count == 1:
            return int(number)
        largest = torch.tensor(int(number))
        dist.all_reduce(largest, dist.ReduceOp.MAX, group=_control())
        return int(largest)

    def told(self, thing: Kind) -> Kind:
        """What the first process says."""
        if self.count == 1:
            return thing
        box = [thing]
        dist.broadcast_object_list(box, src=0, group=_control())
        return box[0]

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean over the processes."""
        if self.count == 1:
            return values
        summed = values.clone()
        dist.all_reduce(summed)
        return summed / self.count

    def same_buffers(self, network: nn.Module) -> None:
        """Give all processes the first one's running statistics."""
        if self.count > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, src=0)

    def parallel(
        self, network: nn.Module, device: torch.device, config: Config
    ) -> DistributedDataParallel | None:
        """The network whose backward pass averages the gradients; None for a process alone."""
        if self.count == 1:
            return None
        ids = [device.index] if device.type == "cuda" else None
        frozen = config.optimizer.freeze_epochs > 0  # some have no gradient then
        return DistributedDataParallel(network, device_ids=ids, find_unused_parameters=frozen)


ALONE = Ranks()
_groups: dict[str, Any] = {}  # the process group for what the CPUs tell each other


def _control() -> Any:
    return _groups["control"]


@contextlib.contextmanager
def together() -> Iterator[Ranks]:
    """This process among those that torchrun has started; the others print nothing."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE
    )
    _groups["control"] = dist.new_group(backend="gloo", timeout=PATIENCE)
    ranks = Ranks(dist.get_rank(), count, int(os.environ.get("LOCAL_RANK", "0")))
    try:
        with contextlib.ExitStack() as quiet:
            if not ranks.first:
                quiet.enter_context(contextlib.redirect_stdout(io.StringIO()))
                quiet.enter_context(contextlib.redirect_stderr(io.StringIO()))
            yield ranks
    finally:
        if sys.exc_info()[0] is None:
            dist.destroy_process_group()
