"""scores.json of a run: what its OOF predictions score, fold by fold and together."""

import math
from collections.abc import Iterable
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
    if predictions.size <= LARGE:
        return metric(targets, predictions)
    rows = [slice(start, start + PART) for start in range(0, len(targets), PART)]
    return score_of_parts(metric, settings, ((targets[r], predictions[r]) for r in rows))


def score_of_parts(
    metric: Metric, settings: Competition, parts: Iterable[tuple[np.ndarray, np.ndarray]]
) -> float:
    """``metric`` of targets and predictions that come part by part.

    All of them are together in memory only where the metric is no function of sums.
    """
    form = summed(metric, settings)
    if form is None:
        everything = list(parts)
        return metric(*(np.concatenate(arrays) for arrays in zip(*everything, strict=True)))
    sums = [form.sums(t, p.astype(np.float64), None) for t, p in parts]
    return float(form.score(np.sum(sums, axis=0))[0])


def known(value: float) -> float | None:
    """JSON has no NaN: a score that is not defined (one class in a fold) is null."""
    return None if math.isnan(value) else float(value)
