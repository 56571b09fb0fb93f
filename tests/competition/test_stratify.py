"""Labels are spread evenly over folds, whatever the order of rows, and groups stay together."""

import numpy as np
import pytest

from foldwise.competition.stratify import iterative_folds


def drawn(n=600, c=6, seed=0):
    source = np.random.default_rng(seed)
    return (source.random((n, c)) < np.geomspace(0.5, 0.02, c)).astype(np.int64)


def shares(counts, fold, k):
    """Each fold's share of each label."""
    return np.stack([counts[fold == f].sum(0) for f in range(k)]) / counts.sum(0)


@pytest.mark.parametrize("k", [2, 5])
def test_even_shares(k):
    flags = drawn()
    fold = iterative_folds(flags, np.ones(len(flags)), k, seed=0)
    ideal = flags.sum(0) / k
    spread = np.abs(shares(flags, fold, k) * flags.sum(0) - ideal).max(0)
    assert (spread <= np.maximum(1.0, 0.02 * ideal)).all()  # within one row of it
    assert np.abs(np.bincount(fold) - len(flags) / k).max() <= 3
    random = np.random.RandomState(0).randint(0, k, len(flags))
    assert spread.max() < np.abs(shares(flags, random, k) * flags.sum(0) - ideal).max()


def test_groups_are_units():
    flags, group = drawn(), np.arange(600) // 4
    counts = np.stack([flags[group == g].sum(0) for g in range(150)])
    fold = iterative_folds(counts, np.full(150, 4), 5, seed=0)
    assert np.abs(shares(counts, fold, 5) - 0.2).max() < 0.08
    assert np.abs(np.bincount(fold) * 4 - 120).max() <= 8


def test_the_seed_decides():
    flags = drawn()
    one = [iterative_folds(flags, np.ones(len(flags)), 5, seed=s) for s in (0, 0, 1)]
    assert (one[0] == one[1]).all() and (one[0] != one[2]).any()


def test_rows_without_labels_fill_up():
    flags = np.zeros((10, 2), int)
    flags[:4, 0] = 1
    fold = iterative_folds(flags, np.ones(10), 2, seed=0)
    assert np.bincount(fold).tolist() == [5, 5] and flags[fold == 0].sum() == 2
