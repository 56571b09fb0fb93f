"""How sure a score is: bootstrap intervals, and which of two predictions is really better."""

from collections.abc import Iterable, Iterator

import numpy as np

from foldwise.competition.metrics import Metric
from foldwise.competition.sums import Blocks, summed
from foldwise.config import Competition

Array = np.ndarray
SAMPLES = 1000
# A metric that is no function of sums is computed anew for each sample: fewer, and of fewer rows.
SLOW_SAMPLES, SLOW_ENTRIES = 200, 200_000


def resampled(
    metric: Metric,
    settings: Competition,
    targets: Array,
    predictions: Iterable[Array],
    seed: int = 0,
) -> Array:
    """Scores of bootstrap samples of the rows (Efron, 1979), float64 (predictions, samples).

    Each array of ``predictions`` (one in memory at a time where they are made one by one) is
    scored on the same samples, so that the columns are paired. Metrics that are functions of sums
    draw from 1,000 random blocks of rows where there are more rows than that. Others draw fewer
    rows than there are where these are many, and the samples' deviations are shrunk to what all
    rows would give (Bickel, Götze and van Zwet, 1997).
    """
    random = np.random.default_rng(seed)
    form = summed(metric, settings)
    if form is None:
        return np.stack(list(_slowly(metric, targets, predictions, random)))
    blocks = random_blocks(len(targets), SAMPLES, random)
    chosen = random.multinomial(blocks.count, np.full(blocks.count, 1 / blocks.count), SAMPLES)
    return np.stack([form.score(chosen @ form.sums(targets, p, blocks)) for p in predictions])


def random_blocks(rows: int, most: int, random: np.random.Generator) -> Blocks:
    """Every row in one of at most ``most`` blocks of nearly equal size."""
    count = max(1, min(rows, most))
    return Blocks(random.permutation(rows) % count, count)


def _slowly(
    metric: Metric, targets: Array, predictions: Iterable[Array], random: np.random.Generator
) -> Iterator[Array]:
    rows, samples = len(targets), list[Array]()
    for p in predictions:
        size = max(1, min(rows, SLOW_ENTRIES // p.shape[1]))
        samples = samples or [random.integers(rows, size=size) for _ in range(SLOW_SAMPLES)]
        whole = metric(targets, p)
        scores = np.array([metric(targets[s], p[s]) for s in samples])
        yield whole + (scores - whole) * np.sqrt(size / rows)


def interval(samples: Array, share: float = 0.95) -> tuple[float, float] | None:
    """The middle ``share`` of the samples' scores; None where none of them is defined."""
    known = samples[np.isfinite(samples)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def probability_better(a: Array, b: Array, greater_is_better: bool) -> float:
    """That the first is really better: the share of paired samples in which it is.

    Samples in which both score the same count half.
    """
    gain = (a - b) if greater_is_better else (b - a)
    gain = gain[np.isfinite(gain)]
    return float(((gain > 0) + 0.5 * (gain == 0)).mean()) if len(gain) else 0.5
