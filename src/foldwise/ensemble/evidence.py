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
GROUPS = 32  # of rows, for the standard error
SMALLEST = 1e-7  # probability that a logarithm sees: float32 knows no nearer neighbour of 1


@dataclass(frozen=True)
class Oof:
    """The OOF predictions of all members, fold after fold; shape: members, classes, rows.

    targets: in the shapes of `competition.metrics`; fold: int (n,), sorted. read: fold, member ->
    float32 (c, rows of the fold). held: all of them, (m, c, n), where they are in memory.
    """

    shape: tuple[int, int, int]
    targets: Array
    fold: Array
    read: Callable[[int, int], Array]
    held: Array | None = None

    def parts(self) -> Iterator[tuple[int, slice, Array]]:
        """Member, rows (of one fold) and the predictions (c, rows), fold after fold."""
        for fold in np.unique(self.fold):
            start, stop = np.searchsorted(self.fold, [fold, fold + 1])
            for member in range(self.shape[0]):
                yield member, slice(int(start), int(stop)), self.read(int(fold), member)


@dataclass(frozen=True)
class Evidence:
    """values: float32 (m, d, n), what is weighted; targets and fold: of these n rows.

    link: a blend of values (d, n) -> predictions as the metric wants them, (n, c), or the labels
    that they decide, (n,), where that is by the largest value (``by_largest``). form: the
    metric by sums, of which ``base`` float64 (folds, groups, s) has those of rows that no weights
    can change; None for a metric that is no function of sums. group: int (n,), random groups of
    rows for the standard error.
    """

    values: Array
    targets: Array
    fold: Array
    group: Array
    metric: Metric
    form: Summed | None
    link: Callable[[Array], Array]
    base: Array
    by_largest: bool = False

    def rows(self, without: int | None) -> Array:
        """The rows of all folds but ``without``, int64."""
        return np.flatnonzero(self.fold != (-1 if without is None else without))

    def base_sums(self, without: int | None) -> Array:
        """The base's sums over all folds but ``without``, (groups, s)."""
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
            return _of_grades(oof, metric, settings)
    by_largest = bool(form and form.labels) and _decided_by_largest(settings)
    link: Callable[[Array], Array] = _as_they_are
    targets = oof.targets
    if by_largest:  # the labels are all that goes on
        targets = targets.astype(np.uint8 if oof.shape[1] <= 256 else np.uint16)
        form, link = summed(metric, settings, labels=_as_it_is), largest
    elif space == "logit":
        link = _sigmoid if settings.task == "multilabel" else _softmax
    kept = np.ones(len(oof.fold), bool)
    base, group = _no_base(oof), _groups(oof)
    if by_largest and form and not negative:
        agreed, labels = _agreement(oof)
        if oof.held is None or agreed.mean() > 0.5:  # otherwise the copy is not worth its memory
            cells = Blocks((oof.fold * GROUPS + group)[agreed], len(base) * GROUPS)
            base = form.sums(targets[agreed], labels[agreed], cells).reshape(*base.shape[:2], -1)
            kept = ~agreed
    values = _values(oof, kept, settings.task if space == "logit" else "")
    return Evidence(
        values, targets[kept], oof.fold[kept], group[kept], metric, form, link, base, by_largest
    )


def _decided_by_largest(settings: Competition) -> bool:
    of_two = settings.threshold != 0.5 or bool(settings.thresholds)
    return settings.task == "multiclass" and not (len(settings.classes) == 2 and of_two)


def _of_truth(oof: Oof, metric: Metric) -> Evidence:
    """The probability of the true class."""
    values = np.empty((oof.shape[0], 1, oof.shape[2]), np.float32)
    for member, rows, p in oof.parts():
        targets = oof.targets[rows]
        values[member, 0, rows] = p[targets, np.arange(len(targets))]
    form = means(_minus_logs, greater_is_better=False)
    return Evidence(
        values, oof.targets, oof.fold, _groups(oof), metric, form, _as_they_are, _no_base(oof)
    )


def _minus_logs(_: Array, true: Array) -> Array:
    return -np.log(clipped(true[:, 0]))


def _of_grades(oof: Oof, metric: Metric, settings: Competition) -> Evidence:
    """The expected grade of each row."""
    form = summed(metric, settings, labels=_rounded)
    values = np.empty((oof.shape[0], 1, oof.shape[2]), np.float32)
    for member, rows, p in oof.parts():
        values[member, 0, rows] = np.arange(len(p), dtype=np.float32) @ p / p.sum(axis=0)
    return Evidence(
        values, oof.targets, oof.fold, _groups(oof), metric, form, _as_they_are, _no_base(oof)
    )


def _no_base(oof: Oof) -> Array:
    """No row is decided: nothing to add, for each fold and group."""
    return np.zeros((int(oof.fold.max()) + 1, GROUPS, 1))


def _groups(oof: Oof) -> Array:
    return np.random.default_rng(0).permutation(oof.shape[2]) % GROUPS


def _agreement(oof: Oof) -> tuple[Array, Array]:
    """Of each row whether all members find the same class most probable, and which the first."""
    agreed, first = np.ones(oof.shape[2], bool), np.zeros(oof.shape[2], np.int64)
    for member, rows, p in oof.parts():
        labels = largest(p)
        if member == 0:
            first[rows] = labels
        agreed[rows] &= labels == first[rows]
    return agreed, first


def _values(oof: Oof, kept: Array, logit_of: str) -> Array:
    """All classes of the ``kept`` rows: probabilities, or logits of a task."""
    if kept.all() and not logit_of and oof.held is not None:
        return oof.held
    start = np.concatenate([[0], np.cumsum(kept)])
    values = np.empty((*oof.shape[:2], int(start[-1])), np.float32)
    for member, rows, p in oof.parts():
        chosen = p[:, kept[rows]]
        place = slice(start[rows.start], start[rows.stop])
        values[member][:, place] = logits(chosen, logit_of) if logit_of else chosen
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
