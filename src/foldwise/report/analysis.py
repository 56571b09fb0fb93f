"""All that an OOF table tells, as one tree: analysis.json."""

import math
from typing import Any

import numpy as np
import pandas as pd

from foldwise.competition.metrics import metric_of, watched
from foldwise.report.calibration import calibration
from foldwise.report.confusion import averages, cells, class_figures, confusion, pairs
from foldwise.report.predictions import Predictions
from foldwise.report.regression import number_figures
from foldwise.report.slices import slices

MISTAKES = 48  # worst mistakes that are listed
HARDEST = 10


def analyse(predictions: Predictions, others: pd.DataFrame | None = None) -> dict[str, Any]:
    """What analysis.json holds; numbers are finite or null.

    ``others``: the train table's other columns, as text, a row a row of the predictions.

    - version: 1. task, metric, greater_is_better, rows, lost (rows whose prediction is not finite)
    - scores: oof, folds {fold: {rows, score}}, mean and std (n - 1) over the folds, watched
    - confusion (not in a regression): counts and rates {true: {said: …}}, without empty cells; in
      multilabel of a missed label and a wrong one in the same row. rates: of the true class's rows
    - classes: class, support, said, right, precision, recall, f1; averages; hardest: classes by f1
    - pairs: most confused: true, said, rows, share (of the true class), back (rows the other way)
    - calibration: see foldwise.report.calibration
    - numbers (a regression): see foldwise.report.regression
    - grades (ordinal): mean distance, rows by said minus true
    - mistakes: id, fold, true, said, confidence, truth (the true answer's probability), the least
      likely truth first; in a regression error (standard deviations), the largest first
    - slices and not_sliced: see foldwise.report.slices
    """
    settings, task = predictions.settings, predictions.task
    metric = metric_of(settings.metric, settings)
    result: dict[str, Any] = {
        "version": 1, "task": task, "metric": metric.name,
        "greater_is_better": metric.greater_is_better,
        "rows": len(predictions.ids), "lost": predictions.lost, "scores": _scores(predictions),
    }  # fmt: skip
    if task == "regression":
        result["numbers"] = number_figures(predictions)
    else:
        result |= _of_classes(predictions)
    if task == "ordinal":
        steps = predictions.decided - predictions.targets
        values, rows = np.unique(steps, return_counts=True)
        result["grades"] = {
            "distance": float(np.abs(steps).mean()),
            "off_by": {str(v): int(n) for v, n in zip(values, rows, strict=True)},
        }
    worst = worst_rows(predictions, MISTAKES)
    result["mistakes"] = [row_facts(predictions, row) for row in worst]
    if others is not None:
        result["slices"], result["not_sliced"] = slices(predictions, others, metric)
    finite: dict[str, Any] = _finite(result)
    return finite


def _scores(predictions: Predictions) -> dict[str, Any]:
    settings = predictions.settings
    metric = metric_of(settings.metric, settings)
    folds = {}
    for fold in np.unique(predictions.fold).tolist():
        here = predictions.fold == fold
        score = metric(predictions.targets[here], predictions.values[here])
        folds[str(fold)] = {"rows": int(here.sum()), "score": score}
    known = [fold["score"] for fold in folds.values() if not math.isnan(fold["score"])]
    return {
        "oof": metric(predictions.targets, predictions.values),
        "folds": folds,
        "mean": float(np.mean(known)) if known else None,
        "std": float(np.std(known, ddof=1)) if len(known) > 1 else None,
        "watched": {
            m.name: m(predictions.targets, predictions.values) for m in watched(settings)
        },
    }  # fmt: skip


def _of_classes(predictions: Predictions) -> dict[str, Any]:
    counts, figures, names = confusion(predictions), class_figures(predictions), predictions.classes
    shares = counts / np.maximum(figures["support"], 1)[:, None]
    listed = [
        {"class": name, **{key: values[n].item() for key, values in figures.items()}}
        for n, name in enumerate(names)
    ]
    tested = [one for one in listed if one["support"]]
    return {
        "confusion": {"counts": cells(names, counts), "rates": cells(names, shares)},
        "classes": listed,
        "averages": {"accuracy": float(predictions.good.mean()), **averages(figures)},
        "hardest": [one["class"] for one in sorted(tested, key=lambda one: one["f1"])[:HARDEST]],
        "pairs": pairs(predictions, counts),
        "calibration": calibration(predictions),
    }


def worst_rows(predictions: Predictions, limit: int) -> list[int]:
    """The wrong rows with the least likely truth; in a regression those with the largest error."""
    wrong = np.flatnonzero(predictions.good < (0 if predictions.task == "regression" else 1))
    badness = predictions.good if predictions.task == "regression" else predictions.truth
    return wrong[np.argsort(badness[wrong], kind="stable")][:limit].tolist()


def row_facts(predictions: Predictions, row: int) -> dict[str, Any]:
    """A row for people, and for analysis.json."""
    facts: dict[str, Any] = {
        "id": predictions.ids[row], "fold": int(predictions.fold[row]),
        "true": predictions.true_text(row), "said": predictions.said_text(row),
    }  # fmt: skip
    if predictions.task == "regression":
        return facts | {"error": -float(predictions.good[row])}
    confidence, truth = float(predictions.confidence[row]), float(predictions.truth[row])
    return facts | {"confidence": confidence, "truth": truth}


def _finite(value: Any) -> Any:
    """The same, with None for the numbers that are not finite: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
