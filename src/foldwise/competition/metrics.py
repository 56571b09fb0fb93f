"""Metrics of a competition, with their directions, computed from class probabilities."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import f1_score, roc_auc_score

from foldwise.errors import UsageError, nearest


@dataclass(frozen=True)
class Metric:
    """function(labels, probs): labels (n,) class indices, probs (n, c) float64, finite."""

    name: str
    greater_is_better: bool
    function: Callable[[np.ndarray, np.ndarray], float]
    wants_probabilities: bool  # in a submission; otherwise labels do


def score(metric: str, labels: np.ndarray, probs: np.ndarray) -> float:
    """The score of probabilities ``probs`` (n, c) against class indices ``labels`` (n,).

    nan where a probability is not finite, where there are no rows, or where the metric is not
    defined for these labels. Raises UsageError for an unknown metric.
    """
    if metric not in METRICS:
        raise UsageError(
            f"unknown metric '{metric}': one of {', '.join(METRICS)}{nearest(metric, METRICS)}"
        )
    labels = np.asarray(labels)
    probs = np.asarray(probs, dtype=np.float64)
    if probs.ndim != 2 or labels.shape != probs.shape[:1]:
        raise ValueError(f"labels {labels.shape} do not belong to probabilities {probs.shape}")
    if not len(labels) or not np.isfinite(probs).all():
        return float("nan")
    return float(METRICS[metric].function(labels, probs))


def _accuracy(labels: np.ndarray, probs: np.ndarray) -> float:
    return float((probs.argmax(axis=1) == labels).mean())


def _log_loss(labels: np.ndarray, probs: np.ndarray) -> float:
    """Rows are renormalised; as in scikit-learn, no probability counts as less than 2.2e-16."""
    true = probs[np.arange(len(labels)), labels] / probs.sum(axis=1)
    eps = np.finfo(np.float64).eps
    return float(-np.log(np.clip(true, eps, 1 - eps)).mean())


def _f1_macro(labels: np.ndarray, probs: np.ndarray) -> float:
    """The mean over the classes that occur among the labels or the predictions."""
    return float(f1_score(labels, probs.argmax(axis=1), average="macro", zero_division=0))


def _roc_auc(labels: np.ndarray, probs: np.ndarray) -> float:
    """Binary: of the second class. Otherwise the mean of one-vs-rest over the classes in labels.

    A class without positives or without negatives has no curve and is left out.
    """
    classes = [1] if probs.shape[1] == 2 else range(probs.shape[1])
    scores = [
        roc_auc_score(labels == c, probs[:, c]) for c in classes if 0 < (labels == c).mean() < 1
    ]
    return float(np.mean(scores)) if scores else float("nan")


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", True, _accuracy, wants_probabilities=False),
        Metric("log_loss", False, _log_loss, wants_probabilities=True),
        Metric("f1_macro", True, _f1_macro, wants_probabilities=False),
        Metric("roc_auc", True, _roc_auc, wants_probabilities=True),
    )
}
