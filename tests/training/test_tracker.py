"""`train.tracker`: the rows of metrics.csv, read back with each tracker's own reader."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from foldwise.runs import Run
from helpers import QUICK, Ended

COMMAND = ("competition=pets", "fold=0..1", *QUICK, "train.epochs=2", "run=tracked")


def test_tensorboard(foldwise: Callable[..., Ended], pets: Path) -> None:
    events = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is not installed",
    )
    ended = foldwise(*COMMAND, "train.tracker=tensorboard")
    assert ended.code == 0, ended.err
    for fold in (0, 1):
        written = events.EventAccumulator(str(Run("tracked").fold_folder(fold) / "tensorboard"))
        written.Reload()
        metrics = Run("tracked").metrics(fold)
        assert metrics is not None
        assert written.Tags()["scalars"]
        for name in ("train_loss", "val_accuracy", "lr"):
            found = {event.step: event.value for event in written.Scalars(name)}
            known = metrics.set_index("epoch")[name].dropna()
            assert found == pytest.approx(known.to_dict(), rel=1e-6), name


def test_wandb(foldwise: Callable[..., Ended], pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    ended = foldwise(*COMMAND, "train.tracker=wandb")
    assert ended.code == 0, ended.err
    for fold in (0, 1):
        kept = list(Run("tracked").fold_folder(fold).glob("wandb/offline-run-*/*.wandb"))
        assert len(kept) == 1
        assert b"train_loss" in kept[0].read_bytes()


def test_one_that_is_not_installed(
    foldwise: Callable[..., Ended], pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    ended = foldwise(*COMMAND, "train.tracker=wandb")
    assert ended.code == 2
    assert f"{sys.executable} -m pip install wandb" in ended.err
    assert not Run("tracked").folder.exists()
