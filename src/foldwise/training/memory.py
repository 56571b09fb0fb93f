"""Memory that runs out in the middle of a training: batches in parts; and how much is taken."""

import resource
import sys

import torch

from foldwise.config import Config
from foldwise.device import give_memory_back
from foldwise.errors import out_of_memory
from foldwise.training.checkpoint import State


def can_be_parted(config: Config, state: State, error: Exception) -> bool:
    """Whether a step failed for want of memory, and could do with less."""
    return out_of_memory(error) and 2 * state.parts <= config.train.batch_size


def smaller_parts(config: Config, state: State) -> None:
    """Batches go through the network in twice as many parts, whose gradients are added up.

    The update in hand begins anew: part of its gradients is lost. Batches, learning rates and
    the number of updates stay; only batch norms see fewer images at once.
    """
    state.parts *= 2
    state.step -= state.step % config.train.accumulate
    state.optimizer.zero_grad(set_to_none=True)
    give_memory_back(state.losses.device)


def parts_line(config: Config, fold: int, state: State) -> str:
    size = -(-config.train.batch_size // state.parts)
    return (
        f"fold {fold}: out of memory in epoch {state.epoch + 1}: from now on {size} images at a "
        f"time, {state.parts} times as many gradients to an update"
    )


def parted(rows: int, parts: int) -> list[slice]:
    """A batch of ``rows`` in ``parts`` of about equal size."""
    if parts == 1:
        return [slice(None)]
    size = -(-rows // parts)
    return [slice(start, start + size) for start in range(0, rows, size)]


def memory_mb(device: torch.device) -> int:
    """The most memory so far, in MB: of the GPU's, otherwise of the process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) // 2**20
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in KB, on macOS in bytes
    return most // (2**20 if sys.platform == "darwin" else 2**10)
