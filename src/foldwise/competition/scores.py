"""scores.json of a run: what its OOF predictions score, fold by fold and together."""

import math
from typing import Any

import numpy as np

from foldwise.competition.metrics import Metric, metric_of, watched
from foldwise.competition.sums import summed
from foldwise.config import Competition

LARGE, PART = 2**24, 2**16  # entries from which on a table is scored in parts, of so many rows


def oof_scores(
    settings: Competition, fold: np.ndarray, targets: np.ndarray, predictions: np.ndarray
) -> dict[str, Any]:
    """The metric of each fold, their mean and standard deviation, and of all rows.

    fold: int (n,); targets and predictions in the shapes of `competition.metrics`. ``watched``:
    the other metrics, over all rows.
    """
    metric = metric_of(settings.metric, settings)
    folds = {}
    for number in np.unique(fold):
        rows = np.flatnonzero(fold == number)
        value = score(metric, settings, targets[rows], predictions[rows])
        folds[str(number)] = known(value)
    values = [value for value in folds.values() if value is not None]
    return {
        "metric": metric.name,
        "greater_is_better": metric.greater_is_better,
        "folds": folds,
        "mean": float(np.mean(values)) if values else None,
        "std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "oof": known(score(metric, settings, targets, predictions)),
        "watched": {
            m.name: known(score(m, settings, targets, predictions)) for m in watched(settings)
        },
    }


def score(
    metric: Metric, settings: Competition, targets: np.ndarray, predictions: np.ndarray
) -> float:
    """``metric`` of float32 predictions; a table too large for a float64 copy goes in parts."""
    form = summed(metric, settings) if predictions.size > LARGE else None
    if form is None:
        return metric(targets, predictions)
    total = np.zeros(1)
    for start in range(0, len(targets), PART):
        rows = slice(start, start + PART)
        total = total + form.sums(targets[rows], predictions[rows].astype(np.float64), None)
    return float(form.score(total)[0])


def known(value: float) -> float | None:
    """JSON has no NaN: a score that is not defined (one class in a fold) is null."""
    return None if math.isnan(value) else float(value)
