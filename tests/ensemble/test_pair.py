"""Which of two runs is really better."""

from collections.abc import Callable
from pathlib import Path

import pytest

from foldwise.ensemble.pair import compared_pair
from foldwise.runs import Run
from helpers import Ended
from made_runs import Truth, make_run

Command = Callable[..., Ended]


@pytest.fixture
def truth(home: Path) -> Truth:
    truth = Truth(test=0)
    make_run("weak", truth, skill=1.0)
    make_run("strong", truth, skill=2.0, seed=1)
    return truth


def test_the_better_run_is_found(foldwise: Command, truth: Truth) -> None:
    pair = compared_pair(Run("strong"), Run("weak"))
    back = compared_pair(Run("weak"), Run("strong"))
    assert pair.better > 0.99 and back.better == pytest.approx(1 - pair.better)
    assert pair.interval and pair.interval[0] < pair.gain < pair.interval[1]
    assert (pair.rows, pair.gain) == (240, -back.gain)
    said = foldwise("runs", "compare", "run=strong", "with=weak").out
    assert f"strong {pair.scores[0]:.4f}, weak {pair.scores[1]:.4f}" in said
    same = compared_pair(Run("weak"), Run("weak"))
    assert (same.gain, same.better) == (0, 0.5)


def test_of_a_loss_the_smaller_is_better(truth: Truth) -> None:
    make_run("loss", truth, skill=2.0, metric="log_loss")
    pair = compared_pair(Run("loss"), Run("weak"))
    assert pair.metric == "log_loss" and pair.gain > 0 and pair.better > 0.99


def test_only_shared_rows_count(truth: Truth) -> None:
    make_run("part", truth, skill=1.0, folds=[1])
    pair = compared_pair(Run("part"), Run("weak"))
    assert pair.rows == (truth.fold == 1).sum() and pair.gain == 0 and not pair.apart


def test_what_cannot_be_compared_is_named(foldwise: Command, truth: Truth) -> None:
    make_run("first", truth, folds=[0])
    make_run("second", truth, folds=[1])
    make_run("leaky", truth, held_out={2: [0]})
    make_run("plants", truth, slug="plants")
    turned = Truth(test=0)
    turned.train_targets[7] = (turned.train_targets[7] + 1) % 3
    make_run("turned", turned)
    for one, other, line in (
        ("first", "second", "have predicted no row in common"),
        ("weak", "leaky", "leaky has seen the labels of fold 2 that it predicts"),
        ("weak", "plants", "plants is a run of competition plants and weak of pets"),
        ("weak", "turned", "were scored on other labels (ids tr007)"),
        ("weak", "none", "there is no run 'none'"),
    ):
        ended = foldwise("runs", "compare", f"run={one}", f"with={other}")
        assert (ended.code, ended.err.count("\n")) == (1, 1) and line in ended.err
