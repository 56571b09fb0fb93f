"""Early stopping and the best weights follow from the history."""

import math

import pytest

from foldwise.compose import compose
from foldwise.errors import UsageError
from foldwise.training import watch


def history(*values: float) -> watch.History:
    return [{"epoch": n + 1, "inner_accuracy": v} for n, v in enumerate(values)]


def settings(*words: str):  # type: ignore[no-untyped-def]
    task = "competition.task=multiclass"
    return compose([task, "competition.metric=accuracy", "train.keep=best", *words])


def test_the_best_epoch_is_the_first_that_no_later_one_beats() -> None:
    config = settings()
    assert watch.best_epoch(config, []) == 0
    assert watch.best_epoch(config, history(0.5, 0.7, 0.7, 0.6)) == 2
    assert watch.improved(config, history(0.5, 0.7))
    assert not watch.improved(config, history(0.5, 0.7, 0.7))
    lower = settings("competition.metric=log_loss")
    rows = [{"epoch": n + 1, "inner_log_loss": v} for n, v in enumerate((0.7, 0.4, 0.5))]
    assert watch.best_epoch(lower, rows) == 2


def test_a_smaller_improvement_is_none() -> None:
    config = settings("train.min_change=0.05")
    assert watch.best_epoch(config, history(0.5, 0.54, 0.58)) == 3  # both together are one
    assert watch.best_epoch(config, history(0.5, 0.54, 0.55)) == 1


def test_an_epoch_without_a_score_is_no_improvement() -> None:
    assert watch.best_epoch(settings(), history(math.nan, 0.2, math.nan)) == 2
    assert watch.best_epoch(settings(), history(math.nan)) == 1  # something has to be kept


@pytest.mark.parametrize(
    ("values", "stopped"),
    [((0.5, 0.6, 0.6), False), ((0.5, 0.6, 0.6, 0.6), True), ((0.5, 0.6, 0.6, 0.7), False)],
)
def test_patience(values: tuple[float, ...], stopped: bool) -> None:
    assert watch.has_stopped(settings("train.patience=2"), history(*values)) == stopped


def test_patience_begins_after_its_warm_up() -> None:
    config = settings("train.patience=2", "train.patience_warmup=3")
    falling = history(0.9, 0.8, 0.7, 0.6, 0.5)
    stops = [watch.has_stopped(config, falling[:n]) for n in range(6)]
    assert stops == [False, False, False, False, False, True]


def test_there_must_be_something_to_watch() -> None:
    with pytest.raises(UsageError, match=r"train\.inner=0\.1"):
        watch.check_watching(settings("train.inner=0"))
    watch.check_watching(settings("train.inner=0", "train.watch=fold"))
    watch.check_watching(compose(["train.inner=0"]))
    assert watch.optimistic(settings("train.watch=fold"))
    assert not watch.optimistic(settings())
