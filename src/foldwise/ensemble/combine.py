"""From the members' predictions and their weights to those of the blend."""

from collections.abc import Callable

import numpy as np

from foldwise.competition.metrics import thresholds
from foldwise.competition.sums import labels_of
from foldwise.config import Blend, Competition
from foldwise.ensemble.evidence import logits

Array = np.ndarray
TIE = 1e-3  # what the mean probability weighs beside a vote: it breaks ties and no more


def combined(
    read: Callable[[int], Array], weights: Array, settings: Competition, blend: Blend
) -> Array:
    """The members' predictions by ``weights`` (m,), float32 (c, n).

    read: member -> its predictions, float32 (c, n), one in memory at a time. Rows of classes sum
    to 1.
    """
    return finished(weighted(read, weights, settings, blend), settings, blend)


def weighted(
    read: Callable[[int], Array], weights: Array, settings: Competition, blend: Blend
) -> Array:
    """The sum before it is turned into probabilities again."""
    total: Array | None = None
    for member in np.flatnonzero(weights):
        part = np.float32(weights[member]) * transformed(read(int(member)), settings, blend)
        total = part if total is None else np.add(total, part, out=total)
    assert total is not None
    return total


def transformed(p: Array, settings: Competition, blend: Blend) -> Array:
    """What of a member's predictions (c, n) is weighted."""
    if blend.method == "vote":
        return (_votes(p, settings) + np.float32(TIE) * p) / np.float32(1 + TIE)
    if blend.method == "rank":
        return _ranks(p)
    return logits(p, settings.task) if blend.space == "logit" else p


def finished(total: Array, settings: Competition, blend: Blend) -> Array:
    """A weighted sum (c, n) as predictions: probabilities between 0 and 1, of classes summing to 1.

    A regression's is what it is.
    """
    if settings.task == "regression":
        return total
    if blend.space == "logit":
        if settings.task == "multilabel":
            return 1 / (1 + np.exp(-total))
        total = np.exp(total - total.max(axis=0))
    if settings.task == "multilabel":
        return _majority(total, settings) if blend.method == "vote" else np.clip(total, 0, 1)
    total = np.maximum(total, 0)
    total = total / np.maximum(total.sum(axis=0), np.finfo(np.float32).tiny)
    if blend.method == "vote" and len(total) == 2:
        second = _majority(total, settings)[1]
        total = np.stack([1 - second, second])
    return total


def _majority(shares: Array, settings: Competition) -> Array:
    """Shares of votes (c, n), moved so that half of them is a class's threshold."""
    rows = zip(shares, thresholds(settings), strict=True)
    moved = [np.interp(share, [0, 0.5, 1], [0, threshold, 1]) for share, threshold in rows]
    return np.stack(moved).astype(np.float32)


def _votes(p: Array, settings: Competition) -> Array:
    """1 for the class that a member decides on (each class of a multilabel row), (c, n)."""
    if settings.task == "multilabel":
        return (p >= thresholds(settings)[:, None].astype(p.dtype)).astype(np.float32)
    votes = np.zeros_like(p)
    np.put_along_axis(votes, labels_of(p.T, settings).astype(np.int64)[None], 1, axis=0)
    return votes


def _ranks(p: Array) -> Array:
    """Ranks of each class's probabilities among the rows, from 0 to 1, ties at their mean."""
    from scipy.stats import rankdata

    ranks = np.stack([rankdata(row) for row in p])
    return ((ranks - 0.5) / p.shape[1]).astype(np.float32)
