"""Several runs on the rows that they share, and whether one is really better than another."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from foldwise.report.predictions import Predictions
from foldwise.report.reading import Reading
from foldwise.report.text import number

CHANCE = 0.05  # p below which a difference is called real


@dataclass(frozen=True)
class Together:
    """ids: object (n,), of all runs. place: int64 (r, n), each id's row in a run, -1 without.

    good: float64 (r, n), Predictions.good, nan without. lack: likewise, what is wanting of the
    truth's probability; in a regression the first number's error.
    """

    ids: np.ndarray
    place: np.ndarray
    good: np.ndarray
    lack: np.ndarray


def together(runs: Sequence[Predictions]) -> Together:
    """Aligns runs by id."""
    index = pd.Index(runs[0].ids)
    for predictions in runs[1:]:
        other = pd.Index(predictions.ids)
        index = index if index.equals(other) else index.union(other, sort=False)
    place = np.stack([pd.Index(p.ids).get_indexer(index) for p in runs])
    good, lack = (np.full(place.shape, np.nan) for _ in range(2))
    for run, (predictions, rows) in enumerate(zip(runs, place, strict=True)):
        there = rows >= 0
        good[run, there] = predictions.good[rows[there]]
        lack[run, there] = _lack(predictions)[rows[there]]
    return Together(index.to_numpy(object), place, good, lack)


def _lack(predictions: Predictions) -> np.ndarray:
    if predictions.task == "regression":
        return (predictions.values - predictions.targets)[:, 0]
    return 1 - predictions.truth


def correlation(lack: np.ndarray) -> np.ndarray:
    """float64 (r, r): Pearson's over shared rows; nan where there are none or one never varies."""
    if not np.isnan(lack).any():
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.atleast_2d(np.corrcoef(lack))
    return pd.DataFrame(lack.T).corr().to_numpy()


def verdict(a: Reading, b: Reading, good: np.ndarray) -> list[str]:
    """What the rows and the folds say of two runs, in sentences; ``good``: (2, n), shared rows."""
    lines = [_by_rows(a, b, good), _by_folds(a, b)]
    if a.folds_hash != b.folds_hash:
        lines.append("They were trained on different splits: compare with care.")
    return [line for line in lines if line]


def _by_rows(a: Reading, b: Reading, good: np.ndarray) -> str:
    names = a.facts.name, b.facts.name
    if a.facts.config.competition.task == "regression":
        difference = good[0] - good[1]
        if len(difference) < 2 or not difference.std():
            return "Their errors are the same."
        p = float(stats.ttest_1samp(difference, 0).pvalue)
        better = names[0] if difference.mean() > 0 else names[1]
        return (
            f"Over {len(difference):,} shared rows {better} has the smaller error on average; "
            f"paired t-test {_chance(p)}"
        )
    only = (
        int(((good[0] == 1) & (good[1] == 0)).sum()),
        int(((good[0] == 0) & (good[1] == 1)).sum()),
    )
    both, neither = int((good.min(axis=0) == 1).sum()), int((good.max(axis=0) == 0).sum())
    p = mcnemar(*only)
    return (
        f"Of {good.shape[1]:,} shared rows both have {both:,} right and {neither:,} wrong; only "
        f"{names[0]} is right on {only[0]:,}, only {names[1]} on {only[1]:,}. "
        f"McNemar's exact test: {_chance(p)}"
    )


def mcnemar(only_a: int, only_b: int) -> float:
    """The exact test's p (McNemar, 1947): 1 where they never differ."""
    if not only_a + only_b:
        return 1.0
    return float(stats.binomtest(only_a, only_a + only_b, 0.5).pvalue)


def _by_folds(a: Reading, b: Reading) -> str:
    scores = [one.facts.scores.get("folds") or {} for one in (a, b)]
    shared = [k for k in scores[0] if scores[0][k] is not None and scores[1].get(k) is not None]
    if len(shared) < 3 or a.facts.metric != b.facts.metric:
        return ""
    difference = np.array([scores[0][k] - scores[1][k] for k in shared])
    p = corrected_t(difference)
    side = "above" if difference.mean() >= 0 else "below"
    return (
        f"By folds the {a.facts.metric} of {a.facts.name} is {number(abs(difference.mean()))} "
        f"{side} that of {b.facts.name} (standard deviation {number(difference.std(ddof=1))} over "
        f"{len(shared)} folds); corrected t-test: {_chance(p)}"
    )


def corrected_t(difference: np.ndarray) -> float:
    """p of the t-test for cross-validated differences (Nadeau and Bengio, 2003).

    The folds' training rows overlap, so their scores are not independent: the variance of the mean
    is (1/k + n_test/n_train) times that of the folds, with n_test/n_train = 1/(k - 1).
    """
    k, variance = len(difference), difference.var(ddof=1)
    if not variance:
        return 0.0 if difference.mean() else 1.0
    t = difference.mean() / math.sqrt((1 / k + 1 / (k - 1)) * variance)
    return float(2 * stats.t.sf(abs(t), k - 1))


def _chance(p: float) -> str:
    said = "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"
    return f"{said}, {'hardly chance' if p < CHANCE else 'may well be chance'}."


def disagreements(a: Predictions, b: Predictions, rows: np.ndarray, limit: int) -> list[int]:
    """Positions in ``rows`` (int64 (2, m), the same ids' rows in a and b) of the hardest clashes.

    They say different things, and the surest clashes come first; in a regression the farthest
    apart.
    """
    if a.task == "regression":
        gap = np.abs(a.values[rows[0]] - b.values[rows[1]]).mean(axis=1)
        return np.argsort(-gap, kind="stable")[:limit].tolist()
    other = a.decided[rows[0]] != b.decided[rows[1]]
    other = other.any(axis=1) if other.ndim == 2 else other
    found = np.flatnonzero(other)
    sure = a.confidence[rows[0]] + b.confidence[rows[1]]
    return found[np.argsort(-sure[found], kind="stable")][:limit].tolist()


def answer(predictions: Predictions, row: int) -> str:
    """``✓ cat 93%`` of one row."""
    if predictions.task == "regression":
        return predictions.said_text(row)
    mark = "✓" if predictions.good[row] == 1 else "✗"
    return f"{mark} {predictions.said_text(row)} {predictions.confidence[row]:.0%}"


def shared_pairs(listed: Sequence[Reading], aligned: Together) -> list[tuple[int, int, Any]]:
    """Each two runs with what they share: (a, b, positions of the shared ids)."""
    found = []
    for a in range(len(listed)):
        for b in range(a + 1, len(listed)):
            positions = np.flatnonzero((aligned.place[a] >= 0) & (aligned.place[b] >= 0))
            found.append((a, b, positions))
    return found
