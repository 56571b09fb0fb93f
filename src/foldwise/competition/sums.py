"""Metrics as functions of sums over rows, for whoever scores many predictions of the same rows.

A blend tries thousands of weights, a bootstrap thousands of samples: with the sums of blocks of
rows at hand, the score of any set of blocks is a few additions. The values are those of
`competition.metrics`; predictions are read fastest where each class's lie together in memory.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from foldwise.competition.metrics import Metric, class_of, split_name, thresholds
from foldwise.config import Competition

Array = np.ndarray


@dataclass(frozen=True)
class Blocks:
    """The block of each row, int64 (n,), and how many there are; all rows are one without it."""

    of: Array
    count: int


@dataclass(frozen=True)
class Summed:
    """A metric that needs no more of its rows than sums over them.

    sums: targets, predictions in the shapes of `competition.metrics`, blocks or None -> float64
    (blocks, s), or (1, s). score: sums (…, s) -> scores (…), nan where it is not defined.
    labels: predictions -> decided labels, where these are all that counts, otherwise None.
    """

    greater_is_better: bool
    sums: Callable[[Array, Array, Blocks | None], Array]
    score: Callable[[Array], Array]
    labels: Callable[[Array], Array] | None = None


def summed(
    metric: Metric, settings: Competition, labels: Callable[[Array], Array] | None = None
) -> Summed | None:
    """``metric`` in this form, for resolved settings; None where there is none (AUC, a user's).

    ``labels``: another way from predictions, of whatever kind, to decided labels.
    """
    word, number = split_name(metric.name)
    classes = len(settings.classes)
    if word in ("top", "map"):
        return means(partial(_found, word=word, k=int(number)))
    if word == "log_loss":
        return means(_losses, greater_is_better=False)
    if word in ("mse", "mae"):
        return means(_squares if word == "mse" else _distances, greater_is_better=False)
    if word == "rmse":
        return Summed(False, partial(_totals, rows=_columns), _rmse)
    if settings.task == "multilabel":
        decide = labels or partial(_flags, settings=settings)
        if word in ("accuracy", "f1_samples"):
            rows = _all_right if word == "accuracy" else _row_f1
            return means(partial(_decided, decide=decide, rows=rows), labels=decide)
        count: Callable[..., Array] = partial(_flag_counts, decide=decide)
    else:
        decide = labels or partial(labels_of, settings=settings)
        if word == "accuracy":
            return means(partial(_decided, decide=decide, rows=_right), labels=decide)
        if word == "quadratic_weighted_kappa":
            return Summed(True, partial(_moments, decide=decide), _kappa, decide)
        count = partial(_label_counts, decide=decide, classes=classes)
    if word == "recall:":
        score: Callable[[Array], Array] = partial(_recall, index=class_of(metric.name, settings))
    elif word in SCORES:
        score = SCORES[word]
        if word == "f1_macro" and settings.task != "multilabel":
            score = partial(_f1_macro, present=True)
    else:
        return None
    return Summed(True, count, score, decide)


def labels_of(predictions: Array, settings: Competition) -> Array:
    """`metrics.decide_labels` of several classes, uint8 or int64 (n,), class after class."""
    columns = predictions.T
    if settings.task == "ordinal":
        mean = np.arange(len(columns), dtype=columns.dtype) @ columns / columns.sum(axis=0)
        return np.floor(mean + 0.5).astype(np.int64)
    if len(columns) == 2 and (settings.threshold != 0.5 or settings.thresholds):
        return (columns[1] >= thresholds(settings)[1]).astype(np.uint8)
    return largest(columns)


def largest(columns: Array) -> Array:
    """The place of the largest of each column, (n,), of an array (c, n); of equals the first."""
    kind = np.uint8 if len(columns) <= 256 else np.uint16
    best, label = columns[0].copy(), np.zeros(columns.shape[1], kind)
    ahead, place = np.empty(len(best), bool), np.empty(len(best), kind)
    for i in range(1, len(columns)):
        np.greater(columns[i], best, out=ahead)
        np.multiply(ahead, kind(i), out=place)
        np.maximum(label, place, out=label)
        np.maximum(best, columns[i], out=best)
    return label


def means(
    rows: Callable[[Array, Array], Array],
    greater_is_better: bool = True,
    labels: Callable[[Array], Array] | None = None,
) -> Summed:
    """The mean of a number a row: ``rows`` makes these, (n,), of targets and predictions."""
    return Summed(greater_is_better, partial(_totals, rows=rows), _ratio, labels)


def _totals(
    targets: Array, predictions: Array, blocks: Blocks | None, rows: Callable[[Array, Array], Array]
) -> Array:
    """Sums of what ``rows`` says, (n,) or (q, n), and the number of rows."""
    values = np.atleast_2d(rows(targets, predictions))
    if blocks is None:
        sums = [
            np.count_nonzero(row) if row.dtype == bool else row.sum(dtype=np.float64)
            for row in values
        ]
        return np.array([[*sums, values.shape[1]]])
    parts = [np.bincount(blocks.of, row, blocks.count) for row in values]
    return np.stack([*parts, np.bincount(blocks.of, minlength=blocks.count)], axis=1)


def _ratio(sums: Array) -> Array:
    return _divided(sums[..., 0], sums[..., 1])


def _divided(a: Array, b: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(b != 0, a / b, np.nan)


def _losses(targets: Array, predictions: Array) -> Array:
    kind = predictions.dtype
    if targets.ndim == 1:
        true = predictions[np.arange(len(targets)), targets] / predictions.T.sum(axis=0)
        return -np.log(clipped(true))
    columns, flags = predictions.T, targets.T
    total = np.zeros(len(predictions), kind)
    for p, t in zip(columns, flags, strict=True):
        total -= np.log(clipped(np.where(t == 1, p, 1 - p)))
    return total / len(columns)


def clipped(p: Array) -> Array:
    """Probabilities as a logarithm may see them, within scikit-learn's bounds."""
    eps = np.finfo(np.float64).eps
    return np.clip(p, p.dtype.type(eps), p.dtype.type(1 - eps))


def _found(targets: Array, predictions: Array, word: str, k: int) -> Array:
    """Of the place of the true class among the most probable ones: within k, or its inverse."""
    columns = predictions.T
    true = predictions[np.arange(len(targets)), targets]
    place = np.zeros(len(targets), np.int64)
    for i, column in enumerate(columns):
        place += (column > true) | ((column == true) & (i < targets))
    return np.where(place < k, 1 if word == "top" else 1 / (place + 1), 0.0)


def _squares(targets: Array, predictions: Array) -> Array:
    return _columns(targets, predictions).mean(axis=0)


def _distances(targets: Array, predictions: Array) -> Array:
    return np.abs(targets - predictions).mean(axis=1)


def _columns(targets: Array, predictions: Array) -> Array:
    return ((targets - predictions) ** 2).T


def _rmse(sums: Array) -> Array:
    return np.sqrt(_divided(sums[..., :-1], sums[..., -1:])).mean(axis=-1)


def _flags(predictions: Array, settings: Competition) -> Array:
    """`metrics.decide_labels` of a multilabel competition, bool (n, c)."""
    chosen = predictions >= thresholds(settings).astype(predictions.dtype)
    if settings.unsure == "best":
        none = ~chosen.any(axis=1)
        chosen[none, largest(predictions[none].T)] = True
    return chosen


def _decided(
    targets: Array,
    predictions: Array,
    decide: Callable[[Array], Array],
    rows: Callable[[Array, Array], Array],
) -> Array:
    return rows(targets, decide(predictions))


def _right(targets: Array, labels: Array) -> Array:
    return targets == labels


def _all_right(targets: Array, chosen: Array) -> Array:
    return (targets == chosen).all(axis=1)


def _row_f1(targets: Array, chosen: Array) -> Array:
    both, either = (chosen & (targets == 1)).sum(axis=1), targets.sum(axis=1) + chosen.sum(axis=1)
    return 2 * both / np.maximum(either, 1)


def _flag_counts(
    targets: Array, predictions: Array, blocks: Blocks | None, decide: Callable[[Array], Array]
) -> Array:
    """A class: rows that are right, said and true; (…, 3 c)."""
    true, chosen = targets.T == 1, decide(predictions).T
    marks = [*(true & chosen), *chosen, *true]
    if blocks is None:
        return np.array([[np.count_nonzero(mark) for mark in marks]], np.float64)
    return np.stack(
        [np.bincount(blocks.of[mark], minlength=blocks.count) for mark in marks], axis=1
    ).astype(np.float64)


def _label_counts(
    targets: Array,
    predictions: Array,
    blocks: Blocks | None,
    decide: Callable[[Array], Array],
    classes: int,
) -> Array:
    """As _flag_counts, of the one class of each row."""
    labels = decide(predictions).astype(np.int64)
    right = labels == targets
    count = blocks.count if blocks else 1
    cells = blocks.of * classes if blocks else 0
    size = count * classes
    parts = [
        np.bincount((targets + cells)[right], minlength=size),
        np.bincount(labels + cells, minlength=size),
        np.bincount(targets + cells, minlength=size),
    ]
    return np.concatenate([part.reshape(count, classes) for part in parts], axis=1).astype(float)


def _three(sums: Array) -> tuple[Array, Array, Array]:
    right, said, true = np.split(sums, 3, axis=-1)
    return right, said, true


def _balanced(sums: Array) -> Array:
    right, _, true = _three(sums)
    there = true > 0
    recalls = np.where(there, right / np.maximum(true, 1), 0)
    return _divided(recalls.sum(axis=-1), there.sum(axis=-1))


def _recall(sums: Array, index: int) -> Array:
    right, _, true = _three(sums)
    return _divided(right[..., index], true[..., index])


def _f1(sums: Array) -> Array:
    right, said, true = _three(sums)
    return 2 * right / np.maximum(said + true, 1)


def _f1_macro(sums: Array, present: bool = False) -> Array:
    """``present``: over the classes that are said or true, as scikit-learn has it."""
    _, said, true = _three(sums)
    there = (said + true > 0) | (not present)
    return _divided(np.where(there, _f1(sums), 0).sum(axis=-1), there.sum(axis=-1))


def _f1_micro(sums: Array) -> Array:
    right, said, true = (part.sum(axis=-1) for part in _three(sums))
    return 2 * right / np.maximum(said + true, 1)


def _f1_weighted(sums: Array) -> Array:
    true = _three(sums)[2]
    return (_f1(sums) * true).sum(axis=-1) / np.maximum(true.sum(axis=-1), 1)


def _f1_second(sums: Array) -> Array:
    return _f1(sums)[..., 1]


def _moments(
    targets: Array, predictions: Array, blocks: Blocks | None, decide: Callable[[Array], Array]
) -> Array:
    """All that the kappa needs: squared errors, and first and second moments."""
    said, true = decide(predictions).astype(np.float64), targets.astype(np.float64)

    def rows(_: Array, __: Array) -> Array:
        return np.stack([(true - said) ** 2, true, said, true**2, said**2])

    return _totals(targets, predictions, blocks, rows)


def _kappa(sums: Array) -> Array:
    """1 - sum of w O / sum of w E with w = (i - j)²: squares, and their mean under independence."""
    errors, true, said, true2, said2, rows = np.moveaxis(sums, -1, 0)
    chance = true2 + said2 - 2 * true * said / np.maximum(rows, 1)
    return 1 - _divided(errors, chance)


SCORES: dict[str, Callable[[Array], Array]] = {
    "balanced_accuracy": _balanced,
    "f1": _f1_second,
    "f1_macro": _f1_macro,
    "f1_micro": _f1_micro,
    "f1_weighted": _f1_weighted,
}
