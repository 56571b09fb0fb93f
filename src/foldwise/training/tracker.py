"""`train.tracker`: the rows of metrics.csv in TensorBoard or Weights & Biases as well."""

import os
from collections.abc import Callable
from typing import Any

from foldwise import compose
from foldwise.config import Config
from foldwise.errors import UsageError, pip_install
from foldwise.runs import Run

Write = Callable[[dict[str, Any]], None]


def check_tracker(name: str) -> None:
    """Raises UsageError where the tracker is not installed."""
    package = {"tensorboard": "torch.utils.tensorboard", "wandb": "wandb"}.get(name)
    if package is None:
        return
    try:
        __import__(package)
    except ImportError as error:
        raise UsageError(
            f"train.tracker={name} is not installed: {pip_install(name)}, or leave it out"
        ) from error


def tracker(
    config: Config, run: Run, fold: int, first: bool = True
) -> tuple[Write, Callable[[], None]]:
    """What takes a fold's rows, an epoch each, and what ends it.

    TensorBoard's files are in fold<k>/tensorboard. Weights & Biases gets a run of its own for each
    fold, grouped by the name of ours; without a key (or with WANDB_MODE=offline) it writes
    to fold<k>/wandb, and `wandb sync` sends that later. Of several processes only the ``first``
    writes.
    """
    if not first:
        return lambda row: None, lambda: None
    if config.train.tracker == "tensorboard":
        from torch.utils.tensorboard import SummaryWriter

        board = SummaryWriter(str(run.fold_folder(fold) / "tensorboard"))

        def write(row: dict[str, Any]) -> None:
            for name, value in numbers(row).items():
                board.add_scalar(name, value, row["epoch"])
            board.flush()

        return write, board.close
    if config.train.tracker == "wandb":
        import wandb

        offline = not (os.environ.get("WANDB_API_KEY") or wandb.api.api_key)
        started = wandb.init(
            project=f"foldwise-{config.competition.slug.split('/')[-1]}",
            group=run.name,
            name=f"{run.name}-fold{fold}",
            dir=str(run.fold_folder(fold)),
            config={**compose.flat(config), "fold": fold},
            mode=os.environ.get("WANDB_MODE") or ("offline" if offline else "online"),
        )
        return lambda row: started.log(numbers(row), step=row["epoch"]), started.finish
    return lambda row: None, lambda: None


def numbers(row: dict[str, Any]) -> dict[str, float]:
    """The row without what is no number."""
    return {k: v for k, v in row.items() if k != "epoch" and isinstance(v, int | float)}
