"""Which training rows an epoch takes, and in which order."""

import numpy as np

from foldwise.config import Config
from foldwise.device import seed_for
from foldwise.errors import UsageError
from foldwise.training.weights import class_counts

STRATA = 10  # parts of equal size into which a regression's numbers are sorted


def check_sampler(config: Config) -> None:
    """Raises UsageError for a balance between classes where there are none."""
    if config.data.sampler != "shuffle" and config.competition.task == "regression":
        raise UsageError(
            f"data.sampler={config.data.sampler}: a regression has no classes to balance; "
            "leave it out, or weigh the rows with data.weights=COLUMN"
        )


def strata(values: np.ndarray, task: str) -> np.ndarray:
    """int64 (n,): the class by which each row is sampled; of targets as in `competition.targets`.

    In multilabel the rarest of the row's classes (rows without any are a class of their own), in a
    regression the tenth of the rows to which its first number belongs.
    """
    if task == "multilabel":
        counts = class_counts(values, values.shape[1])
        rarity = np.where(values > 0, counts, len(values) + 1)
        return np.where(values.any(axis=1), rarity.argmin(axis=1), values.shape[1])
    if task == "regression":
        ranks = values[:, 0].argsort(kind="stable").argsort(kind="stable")
        return ranks * STRATA // len(values)
    return values


def fraction_of(rows: np.ndarray, classes: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """``fraction`` of the sorted ``rows`` (at least one), with the shares of their ``classes``.

    A smaller fraction is a part of every larger one, and folds draw alike. Each class is dealt out
    evenly, beginning at its first row, so that one with few rows is there too, where there are as
    many rows as classes.
    """
    if fraction == 1:
        return rows
    draw = np.random.default_rng(seed_for(seed, 0, 0, 0, 1)).random(rows[-1] + 1)[rows]
    order = np.lexsort((draw, classes))
    counts = np.unique(classes, return_counts=True)[1]
    starts = np.repeat(counts.cumsum() - counts, counts)
    place = np.empty(len(rows))
    place[order] = (np.arange(len(rows)) - starts) / np.repeat(counts, counts)
    chosen = np.lexsort((draw, place))[: max(1, round(fraction * len(rows)))]
    return np.sort(rows[chosen])


def epoch_order(
    sampler: str, rows: np.ndarray, classes: np.ndarray | None, key: tuple[int, int, int]
) -> np.ndarray:
    """As many rows as ``rows``, in the order of an epoch; ``key``: seed, fold, epoch.

    shuffle: each row once. balanced: each of the ``classes`` of the rows equally often, up to one;
    sqrt: by the square root of its rows (Mahajan et al., "Exploring the Limits of Weakly
    Supervised Pretraining", 2018). No row of a class comes twice before each of them came once, and
    what an epoch leaves out of a large class, the next ones have.
    """
    random = np.random.default_rng(seed_for(*key))
    if sampler == "shuffle" or classes is None:
        return random.permutation(rows)
    seed, fold, epoch = key
    kinds, counts = np.unique(classes, return_counts=True)
    shares = np.ones(len(kinds)) if sampler == "balanced" else np.sqrt(counts)
    wanted = np.round(len(rows) * shares / shares.sum(), 9)
    quotas = np.floor(wanted).astype(np.int64)
    # The rest goes to those that lost most by rounding, among equals by chance.
    lost = np.lexsort((random.permutation(len(kinds)), quotas - wanted))
    quotas[lost[: len(rows) - quotas.sum()]] += 1
    grouped = np.split(rows[classes.argsort(kind="stable")], counts.cumsum()[:-1])
    most_of, parts = np.ceil(wanted).astype(np.int64), []
    for kind, members, quota, most in zip(kinds, grouped, quotas, most_of, strict=True):
        whole = (most - 1) // len(members)
        part = most - whole * len(members)  # of one more pass, which this and other epochs share
        number, turn = divmod(epoch, len(members) // part)
        passing = np.random.default_rng(seed_for(seed, fold, number, kind, 2)).permutation(members)
        taken = [*[members] * whole, passing[turn * part : (turn + 1) * part]]
        parts.append(np.concatenate(taken)[:quota])
    return random.permutation(np.concatenate(parts))
