"""Which rows an epoch takes."""

import numpy as np
import pytest

from foldwise.compose import compose
from foldwise.errors import UsageError
from foldwise.training.samplers import check_sampler, epoch_order, fraction_of, strata

ROWS = np.arange(100, 240)
CLASSES = np.repeat([0, 1, 2, 5], [100, 30, 9, 1])


def counts(order: np.ndarray) -> list[int]:
    found = CLASSES[np.searchsorted(ROWS, order)]
    return [int((found == kind).sum()) for kind in (0, 1, 2, 5)]


def test_shuffle_is_a_permutation() -> None:
    order = epoch_order("shuffle", ROWS, None, (0, 1, 2))
    assert sorted(order) == ROWS.tolist()


@pytest.mark.parametrize(
    ("sampler", "shares"), [("balanced", [1] * 4), ("sqrt", [10, 30**0.5, 3, 1])]
)
def test_classes_come_as_often_as_asked(sampler: str, shares: list[float]) -> None:
    wanted = 140 * np.array(shares) / sum(shares)
    total = np.zeros(4)
    for epoch in range(40):
        order = epoch_order(sampler, ROWS, CLASSES, (0, 1, epoch))
        assert len(order) == 140
        assert abs(counts(order) - wanted).max() < 1
        total += counts(order)
    np.testing.assert_allclose(total / 40, wanted, atol=0.5)


def test_the_rest_of_a_division_goes_to_any_class() -> None:
    rows, classes = np.arange(20), np.arange(20) % 3
    found = {
        tuple(np.bincount(classes[epoch_order("balanced", rows, classes, (0, 0, e))]))
        for e in range(30)
    }
    assert found == {(7, 7, 6), (7, 6, 7), (6, 7, 7)}


def test_no_row_is_repeated_before_its_class_is_through() -> None:
    seen: list[int] = []
    for epoch in range(20):
        order = epoch_order("balanced", ROWS, CLASSES, (3, 0, epoch))
        times = np.bincount(order - 100, minlength=140)
        assert times[:100].max() == 1  # 35 of 100
        assert set(times[100:130]) == {1, 2}  # 35 of 30
        assert set(times[130:139]) <= {3, 4} and times[139] == 35
        if epoch < 2:
            seen += order[order < 200].tolist()
    assert len(seen) == len(set(seen)) == 70  # what one epoch left out, the next one has


def test_an_order_is_decided_by_seed_fold_and_epoch() -> None:
    one = epoch_order("balanced", ROWS, CLASSES, (0, 1, 2))
    assert np.array_equal(one, epoch_order("balanced", ROWS, CLASSES, (0, 1, 2)))
    for key in ((1, 1, 2), (0, 2, 2), (0, 1, 3)):
        assert not np.array_equal(one, epoch_order("balanced", ROWS, CLASSES, key))


@pytest.mark.parametrize("seed", [0, 1])
def test_fractions_are_stratified_and_nested(seed: int) -> None:
    smaller: set[int] = set()
    for fraction in (0.05, 0.1, 0.2, 0.5, 0.9, 1.0):
        chosen = fraction_of(ROWS, CLASSES, fraction, seed)
        assert len(chosen) == round(fraction * 140) and np.array_equal(chosen, np.sort(chosen))
        assert smaller <= set(chosen) <= set(ROWS)
        smaller = set(chosen)
        np.testing.assert_allclose(counts(chosen), fraction * np.array([100, 30, 9, 1]), atol=1.99)
        assert min(counts(chosen)) >= 1
    assert set(fraction_of(ROWS, CLASSES, 0.5, seed)) != set(fraction_of(ROWS, CLASSES, 0.5, 7))
    assert len(fraction_of(ROWS, CLASSES, 0.0001, seed)) == 1


def test_folds_share_the_rows_of_a_fraction() -> None:
    """The same seed draws the same rows, as far as two folds have the same."""
    half = [set(fraction_of(r, r % 2, 0.5, 0)) for r in (np.arange(0, 90), np.arange(10, 100))]
    assert len(half[0] & half[1]) > 30


def test_several_labels_count_as_the_rarest_and_numbers_by_tenths() -> None:
    flags = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0], [1, 1, 1]], np.uint8)
    assert strata(flags, "multilabel").tolist() == [1, 0, 2, 3, 1]
    numbers = np.random.default_rng(0).normal(size=(50, 2))
    tenths = strata(numbers, "regression")
    assert np.bincount(tenths).tolist() == [5] * 10
    assert (np.diff(tenths[numbers[:, 0].argsort()]) >= 0).all()
    with pytest.raises(UsageError, match="regression has no classes to balance"):
        check_sampler(compose(["data.sampler=sqrt", "competition.task=regression"]))
