"""Metrics of a competition, with their directions, computed from predictions.

Targets and predictions: class indices int64 (n,) and probabilities (n, c) in multiclass and
ordinal; 0 and 1 (n, c) and probabilities (n, c) in multilabel; numbers (n, m) both in regression.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import metrics as sk

from foldwise.config import Competition
from foldwise.errors import FoldwiseError, UsageError, first_few, nearest

CLASSED = ("multiclass", "ordinal")
LABELLED = (*CLASSED, "multilabel")
Function = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Metric:
    """A score, ready to use; nan where it is not defined.

    wants_probabilities: in a submission; otherwise decided labels do. Called with arrays of the
    shapes above.
    """

    name: str
    greater_is_better: bool
    wants_probabilities: bool
    function: Function

    def __call__(self, targets: np.ndarray, predictions: np.ndarray) -> float:
        """nan also where there are no rows, or a prediction that is not finite."""
        predictions = np.asarray(predictions, dtype=np.float64)
        if predictions.ndim != 2 or len(targets) != len(predictions):
            raise ValueError(f"targets {targets.shape} do not fit predictions {predictions.shape}")
        if not len(targets) or not np.isfinite(predictions).all():
            return float("nan")
        return float(self.function(targets, predictions))


def automatic_metric(task: str, sample_is_labels: bool) -> str:
    """The metric when nobody names one."""
    if task == "multilabel":
        return "f1_macro" if sample_is_labels else "roc_auc"
    return {"ordinal": "quadratic_weighted_kappa", "regression": "rmse"}.get(task, "accuracy")


def decide_labels(predictions: np.ndarray, settings: Competition) -> np.ndarray:
    """What a submission of labels says: int64 (n,), in multilabel uint8 (n, c).

    The most probable class (of two classes: the second from competition.threshold on); each class
    of a multilabel row that reaches its threshold; in ordinal the rounded mean of the distribution,
    which loses least where errors count by their square, as in the weighted kappa.
    """
    if settings.task == "multilabel":
        chosen = predictions >= thresholds(settings)
        if settings.unsure == "best":
            none = ~chosen.any(axis=1)
            chosen[none, predictions[none].argmax(axis=1)] = True
        return chosen.astype(np.uint8)
    if settings.task == "ordinal":
        mean = predictions @ np.arange(predictions.shape[1]) / predictions.sum(axis=1)
        return np.floor(mean + 0.5).astype(np.int64)
    if predictions.shape[1] == 2 and (settings.threshold != 0.5 or settings.thresholds):
        return (predictions[:, 1] >= thresholds(settings)[1]).astype(np.int64)
    return predictions.argmax(axis=1)


def thresholds(settings: Competition) -> np.ndarray:
    """float64 (c,): competition.threshold, or a class's own. Raises UsageError: no such class."""
    for name, value in settings.thresholds.items():
        if name not in settings.classes:
            raise UsageError(
                f"competition.thresholds: there is no class '{name}'; the classes are "
                f"{first_few(settings.classes)}{nearest(name, settings.classes)}"
            )
        if settings.task != "multilabel" and settings.classes[1:] != [name]:
            raise UsageError(
                f"competition.thresholds={{{name}: {value}}} has no meaning here: multilabel "
                "classes have thresholds, and of two classes the second"
            )
        if not 0 <= value <= 1:
            raise UsageError(f"competition.thresholds: {name} has {value}, it must be from 0 to 1")
    return np.array([settings.thresholds.get(c, settings.threshold) for c in settings.classes])


def metric_of(name: str, settings: Competition) -> Metric:
    """The metric of a name, for resolved settings (task, classes, thresholds).

    Raises UsageError for an unknown one and for one that does not fit the task.
    """
    classes = settings.classes
    if ":" in name and not name.startswith("recall:"):
        return _own(name)
    word, number = split_name(name)
    if word not in METRICS or (word in NUMBERED) != bool(number):
        known = [*_names(), *(f"recall:{c}" for c in classes[:3])]
        raise UsageError(
            f"there is no metric '{name}': the metrics are {', '.join(_names())}, or a function of "
            f"yours as module:function{nearest(name, known)}"
        )
    kind = METRICS[word]
    if settings.task not in kind.tasks:
        fit = [n for n in _names() if settings.task in METRICS[split_name(n)[0]].tasks]
        raise UsageError(
            f"{name} is no metric for a {settings.task} competition: take one of {', '.join(fit)}"
        )
    if word == "f1" and len(classes) != 2:
        raise UsageError("f1 is for two classes: take f1_macro, f1_micro or f1_weighted")
    function = kind.function
    if word in NUMBERED:
        function = partial(function, k=int(number))
    elif word == "recall:":
        function = partial(function, index=class_of(name, settings), settings=settings)
    elif kind.decided:
        function = partial(function, settings=settings)
    wants = kind.tasks != ("regression",) and not kind.decided and word not in NUMBERED
    return Metric(name, kind.greater, wants, function)


def watched(settings: Competition) -> list[Metric]:
    """competition.metrics: others to watch. ``recall`` stands for that of each class."""
    names: list[str] = []
    for name in settings.metrics:
        names += [f"recall:{c}" for c in settings.classes] if name == "recall" else [name]
    return [metric_of(name, settings) for name in names if name != settings.metric]


def loss_metric(settings: Competition) -> Metric:
    """What metrics.csv calls val_loss: log loss, or the mean squared error in a regression."""
    return metric_of("mse" if settings.task == "regression" else "log_loss", settings)


def split_name(name: str) -> tuple[str, str]:
    """``map5`` -> (map, 5); ``recall:CLASS`` -> (recall:, '')."""
    if name.startswith("recall:"):
        return "recall:", ""
    match = re.fullmatch(r"(top|map)([1-9]\d*)", name)
    return (match[1], match[2]) if match else (name, "")


def class_of(name: str, settings: Competition) -> int:
    """The place of the class that ``recall:CLASS`` names. Raises UsageError: no such class."""
    wanted, classes = name.partition(":")[2], settings.classes
    if wanted not in classes:
        raise UsageError(
            f"{name}: there is no class '{wanted}'; the classes are {first_few(classes)}"
            f"{nearest(wanted, classes)}"
        )
    return settings.classes.index(wanted)


def _own(name: str) -> Metric:
    """A user's own: function(targets, predictions) -> float, found from the current folder on."""
    import importlib

    module, _, attribute = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # the module is the user's: it may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UsageError(
            f"competition.metric={name} cannot be used ({reason}): write a function {attribute}"
            f"(targets, predictions) into {module.replace('.', '/')}.py in the current folder"
        ) from error
    finally:
        sys.path.pop(0)
    greater = bool(getattr(function, "greater_is_better", True))
    wants = bool(getattr(function, "wants_probabilities", True))
    return Metric(name, greater, wants, partial(_called, function, name))


def _called(function: Any, name: str, targets: np.ndarray, predictions: np.ndarray) -> float:
    try:
        return float(function(targets, predictions))
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise FoldwiseError(f"the metric {name} failed ({reason}): mend that function") from error


def _flags(targets: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """uint8 (n, c): a column of 0 and 1 a class, for any task with classes."""
    if targets.ndim == 2:
        return targets
    return (targets[:, None] == np.arange(predictions.shape[1])).astype(np.uint8)


def _accuracy(t: np.ndarray, p: np.ndarray, settings: Competition) -> float:
    """In multilabel: the share of rows with every class right."""
    right = decide_labels(p, settings) == t
    return float((right.all(axis=1) if right.ndim == 2 else right).mean())


def _top(t: np.ndarray, p: np.ndarray, k: int) -> float:
    """The true class is among the k most probable; of equal ones the first class goes first."""
    return float((_rank(t, p) < k).mean())


def _map(t: np.ndarray, p: np.ndarray, k: int) -> float:
    """MAP@k with one true class a row: the mean of 1/rank where it is among the k first."""
    rank = _rank(t, p)
    return float(np.where(rank < k, 1 / (rank + 1), 0).mean())


def _rank(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    order = np.argsort(-p, axis=1, kind="stable")
    return (order == t[:, None]).argmax(axis=1)


def _balanced(t: np.ndarray, p: np.ndarray, settings: Competition) -> float:
    """The mean recall of the classes that occur."""
    decided = decide_labels(p, settings)
    return float(np.mean([(decided[t == c] == c).mean() for c in np.unique(t)]))


def _log_loss(t: np.ndarray, p: np.ndarray) -> float:
    """Multilabel: the mean over the columns. As in scikit-learn, no probability is under 2.2e-16.

    Rows of several classes are renormalised.
    """
    eps = np.finfo(np.float64).eps
    if t.ndim == 2:
        true = np.where(t == 1, p, 1 - p)
    else:
        true = p[np.arange(len(t)), t] / p.sum(axis=1)
    return float(-np.log(np.clip(true, eps, 1 - eps)).mean())


def _f1(t: np.ndarray, p: np.ndarray, settings: Competition, average: str) -> float:
    return float(sk.f1_score(t, decide_labels(p, settings), average=average, zero_division=0))


def _recall(t: np.ndarray, p: np.ndarray, index: int, settings: Competition) -> float:
    true = _flags(t, p)[:, index] == 1
    decided = decide_labels(p, settings)
    said = decided[:, index] == 1 if decided.ndim == 2 else decided == index
    return float(said[true].mean()) if true.any() else float("nan")


def _columnwise(t: np.ndarray, p: np.ndarray, function: Any) -> float:
    """Two classes: of the second. Otherwise the mean over the classes (one against the rest).

    A class without positives or without negatives has no curve and is left out.
    """
    flags = _flags(t, p)
    classes = [1] if t.ndim == 1 and p.shape[1] == 2 else range(p.shape[1])
    scores = [function(flags[:, c], p[:, c]) for c in classes if 0 < flags[:, c].mean() < 1]
    return float(np.mean(scores)) if scores else float("nan")


def _auc(flags: np.ndarray, p: np.ndarray) -> float:
    """The share of pairs of a positive and a negative in the right order (Mann and Whitney, 1947).

    Equal ones count half.
    """
    positive, negative = np.sort(p[flags == 1]), np.sort(p[flags == 0])
    below = np.searchsorted(negative, positive, "left").sum()
    below += np.searchsorted(negative, positive, "right").sum()
    return float(below / (2 * len(positive) * len(negative)))


def _kappa(t: np.ndarray, p: np.ndarray, settings: Competition) -> float:
    """Cohen's kappa with quadratic weights (Cohen, 1968); nan where there is but one rating."""
    classes = np.arange(p.shape[1])
    counts = sk.confusion_matrix(t, decide_labels(p, settings), labels=classes)
    weights = (classes[:, None] - classes) ** 2
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    chance = (weights * expected).sum()
    return float(1 - (weights * counts).sum() / chance) if chance else float("nan")


def _rmse(t: np.ndarray, p: np.ndarray) -> float:
    """Several columns: the mean of their RMSEs, as Kaggle's MCRMSE."""
    return float(np.sqrt(((t - p) ** 2).mean(axis=0)).mean())


@dataclass(frozen=True)
class _Kind:
    function: Any
    tasks: tuple[str, ...]
    greater: bool = True
    decided: bool = False  # takes the settings, and scores decided labels


NUMBERED = ("top", "map")
METRICS = {
    "accuracy": _Kind(_accuracy, LABELLED, decided=True),
    "balanced_accuracy": _Kind(_balanced, CLASSED, decided=True),
    "top": _Kind(_top, CLASSED),
    "map": _Kind(_map, CLASSED),
    "log_loss": _Kind(_log_loss, LABELLED, greater=False),
    "f1": _Kind(partial(_f1, average="binary"), CLASSED, decided=True),
    "f1_macro": _Kind(partial(_f1, average="macro"), LABELLED, decided=True),
    "f1_micro": _Kind(partial(_f1, average="micro"), LABELLED, decided=True),
    "f1_weighted": _Kind(partial(_f1, average="weighted"), LABELLED, decided=True),
    "f1_samples": _Kind(partial(_f1, average="samples"), ("multilabel",), decided=True),
    "recall:": _Kind(_recall, LABELLED, decided=True),
    "roc_auc": _Kind(partial(_columnwise, function=_auc), LABELLED),
    "average_precision": _Kind(partial(_columnwise, function=sk.average_precision_score), LABELLED),
    "quadratic_weighted_kappa": _Kind(_kappa, CLASSED, decided=True),
    "rmse": _Kind(_rmse, ("regression",), greater=False),
    "mse": _Kind(lambda t, p: ((t - p) ** 2).mean(), ("regression",), greater=False),
    "mae": _Kind(lambda t, p: np.abs(t - p).mean(), ("regression",), greater=False),
}


def _names() -> list[str]:
    """As a person writes them."""
    written = {"top": "top3", "map": "map5", "recall:": "recall:CLASS"}
    return [written.get(name, name) for name in METRICS]
