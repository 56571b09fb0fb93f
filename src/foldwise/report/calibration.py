"""Whether a run is right as often as it is sure."""

from typing import Any

import numpy as np

from foldwise.report.predictions import Predictions

BINS = 15
HOW = (
    f"{BINS} bins of equal width; the calibration error is the mean distance between confidence "
    "and accuracy, weighted by rows (Guo et al., 2017)"
)
DECILES = 10


def calibration(predictions: Predictions) -> dict[str, Any]:
    """Reliability in BINS bins of equal width, and how accuracy grows with confidence.

    Classes: the confidence in what was decided against whether it is right. Multilabel: each
    class's probability against whether it is true, all classes together. ece: expected calibration
    error (Guo et al., 2017); mce: its largest bin. bias: mean confidence minus accuracy, positive
    where the run is too sure of itself.
    """
    if predictions.task == "multilabel":
        sure, right = predictions.values.ravel(), predictions.targets.ravel().astype(np.float64)
    else:
        sure, right = predictions.confidence, predictions.good
    place = np.clip((sure * BINS).astype(np.int64), 0, BINS - 1)
    rows = np.bincount(place, minlength=BINS)
    confidence = np.bincount(place, sure, BINS) / np.maximum(rows, 1)
    accuracy = np.bincount(place, right, BINS) / np.maximum(rows, 1)
    gap = np.abs(confidence - accuracy)
    bins = [
        {
            "from": n / BINS, "to": (n + 1) / BINS, "rows": int(rows[n]),
            "confidence": float(confidence[n]), "accuracy": float(accuracy[n]),
        }
        for n in np.flatnonzero(rows).tolist()
    ]  # fmt: skip
    return {
        "how": HOW,
        "ece": float((gap * rows).sum() / max(rows.sum(), 1)),
        "mce": float(gap[rows > 0].max(initial=0)),
        "bias": float(sure.mean() - right.mean()) if len(sure) else 0.0,
        "bins": bins,
        "surest": coverage(predictions),
    }


def coverage(predictions: Predictions) -> list[dict[str, float]]:
    """Accuracy of the surest tenth of the rows, of the surest two tenths, … of all."""
    order = np.argsort(-predictions.confidence, kind="stable")
    right = np.cumsum(predictions.good[order])
    found = []
    for tenth in range(1, DECILES + 1):
        rows = round(len(order) * tenth / DECILES)
        if rows:
            least = float(predictions.confidence[order[rows - 1]])
            accuracy = float(right[rows - 1] / rows)
            found.append({"share": tenth / DECILES, "confidence": least, "accuracy": accuracy})
    return found
