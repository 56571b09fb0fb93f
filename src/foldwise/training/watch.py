"""What is watched while a fold trains, and what follows from it: stopping, and the best weights.

By default an inner split of the training rows is watched, so that nothing chooses by the rows that
it is scored on. `train.watch=fold` watches the scored fold; its score is then marked optimistic.
Everything follows from the history, so that a training that goes on needs no state of its own.
"""

import math
from typing import Any

from foldwise.competition.metrics import metric_of
from foldwise.config import Config
from foldwise.errors import UsageError
from foldwise.recipe import watches

History = list[dict[str, Any]]  # a row an epoch, as in metrics.csv


def inner(config: Config) -> bool:
    """Whether a part of the training rows is held out to be watched."""
    return watches(config) and config.train.watch == "inner"


def optimistic(config: Config) -> bool:
    """Whether something was chosen by the rows that are scored."""
    return watches(config) and config.train.watch == "fold"


def check_watching(config: Config) -> None:
    """Raises UsageError where there would be nothing to watch."""
    if inner(config) and not config.train.inner:
        raise UsageError(
            "train.inner=0 leaves nothing to watch for train.patience, train.keep=best and "
            "schedule.name=plateau: say train.inner=0.1, or train.watch=fold"
        )


def column(config: Config) -> str:
    """The watched column of metrics.csv: the competition's metric on the watched rows."""
    part = "inner" if config.train.watch == "inner" else "val"
    return f"{part}_{config.competition.metric}"


def newest(config: Config, history: History) -> float:
    """The newest epoch's watched value, more being better; NaN where there is none."""
    return _sign(config) * float(history[-1].get(column(config), math.nan))


def improved(config: Config, history: History) -> bool:
    """Whether the newest epoch is the best so far: by more than `train.min_change`."""
    return bool(history) and _best(config, history) == len(history) - 1


def best_epoch(config: Config, history: History) -> int:
    """The best epoch, counted from 1; 0 before the first."""
    return _best(config, history) + 1


def has_stopped(config: Config, history: History) -> bool:
    """Early stopping: `train.patience` epochs without improvement, none before its warm-up."""
    patience, quiet = config.train.patience, config.train.patience_warmup
    if not patience or len(history) <= quiet:
        return False
    return len(history) - max(best_epoch(config, history), quiet) >= patience


def _best(config: Config, history: History) -> int:
    """Position of the best epoch: the first that no later one beats by the minimum change."""
    sign, best, place = _sign(config), -math.inf, -1
    for position, row in enumerate(history):
        value = sign * float(row.get(column(config), math.nan))
        if place < 0 or value > best + config.train.min_change:
            best, place = (value if not math.isnan(value) else best), position
    return place


def _sign(config: Config) -> int:
    settings = config.competition
    return 1 if metric_of(settings.metric, settings).greater_is_better else -1
