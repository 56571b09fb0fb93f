"""What weights are fitted on: of the members' OOF predictions, no more than the metric looks at.

Blending is linear, and so are these: the log loss looks at the probability of the true class
alone, grades are decided by an expected grade, and where all members name the same class, every
blend of them does.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from foldwise.competition.metrics import CLASSED, Metric, metric_of
from foldwise.competition.sums import Blocks, Summed, clipped, largest, means, summed
from foldwise.config import Competition

Array = np.ndarray
NUMBERS = 2**24  # that are read at once
SMALLEST = 1e-7  # probability that a logarithm sees: float32 knows no nearer neighbour of 1


@dataclass(frozen=True)
class Oof:
    """The OOF predictions of all members (m, c, n), fold after fold.

    targets: in the shapes of `competition.metrics`; fold: int (n,), sorted. read: some classes of
    the rows of a fold, float32 (m, classes, rows). held: all of them, where they are in memory.
    """

    shape: tuple[int, int, int]
    targets: Array
    fold: Array
    read: Callable[[int, slice], Array]
    held: Array | None = None

    def rows(self, fold: int) -> slice:
        start, stop = np.searchsorted(self.fold, [fold, fold + 1])
        return slice(int(start), int(stop))

    def parts(self) -> Iterator[tuple[slice, slice, Array]]:
        """Rows (of one fold), classes, and their predictions; a fold's parts one after another."""
        members, classes, _ = self.shape
        for fold in np.unique(self.fold):
            rows = self.rows(fold)
            for block in blocks_of(classes, members * (rows.stop - rows.start)):
                yield rows, block, self.read(int(fold), block)


def blocks_of(classes: int, numbers: int) -> list[slice]:
    """Slices of the classes, of at most NUMBERS numbers where each class has ``numbers``."""
    step = max(1, min(classes, NUMBERS // max(1, numbers)))
    return [slice(start, min(start + step, classes)) for start in range(0, classes, step)]


@dataclass(frozen=True)
class Evidence:
    """values: float32 (m, d, n), what is weighted; targets and fold: of these n rows.

    link: a blend of values (d, n) -> predictions as the metric wants them, (n, c), or the labels
    that they decide, (n,), where that is by the largest value (``by_largest``). form: the
    metric by sums, of which ``base`` float64 (folds, s) has those of rows that no weights can
    change; None for a metric that is no function of sums.
    """

    values: Array
    targets: Array
    fold: Array
    metric: Metric
    form: Summed | None
    link: Callable[[Array], Array]
    base: Array
    by_largest: bool = False

    def rows(self, without: int | None) -> Array:
        """The rows of all folds but ``without``, int64."""
        return np.flatnonzero(self.fold != (-1 if without is None else without))

    def base_sums(self, without: int | None) -> Array:
        """The base's sums over all folds but ``without``, (s,)."""
        return np.delete(self.base, [] if without is None else without, axis=0).sum(axis=0)

    def sums(self, blend: Array, targets: Array, blocks: Blocks | None = None) -> Array:
        """The metric's sums over rows with these targets and this blend (d, rows)."""
        assert self.form is not None
        return self.form.sums(targets, self.link(blend), blocks)


def gather(
    oof: Oof, settings: Competition, space: str = "prob", negative: bool = False
) -> Evidence:
    """The evidence in ``oof`` for the metric of ``settings``, which are resolved.

    ``negative``: weights under 0 are to be tried, for which nothing can be left out.
    """
    metric = metric_of(settings.metric, settings)
    form = summed(metric, settings)
    if space == "prob" and not negative and form:
        if metric.name == "log_loss" and settings.task in CLASSED:
            return _of_truth(oof, metric)
        if form.labels and settings.task == "ordinal":
            return _of_grades(oof, metric, summed(metric, settings, _rounded))
    by_largest = bool(form and form.labels) and _decided_by_largest(settings)
    link = _as_they_are
    targets = oof.targets
    if by_largest:  # the labels are all that goes on
        targets = targets.astype(np.uint8 if oof.shape[1] <= 256 else np.uint16)
        form, link = summed(metric, settings, labels=_as_it_is), largest
    elif space == "logit":
        link = _sigmoid if settings.task == "multilabel" else _softmax
    kept = np.ones(len(oof.fold), bool)
    base = np.zeros((int(oof.fold.max()) + 1, 1))
    if by_largest and form and not negative:
        agreed, labels = _agreement(oof)
        if oof.held is None or agreed.mean() > 0.5:  # otherwise the copy is not worth its memory
            blocks = Blocks(oof.fold[agreed], len(base))
            base, kept = form.sums(targets[agreed], labels[agreed], blocks), ~agreed
    values = _values(oof, kept, settings.task if space == "logit" else "")
    return Evidence(values, oof.targets[kept], oof.fold[kept], metric, form, link, base, by_largest)


def _decided_by_largest(settings: Competition) -> bool:
    of_two = settings.threshold != 0.5 or bool(settings.thresholds)
    return settings.task == "multiclass" and not (len(settings.classes) == 2 and of_two)


def _of_truth(oof: Oof, metric: Metric) -> Evidence:
    """The probability of the true class, with the log loss of a single label that is there."""
    members, _, rows = oof.shape
    values = np.empty((members, 1, rows), np.float32)
    for part, block, p in oof.parts():
        targets = oof.targets[part]
        inside = np.flatnonzero((targets >= block.start) & (targets < block.stop))
        values[:, 0, part.start + inside] = p[:, targets[inside] - block.start, inside]
    form = means(_minus_logs, greater_is_better=False)
    base = np.zeros((int(oof.fold.max()) + 1, 2))
    return Evidence(values, oof.targets, oof.fold, metric, form, _as_they_are, base)


def _minus_logs(_: Array, true: Array) -> Array:
    return -np.log(clipped(true[:, 0]))


def _of_grades(oof: Oof, metric: Metric, form: Summed | None) -> Evidence:
    """The expected grade of each row."""
    members, classes, rows = oof.shape
    values, totals = np.zeros((2, members, 1, rows), np.float32)
    for part, block, p in oof.parts():
        grades = np.arange(classes, dtype=np.float32)[block]
        values[:, 0, part] += np.einsum("mcn,c->mn", p, grades)
        totals[:, 0, part] += p.sum(axis=1)
    values /= totals
    base = np.zeros((int(oof.fold.max()) + 1, 1))
    return Evidence(values, oof.targets, oof.fold, metric, form, _as_they_are, base)


def _agreement(oof: Oof) -> tuple[Array, Array]:
    """Of each row whether all members find the same class most probable, and which the first."""
    members, _, rows = oof.shape
    agreed, first = np.ones(rows, bool), np.zeros(rows, np.int64)
    best = labels = np.zeros((members, 0))
    for part, block, p in oof.parts():
        if block.start == 0:
            best = np.full((members, part.stop - part.start), -np.inf, np.float32)
            labels = np.zeros(best.shape, np.int32)
        for m in range(members):
            place = largest(p[m])
            value = p[m].max(axis=0)
            labels[m] = np.where(value > best[m], place + block.start, labels[m])
            np.maximum(best[m], value, out=best[m])
        if block.stop == oof.shape[1]:
            agreed[part], first[part] = (labels == labels[0]).all(axis=0), labels[0]
    return agreed, first


def _values(oof: Oof, kept: Array, logit_of: str) -> Array:
    """All classes of the ``kept`` rows: probabilities, or logits of a task."""
    if kept.all() and not logit_of and oof.held is not None:
        return oof.held
    places = np.cumsum(kept) - 1
    values = np.empty((*oof.shape[:2], int(kept.sum())), np.float32)
    for part, block, p in oof.parts():
        inside = kept[part]
        if inside.any():
            there = places[part][inside]
            chosen = p[:, :, inside]
            values[:, block, there[0] : there[-1] + 1] = (
                logits(chosen, logit_of) if logit_of else chosen
            )
    return values


def logits(p: Array, task: str) -> Array:
    """What is averaged with space=logit: log p, in multilabel the logarithm of the odds."""
    p = np.clip(p, SMALLEST, 1 - SMALLEST)
    return np.log(p) - np.log1p(-p) if task == "multilabel" else np.log(p)


def _as_they_are(values: Array) -> Array:
    return values.T


def _as_it_is(labels: Array) -> Array:
    return labels


def _rounded(grades: Array) -> Array:
    return np.floor(grades[:, 0] + 0.5).astype(np.int64)


def _softmax(values: Array) -> Array:
    e = np.exp(values - values.max(axis=0))
    return (e / e.sum(axis=0)).T


def _sigmoid(values: Array) -> Array:
    return (1 / (1 + np.exp(-values))).T
