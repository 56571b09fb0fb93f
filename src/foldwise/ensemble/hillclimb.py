"""Greedy selection with replacement, from a library of models (Caruana et al., 2004).

Each step adds the member that does most for the metric; a member's weight is how often it was
chosen. What no single step can change is not computed: most rows, once a few are chosen.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from foldwise.competition.sums import Blocks, largest
from foldwise.config import Blend
from foldwise.ensemble.evidence import GROUPS, Evidence
from foldwise.errors import FoldwiseError

Array = np.ndarray
SLOW_GROUPS = 8  # of rows, where each wants the metric once more
WIDE = 0.15  # share of open classes from which on it is faster to look at all


@dataclass(frozen=True)
class Climb:
    """counts: float64 (steps, m), how often each member is chosen by each step; scores: (steps,).

    errors: the standard error of the difference to the best step, (steps,), by a jackknife over
    groups of rows (Efron and Stein, 1981).
    """

    counts: Array
    scores: Array
    errors: Array
    greater_is_better: bool

    def chosen(self, stop: float) -> int:
        """The first step from which all others gain at most ``stop`` standard errors of that gain.

        To stop at the first step that gains less costs more than it saves: docs/blending.md.
        """
        gains = (self.scores.max() - self.scores, self.scores - self.scores.min())
        return int(np.argmax(gains[not self.greater_is_better] <= stop * self.errors))


def hillclimb(evidence: Evidence, blend: Blend, without: int | None, seed: int = 0) -> Array:
    """Weights float64 (m,) that sum to 1, fitted on the rows of all folds but ``without``.

    With several bags the mean of climbs over random halves of the members, as Caruana et al. (2004)
    have it. Raises FoldwiseError where the metric is not defined.
    """
    members = len(evidence.values)
    random = np.random.default_rng(seed)
    weights = np.zeros(members)
    bags = [np.arange(members)]
    if blend.bags > 1:
        half = max(2, (members + 1) // 2)
        bags = [np.sort(random.permutation(members)[:half]) for _ in range(blend.bags)]
    for some, often in zip(*np.unique(bags, axis=0, return_counts=True), strict=True):
        found = climb(evidence, without, blend.steps, some, blend.negative)
        if not len(found.scores):
            raise FoldwiseError(
                f"{evidence.metric.name} is not defined for these rows, so nothing can be chosen "
                "by it: say another metric="
            )
        counts = found.counts[found.chosen(blend.stop)]
        weights += often * counts / counts.sum() / blend.bags
    return weights


def climb(
    evidence: Evidence,
    without: int | None = None,
    steps: int = 50,
    members: Array | None = None,
    negative: bool = False,
) -> Climb:
    """One climb on the rows of all folds but ``without``, over some ``members`` or all."""
    rows = evidence.rows(without)
    members = np.arange(len(evidence.values)) if members is None else members
    sign = 1 if evidence.metric.greater_is_better else -1
    state = _State(evidence, rows, evidence.base_sums(without), members, negative)
    groups = GROUPS if evidence.form else SLOW_GROUPS
    blocks = Blocks(evidence.group[rows] % groups, groups)
    counts, scores, sums = [np.zeros(len(evidence.values))], [], []
    for _ in range(steps):
        found = sign * state.scores()
        if np.isnan(found).all():
            break
        n, i = np.unravel_index(np.nanargmax(found), found.shape)
        member, way = members[i], state.ways[n]
        counts.append(state.scaling(way) * counts[-1])
        counts[-1][member] += way
        state.take(member, way)
        scores.append(float(np.nanmax(found)))
        sums.append(state.left_out(blocks))
    if not scores:
        return Climb(np.zeros((0, len(counts[0]))), np.zeros(0), np.zeros(0), sign > 0)
    best = int(np.argmax(scores))
    left = np.stack(sums)
    differences = sign * (left[best] - left)
    spread = differences - differences.mean(axis=1, keepdims=True)
    errors = np.sqrt((blocks.count - 1) / blocks.count * (spread**2).sum(axis=1))
    return Climb(np.stack(counts[1:]), sign * np.array(scores), errors, sign > 0)


class _State:
    """The members chosen so far, and what the metric says of one more."""

    def __init__(
        self, evidence: Evidence, rows: Array, base: Array, members: Array, negative: bool
    ) -> None:
        self.evidence, self.rows, self.members = evidence, rows, members
        self.bases, self.base = base, base.sum(axis=0)
        self.ways = (1, -1) if negative else (1,)
        self.targets, self.runs = evidence.targets[rows], _runs(rows)
        self.sum = np.zeros((evidence.values.shape[1], len(rows)), np.float32)
        self.total = 0
        if evidence.by_largest:
            self.near = _Near(evidence, rows, members, negative)

    def scaling(self, way: int) -> float:
        """Of what is there, before a member is added, or subtracted: for both a step has 1 more.

        A step moves the blend by one part in ``total`` + 1 towards the member, or away from it.
        """
        return 1.0 if way > 0 else (self.total + 2) / self.total

    def take(self, member: int, way: int) -> None:
        self.sum *= np.float32(self.scaling(way))
        values, combine = self.evidence.values[member], np.add if way > 0 else np.subtract
        for here, there in self.runs:
            combine(self.sum[:, here], values[:, there], out=self.sum[:, here])
        self.total += 1
        if self.evidence.by_largest:
            self.label = largest(self.sum).astype(np.int64)

    def scores(self) -> Array:
        """Of adding each of the members, and of subtracting it, float64 (ways, members)."""
        if self.evidence.by_largest and self.total:
            open_ = self.near.open_classes(self.sum, self.label)
            if open_.sum() < WIDE * open_.size:
                return self._scores_of_open_rows(open_)
        evidence, found = self.evidence, np.full((len(self.ways), len(self.members)), np.nan)
        blend = np.empty_like(self.sum)
        for n, way in enumerate(self.ways if self.total else (1,)):
            move = np.add if way > 0 else np.subtract
            sums = self.sum * np.float32(self.scaling(way)) if way < 0 else self.sum
            for i, member in enumerate(self.members):
                for here, there in self.runs:
                    move(sums[:, here], evidence.values[member][:, there], out=blend[:, here])
                if not evidence.by_largest:
                    blend *= np.float32(1 / (self.total + 1))
                found[n, i] = self._score(blend)
        return found

    def _score(self, blend: Array) -> float:
        evidence = self.evidence
        if evidence.form is None:
            return evidence.metric(self.targets, evidence.link(blend))
        return float(evidence.form.score(self.base + evidence.sums(blend, self.targets)[0]))

    def _scores_of_open_rows(self, open_: Array) -> Array:
        """The same where the largest value decides, and in most rows no move changes which it is.

        Of the other rows only the open classes are looked at: the first of each row, the second …
        """
        form = self.evidence.form
        assert form is not None
        several = open_.sum(axis=0) > 1
        base = self.base + form.sums(self.targets[~several], self.label[~several], None)[0]
        rows = np.flatnonzero(several)
        row, place = np.nonzero(open_[:, rows].T)
        count = np.bincount(row, minlength=len(rows))
        start, order = np.cumsum(count) - count, np.argsort(-count, kind="stable")
        targets = self.targets[rows[order]]
        values = self.near.values(place, rows[row])
        layers = []
        for layer in range(count.max(initial=0)):
            here = order[: np.count_nonzero(count > layer)]
            at = start[here] + layer
            layers.append((place[at], self.sum[place[at], rows[here]], values[at]))
        found = np.full((len(self.ways), len(self.members)), np.nan)
        for n, way in enumerate(self.ways):
            chosen = _largest_of(layers, way, self.scaling(way), len(self.members))
            sums = [form.sums(targets, labels, None)[0] for labels in chosen]
            found[n] = form.score(base + np.array(sums))
        return found

    def left_out(self, blocks: Blocks) -> Array:
        """The metric with each group of rows left out, (groups,)."""
        evidence, blend = self.evidence, self.sum / np.float32(self.total)
        if evidence.form:
            if evidence.by_largest:
                sums = evidence.form.sums(self.targets, self.label, blocks)
            else:
                sums = evidence.sums(blend, self.targets, blocks)
            sums = self.bases + sums
            return evidence.form.score(sums.sum(axis=0) - sums)
        others = [blocks.of != b for b in range(blocks.count)]
        predictions = evidence.link(blend)
        return np.array([evidence.metric(self.targets[o], predictions[o]) for o in others])


def _runs(rows: Array) -> list[tuple[slice, slice]]:
    """Ascending rows as runs of consecutive ones: where they are, and what they are."""
    edges = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1), len(rows)]
    return [(slice(a, b), slice(rows[a], rows[b - 1] + 1)) for a, b in pairwise(edges) if a < b]


def _largest_of(
    layers: list[tuple[Array, Array, Array]], way: int, scaling: float, members: int
) -> Array:
    """The class of the largest value of each row for each member, (m, rows).

    layers: classes, their sums (rows,) and members' values (rows, m) of ever fewer first rows.
    """
    rows = len(layers[0][0]) if layers else 0
    chosen = np.zeros((rows, members), np.uint16)
    best = np.full((rows, members), -np.inf, np.float32)
    for classes, sums, values in layers:
        here = slice(0, len(classes))
        value = sums[:, None] + values if way > 0 else np.float32(scaling) * sums[:, None] - values
        ahead = (value > best[here]) * classes[:, None].astype(np.uint16)
        np.maximum(chosen[here], ahead, out=chosen[here])  # classes come in ascending order
        np.maximum(best[here], value, out=best[here])
    return np.ascontiguousarray(chosen.T)


class _Near:
    """Which classes one more member can make a row's largest, and the members' values there."""

    def __init__(self, evidence: Evidence, rows: Array, members: Array, negative: bool) -> None:
        self.library, self.rows = [evidence.values[m] for m in members], rows
        low, high = self.library[0][:, rows], self.library[0][:, rows]
        for one in self.library[1:]:
            for here, there in _runs(rows):
                np.minimum(low[:, here], one[:, there], out=low[:, here])
                np.maximum(high[:, here], one[:, there], out=high[:, here])
        self.down = np.minimum(low, -high) if negative else low
        self.up = np.maximum(high, -low) if negative else high
        self.known = np.full(low.shape, -1, np.int32)  # where in the store a class of a row is
        self.store, self.stored = np.empty((0, len(members)), np.float32), 0

    def open_classes(self, sums: Array, label: Array) -> Array:
        """Bool (c, n): the classes that can be a row's largest; ``label`` (n,) are so already."""
        own = np.take_along_axis(sums, label[None], axis=0)
        own += np.take_along_axis(self.down, label[None], axis=0)
        open_, most = np.empty(sums.shape, bool), np.empty(sums.shape[1], np.float32)
        for c in range(len(sums)):  # class by class: whole sums would be as large as a member
            np.greater_equal(np.add(sums[c], self.up[c], out=most), own[0], out=open_[c])
        np.put_along_axis(open_, label[None], True, axis=0)
        return open_

    def values(self, classes: Array, rows: Array) -> Array:
        """The members' values of these classes of these rows, (n, m)."""
        new = self.known[classes, rows] < 0
        if new.any():
            self._fetch(classes[new], rows[new])
        return self.store[self.known[classes, rows]]

    def _fetch(self, classes: Array, rows: Array) -> None:
        start, stop = self.stored, self.stored + len(rows)
        if stop > len(self.store):
            larger = np.empty((2 * stop, len(self.library)), np.float32)
            larger[:start] = self.store[:start]
            self.store = larger
        cells = classes * self.library[0].shape[1] + self.rows[rows]
        for m, one in enumerate(self.library):
            self.store[start:stop, m] = one.ravel().take(cells)
        self.known[classes, rows] = np.arange(start, stop)
        self.stored = stop
