"""Early stopping, the best weights, the inner split and `train.hours`, in whole trainings."""

import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldwise import interrupt
from foldwise.competition import layout
from foldwise.competition.splits import inner_part
from foldwise.compose import compose
from foldwise.files import read_json
from foldwise.provenance import read_table
from foldwise.runs import Run
from foldwise.training import budget, fold
from foldwise.training.budget import WARMING, Clock
from helpers import QUICK, Ended

COMMAND = ("competition=pets", "fold=0", *QUICK)
WATCHED = (*COMMAND, "train.epochs=8", "optimizer.lr=0.02", "train.keep=best")


def test_the_best_weights_predict(foldwise: Callable[..., Ended], pets: Path) -> None:
    words = ("train.save_every=1", "train.inner=0.25")
    assert foldwise(*WATCHED, *words, "run=r").code == 0
    run, scores = Run("r"), read_json(Run("r").folder / "scores.json")
    metrics = run.metrics(0)
    assert metrics is not None
    best = int(metrics["inner_accuracy"].to_numpy().argmax())  # the first of the largest
    assert best < 7, "it would have been kept without being chosen"
    assert metrics["val_accuracy"][best] == pytest.approx(scores["folds"]["0"])
    kept = (run.fold_folder(0) / f"epoch{best + 1:03d}.safetensors").read_bytes()
    assert (run.fold_folder(0) / "model.safetensors").read_bytes() == kept
    assert scores["selection"] == "ema of the best epoch by train.watch=inner"
    assert scores["optimistic"] is False


def test_who_watches_the_scored_fold_is_marked(foldwise: Callable[..., Ended], pets: Path) -> None:
    ended = foldwise(*WATCHED, "run=r", "train.watch=fold", "train.eval_every=0")
    assert ended.code == 0, ended.err
    metrics, scores = Run("r").metrics(0), Run("r").scores()
    assert metrics is not None and "inner_accuracy" not in metrics
    assert scores["folds"]["0"] == metrics["val_accuracy"].max()
    assert scores["optimistic"] is True
    assert "optimistic" in ended.out
    plain = foldwise(*COMMAND, "run=plain")
    assert plain.code == 0 and "optimistic" not in plain.out
    assert Run("plain").scores()["optimistic"] is False


def test_patience_ends_the_training(foldwise: Callable[..., Ended], pets: Path) -> None:
    words = ("train.patience=2", "train.min_change=1", "optimizer.lr=0.001")
    assert foldwise(*COMMAND, "train.epochs=9", *words, "run=r").code == 0
    metrics = Run("r").metrics(0)
    assert metrics is not None
    assert len(metrics) == 3  # the first is the best, and no other is by 1 better


def test_plateau_lowers_the_rate(foldwise: Callable[..., Ended], pets: Path) -> None:
    words = ("schedule.name=plateau", "schedule.patience=1", "schedule.threshold=1")
    words = (*words, "schedule.decay_rate=0.5", "schedule.warmup_epochs=0", "train.epochs=6")
    assert foldwise(*COMMAND, *words, "run=r").code == 0
    metrics = Run("r").metrics(0)
    assert metrics is not None
    np.testing.assert_allclose(metrics["lr"] / metrics["lr"][0], [1, 1, 1, 0.5, 0.5, 0.25])


def test_nothing_to_watch_is_refused(foldwise: Callable[..., Ended], pets: Path) -> None:
    ended = foldwise(*COMMAND, "run=r", "train.keep=best", "train.inner=0")
    assert ended.code == 2 and "train.inner=0.1" in ended.err
    ended = foldwise(*COMMAND, "run=r", "train.keep=best", "train.inner=0.01")
    assert ended.code == 1 and "say a larger train.inner" in ended.err


def test_the_inner_part_is_stratified_and_keeps_groups_together(pets: Path) -> None:
    data = layout.load(compose(["competition=pets"]))
    rows = np.arange(5, 60)
    part = inner_part(data, rows, 0.2, 0)
    assert part.sum() == 11
    counts = data.train["label"].iloc[rows[part]].value_counts()
    assert counts.max() - counts.min() <= 1
    assert (part == inner_part(data, rows, 0.2, 0)).all()
    assert (part != inner_part(data, rows, 0.2, 1)).any()
    groups = np.arange(60) // 4
    data.train["group"] = groups.astype(str)
    part = inner_part(data, rows, 0.2, 0)
    assert 0 < part.sum() < len(rows)
    assert not set(groups[rows[part]]) & set(groups[rows[~part]])


@pytest.mark.parametrize("steps", [3, 8])
def test_a_watched_training_goes_on_as_if_never_broken(
    foldwise: Callable[..., Ended],
    pets: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
) -> None:
    words = (*WATCHED, "schedule.name=plateau", "schedule.patience=0", "train.patience=3")
    assert foldwise(*words, "run=whole").code == 0
    asked: list[int] = []

    def pending() -> int:
        asked.append(1)
        return signal.SIGTERM if len(asked) > steps else 0

    monkeypatch.setattr(interrupt, "pending", pending)
    assert foldwise(*words, "run=broken").code == 128 + signal.SIGTERM
    monkeypatch.undo()
    monkeypatch.setenv("FOLDWISE_HOME", str(home))
    assert foldwise(*words, "run=broken").code == 0
    for name in ("oof.parquet", "test.parquet", "model.safetensors"):
        whole, broken = (Run(r).fold_folder(0) / name for r in ("whole", "broken"))
        assert whole.read_bytes() == broken.read_bytes()


class Ticking:
    """A clock that is 0.05 seconds later at each look: how fast the machine is does not matter."""

    now = 0.0

    def monotonic(self) -> float:
        self.now += 0.05
        return self.now


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Ticking:
    clock = Ticking()
    for module in (budget, fold):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(budget, "STARTED", 0.0)
    return clock


def test_hours_without_epochs_are_filled(
    foldwise: Callable[..., Ended], pets: Path, ticking: Ticking
) -> None:
    """With real time: tests/benchmarks/bench_hours.py."""
    words = ("competition=pets", "fold=0..1", *QUICK[1:], "run=r")
    ended = foldwise(*words, f"train.hours={20 / 3600}")
    assert ended.code == 0, ended.err
    assert 17 < ticking.now <= 20
    for number in range(2):
        metrics = Run("r").metrics(number)
        assert metrics is not None
        assert 30 < len(metrics) < 65  # 9 seconds, 0.05 a look at the clock, 3 steps an epoch
        assert metrics["lr"].iloc[-1] < metrics["lr"].max() / 100  # the schedule came to its end
    assert len(read_table(Run("r").folder / "oof.parquet")[0]) == 24


def test_hours_with_epochs_are_a_limit(
    foldwise: Callable[..., Ended], pets: Path, ticking: Ticking
) -> None:
    words = (*COMMAND, "train.epochs=60", "train.eval_every=0")
    ended = foldwise(*words, "run=r", f"train.hours={5 / 3600}")
    assert ended.code == 0, ended.err
    assert "is used up" in ended.err and Run("r").checkpoint(0).is_file()
    assert not (Run("r").folder / "scores.json").exists()
    assert foldwise(*words, "run=r").code == 0  # the limit is no part of the recipe
    assert foldwise(*words, "run=whole").code == 0
    for name in ("oof.parquet", "model.safetensors"):
        one, other = (Run(r).fold_folder(0) / name for r in ("r", "whole"))
        assert one.read_bytes() == other.read_bytes()


def test_epochs_by_the_hours_want_hours(foldwise: Callable[..., Ended], pets: Path) -> None:
    for epochs in ("auto", "0"):
        ended = foldwise(*COMMAND, f"train.epochs={epochs}", "run=r")
        assert ended.code == 2 and "train.epochs=auto (which 0 means, too)" in ended.err


def test_the_plan_follows_the_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("foldwise.training.budget.time.monotonic", lambda: now[0])
    clock, done, totals = Clock(deadline=200.0, planned=True), 0, []
    while done < (total := clock.total(done)):
        totals.append(total)
        now[0] += 5.0 if done < WARMING else 0.5
        done += 1
    assert now[0] <= 200.0 < now[0] + 1.5
    assert totals[20] == pytest.approx(done, abs=3)
    late = Clock(deadline=50.0, planned=True)
    assert late.total(0) == 1 and late.total(1) == 1  # a fold that has begun takes one step


def test_metrics_have_a_row_an_epoch(foldwise: Callable[..., Ended], pets: Path) -> None:
    words = ("competition.metrics=[log_loss]", "run=r")
    assert foldwise(*COMMAND, *words).code == 0
    metrics = pd.read_csv(Run("r").fold_folder(0) / "metrics.csv")
    names = ("train_loss", "val_loss", "val_accuracy", "val_log_loss", "lr", "images_per_second")
    for name in (*names, "seconds", "waiting", "grad_norm", "memory_mb"):
        assert np.isfinite(metrics[name]).all(), name
    assert metrics["epoch"].tolist() == [1, 2]
