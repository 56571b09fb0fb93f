"""Which images of a pool are taken: by what is said of them, never by their order."""

from dataclasses import replace

import numpy as np
import pytest

from foldwise.config import Competition, Pseudo
from foldwise.ensemble.pseudo import Chosen, check_pseudo, choose, confidence
from foldwise.errors import FoldwiseError, UsageError

CLASSES = ["cat", "dog", "owl"]
MULTICLASS = Competition(task="multiclass", classes=CLASSES)
LABELLED = np.array([40, 40, 40])
ANY = Pseudo(threshold=0, balance=0)


def guesses(n: int = 200, seed: int = 0, c: int = 3) -> np.ndarray:
    z = 2 * np.random.default_rng(seed).normal(size=(n, c))
    return (np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)).astype(np.float32)


def names(n: int) -> list[str]:
    return [f"im{i:04d}" for i in range(n)]


def taken(found: Chosen, ids: list[str]) -> dict[str, object]:
    """{id: target}, in the order in which they are learned."""
    return {ids[n]: t.tolist() for n, t in zip(found.rows, found.targets, strict=True)}


@pytest.mark.parametrize(
    "wanted",
    [
        Pseudo(threshold=0.8),
        Pseudo(threshold=0, share=0.1, balance=1.0),
        Pseudo(threshold=0.5, labels="soft", agree=0.5),
    ],
)
def test_the_order_of_the_pool_changes_nothing(wanted: Pseudo) -> None:
    p, ids = guesses(), names(200)
    p[50:100] = p[:50]  # equally sure: the ids decide
    voices, few = [p, guesses(seed=1)], np.array([60, 5, 55])
    order = np.random.default_rng(3).permutation(200)
    one = choose(p, ids, MULTICLASS, wanted, few, voices)
    shuffled = [ids[n] for n in order]
    other = choose(p[order], shuffled, MULTICLASS, wanted, few, [v[order] for v in voices])
    assert list(taken(one, ids).items()) == list(taken(other, shuffled).items())
    assert one.counts == other.counts and 0 < len(one.rows) < 200


def test_a_threshold_takes_what_reaches_it_with_its_likeliest_class() -> None:
    p, ids = guesses(), names(200)
    found = choose(p, ids, MULTICLASS, Pseudo(threshold=0.8, balance=0), LABELLED)
    np.testing.assert_array_equal(found.rows, np.flatnonzero(p.max(axis=1) >= np.float32(0.8)))
    np.testing.assert_array_equal(found.targets, p[found.rows].argmax(axis=1))
    assert sum(found.classes.values()) == len(found.rows) == found.counts["taken"]
    soft = choose(p, ids, MULTICLASS, Pseudo(threshold=0.8, balance=0, labels="soft"), LABELLED)
    np.testing.assert_array_equal(soft.targets, p[found.rows])
    assert soft.classes == found.classes


def test_a_share_takes_the_surest_of_each_predicted_class() -> None:
    p = guesses()
    found = choose(p, names(200), MULTICLASS, replace(ANY, share=0.2), LABELLED)
    for c in range(3):
        mine = np.flatnonzero(p.argmax(axis=1) == c)
        ours = found.rows[found.targets == c]
        assert len(ours) == np.ceil(0.2 * len(mine))
        others = np.setdiff1d(mine, ours)
        assert p[ours].max(axis=1).min() >= p[others].max(axis=1).max()


def test_no_class_floods() -> None:
    p = guesses()
    p[:150] = [0.98, 0.01, 0.01]
    for labelled in (LABELLED, np.array([10, 60, 50])):
        found = choose(p, names(200), MULTICLASS, replace(ANY, balance=1.5), labelled)
        limits = np.ceil(1.5 * 200 * labelled / labelled.sum())
        assert (np.bincount(found.targets, minlength=3) <= limits).all()
    everything = choose(p, names(200), MULTICLASS, ANY, LABELLED)
    assert len(everything.rows) == 200


def test_members_must_agree() -> None:
    p = guesses()
    contrary = np.roll(p, 1, axis=1)
    half = choose(p, names(200), MULTICLASS, replace(ANY, agree=0.5), LABELLED, [p, contrary])
    assert len(half.rows) == 200
    with pytest.raises(FoldwiseError, match="agreed 0"):
        choose(p, names(200), MULTICLASS, replace(ANY, agree=1), LABELLED, [p, contrary])
    some = p.copy()
    some[:80] = contrary[:80]
    found = choose(p, names(200), MULTICLASS, replace(ANY, agree=1), LABELLED, [p, some])
    np.testing.assert_array_equal(found.rows, np.arange(80, 200))


def test_what_is_not_allowed_is_not_taken() -> None:
    allowed = np.arange(200) % 2 == 0
    found = choose(guesses(), names(200), MULTICLASS, ANY, LABELLED, allowed=allowed)
    np.testing.assert_array_equal(found.rows, np.flatnonzero(allowed))


def test_nothing_sure_enough_is_a_line() -> None:
    with pytest.raises(FoldwiseError, match=r"pool 200, from 1.01 0\); the surest has 0\.9.*lower"):
        choose(guesses(), names(200), MULTICLASS, Pseudo(threshold=1.01), LABELLED)


def test_a_pool_of_duplicates_is_a_line_that_does_not_blame_the_threshold() -> None:
    none = np.zeros(200, bool)
    with pytest.raises(FoldwiseError, match=r"no duplicate 0.*nearly duplicates") as raised:
        choose(guesses(), names(200), MULTICLASS, ANY, LABELLED, allowed=none)
    assert "threshold" not in str(raised.value)


def test_flags_must_all_be_sure_of_yes_or_of_no() -> None:
    settings = Competition(task="multilabel", classes=CLASSES)
    p = np.array([[0.95, 0.02, 0.99], [0.95, 0.5, 0.01], [0.05, 0.06, 0.04]], np.float32)
    np.testing.assert_allclose(confidence(p, settings), [0.95, 0.5, 0.94])
    found = choose(p, names(3), settings, Pseudo(threshold=0.9), np.zeros(0))
    assert found.targets.tolist() == [[1, 0, 1], [0, 0, 0]] and found.targets.dtype == np.uint8
    assert found.classes == {"cat": 1, "dog": 0, "owl": 1}
    with pytest.raises(UsageError, match=r"pseudo.balance=3 has no meaning in multilabel"):
        check_pseudo(Pseudo(balance=3), settings)


def test_numbers_are_learned_as_they_are() -> None:
    settings = Competition(task="regression", classes=["size"])
    p = np.array([[3.0], [-1.0], [9.0]], np.float32)
    found = choose(p, ["c", "a", "b"], settings, Pseudo(), np.zeros(0))
    assert found.targets.tolist() == [[-1.0], [9.0], [3.0]]  # by id
    check_pseudo(Pseudo(weight=0.5), settings)
    with pytest.raises(UsageError, match=r"pseudo.threshold=0.5 has no meaning in regression"):
        check_pseudo(Pseudo(threshold=0.5), settings)
