"""last.ckpt: everything that shapes the result, so that a broken fold goes on as if never broken.

Randomness is a function of seed, fold, epoch and step, so no generator's state is in it.
"""

import dataclasses
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from foldwise.errors import FoldwiseError
from foldwise.files import atomic, shown
from foldwise.models.weights import Loaded
from foldwise.training.ema import Ema
from foldwise.training.schedule import Plateau

DAMAGED = (
    *(RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError),
    pickle.UnpicklingError,
)


@dataclass
class State:
    """A fold in training: the next step to take, and all that the steps before have made."""

    network: nn.Module
    ema: Ema | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    losses: Tensor  # float32 (steps of an epoch,) on the device: this epoch's, up to `step`
    right: Tensor  # int64, likewise: the step's rows whose likeliest class is their own
    epoch: int = 0
    step: int = 0  # within the epoch
    history: list[dict[str, Any]] = field(default_factory=list)  # a row an epoch, for metrics.csv
    plateau: Plateau = field(default_factory=Plateau)  # what the schedule of this name has seen
    best: dict[str, Tensor] = field(default_factory=dict)  # for train.keep=best: these weights
    parts: int = 1  # that a batch goes through the network in: more after it ran out of memory
    norm: Tensor | None = None  # sum of the epoch's gradient norms, where they are clipped by norm
    total: int = 0  # steps of the whole training; not in the file
    parallel: DistributedDataParallel | None = None  # averages the gradients of the processes
    waited: float = 0.0  # seconds of this epoch until batches were ready; not in the file
    loaded: Loaded | None = None  # what model.weights gave the network; not in the file

    @property
    def taken(self) -> int:
        """Steps of the training so far."""
        return self.epoch * len(self.losses) + self.step

    def result(self) -> nn.Module:
        """The network that predicts: the average of the weights where there is one."""
        return self.ema.network if self.ema else self.network


def save(path: Path, identity: str, state: State) -> None:
    """Write the state; ``identity`` says which recipe and folds it belongs to."""
    content = {
        "identity": identity,
        "network": state.network.state_dict(),
        "ema": state.ema.network.state_dict() if state.ema else {},
        "optimizer": state.optimizer.state_dict(),
        "scaler": state.scaler.state_dict(),
        "losses": state.losses,
        "right": state.right,
        "epoch": state.epoch,
        "step": state.step,
        "history": state.history,
        "plateau": dataclasses.asdict(state.plateau),
        "best": state.best,
        "parts": state.parts,
        "norm": state.norm,
    }
    with atomic(path) as file:
        torch.save(content, file)


def load(path: Path, identity: str, state: State) -> None:
    """Fill ``state`` from the file. Raises FoldwiseError: damaged, or another recipe's."""
    way_on = f"delete {shown(path)} to train this fold from its beginning"
    try:
        content = torch.load(path, map_location=state.losses.device, weights_only=True)
        if content["identity"] != identity:
            raise FoldwiseError(
                f"{shown(path)} belongs to another recipe, split or set of images; {way_on}"
            )
        state.network.load_state_dict(content["network"])
        if state.ema:
            state.ema.network.load_state_dict(content["ema"])
        state.optimizer.load_state_dict(content["optimizer"])
        state.scaler.load_state_dict(content["scaler"])
        state.losses.copy_(content["losses"])
        state.right.copy_(content["right"]) if "right" in content else state.right.fill_(-1)
        state.epoch, state.step = content["epoch"], content["step"]
        state.history = content["history"]
        state.plateau = Plateau(**content["plateau"])
        state.best, state.parts, state.norm = content["best"], content["parts"], content["norm"]
    except DAMAGED as error:
        reason = " ".join(str(error).split())[:200] or "it is empty"
        raise FoldwiseError(f"{shown(path)} cannot be read ({reason}); {way_on}") from error
