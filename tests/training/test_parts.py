"""Memory that does not hold a batch: automatic sizes, and batches in parts."""

import resource
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from foldwise import interrupt
from foldwise.compose import compose
from foldwise.device import pick_device
from foldwise.images.load import ResidentImages
from foldwise.runs import Run
from foldwise.training import step, trial
from foldwise.training.fold import beginning
from foldwise.training.material import Material
from foldwise.training.memory import parted
from foldwise.training.optimizer import peak_rate
from helpers import QUICK, Ended, start, write_competition

COMMAND = ("competition=pets", "fold=0", *QUICK)


@pytest.mark.parametrize(("rows", "parts"), [(16, 1), (16, 2), (15, 4), (3, 2), (1, 1)])
def test_the_parts_are_the_batch(rows: int, parts: int) -> None:
    pieces = parted(rows, parts)
    assert [n for piece in pieces for n in list(range(rows))[piece]] == list(range(rows))
    assert len(pieces) <= parts


def step_in_parts(parts: int) -> tuple[list[torch.Tensor], float, int]:
    """The weights after a step without batch norm, its loss, and how many rows were right."""
    words = ("images.size=12", "model.name=monkeynet", "model.in_chans=3", "train.precision=fp32")
    config = compose([*words, "loss.name=cross_entropy", "model.drop_rate=0"])
    config.competition.classes, config.competition.task = ["a", "b", "c"], "multiclass"
    config.augment.shift = 0.0
    device = torch.device("cpu")
    state, normalize = beginning(config, 0, 2, device)
    state.parts = parts
    pixels = torch.randint(256, (10, 12, 12, 3), generator=torch.manual_seed(0)).to(torch.uint8)
    rows, targets = np.arange(10), torch.arange(10) % 3
    material = Material(0, rows, ResidentImages(pixels), targets, normalize, device)
    step.train_step(config, material, state, rows, pixels)
    weights = [weight.detach().clone() for weight in state.network.parameters()]
    return weights, float(state.losses[0]), int(state.right[0])


def test_a_batch_in_parts_makes_the_same_update() -> None:
    whole, loss, right = step_in_parts(1)
    for parts in (2, 4):
        weights, parts_loss, parts_right = step_in_parts(parts)
        assert parts_right == right > 0
        assert parts_loss == pytest.approx(loss, rel=1e-5)
        for one, other in zip(weights, whole, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_without_memory_a_batch_goes_through_in_parts(
    foldwise: Callable[..., Ended],
    pets: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The memory holds 4 images at once from the fourth batch on: 16 go through as 4 times 4."""
    own, seen = step._loss, []

    def loss(config, material, state, pixels, *more):  # type: ignore[no-untyped-def]
        if len(seen) > 3 and len(pixels) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        seen.append(len(pixels))
        return own(config, material, state, pixels, *more)

    monkeypatch.setattr(step, "_loss", loss)
    ended = foldwise(*COMMAND, "train.accumulate=2", "run=r", "train.epochs=3")
    assert ended.code == 0, ended.err
    log = (Run("r").fold_folder(0) / "train.log").read_text()
    assert "8 images at a time" in log and "4 images at a time" in log
    metrics = Run("r").metrics(0)
    assert metrics is not None and len(metrics) == 3
    assert metrics["parts"].tolist()[-1] == 4
    assert metrics["train_accuracy"].between(0, 1).all()
    assert set(seen) == {16, 4}

    never = foldwise(*COMMAND, "run=never", "train.batch_size=1", "train.epochs=1")
    assert never.code in (0, 1)
    monkeypatch.setattr(step, "_loss", lambda *_: (_ for _ in ()).throw(MemoryError()))
    ended = foldwise(*COMMAND, "run=none")
    assert ended.code == 1 and "out of memory" in ended.err


def test_parts_are_remembered(
    foldwise: Callable[..., Ended],
    pets: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, seen = step._loss, []

    def loss(config, material, state, pixels, *more):  # type: ignore[no-untyped-def]
        if len(pixels) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        seen.append(len(pixels))
        return own(config, material, state, pixels, *more)

    monkeypatch.setattr(step, "_loss", loss)
    monkeypatch.setattr(interrupt, "pending", lambda: signal.SIGTERM if len(seen) == 4 else 0)
    assert foldwise(*COMMAND, "run=r").code == 128 + signal.SIGTERM
    monkeypatch.setattr(interrupt, "pending", lambda: 0)
    ended = foldwise(*COMMAND, "run=r")
    assert ended.code == 0, ended.err
    assert (Run("r").fold_folder(0) / "train.log").read_text().count("out of memory") == 1


def test_the_rate_follows_the_batch() -> None:
    settings = compose(["optimizer.lr=0.1", "optimizer.lr_batch=64"]).optimizer
    assert peak_rate(settings, 64) == pytest.approx(0.1)
    assert peak_rate(settings, 256) == pytest.approx(0.2)
    settings.name = "sgd"
    assert peak_rate(settings, 256) == pytest.approx(0.4)
    settings.lr_batch = 0
    assert peak_rate(settings, 256) == 0.1


def test_an_automatic_batch_is_decided_once(
    foldwise: Callable[..., Ended], pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "STEPS", 3)
    words = ("competition=pets", "train.epochs=2", QUICK[2], "train.batch_size=auto", "run=r")
    ended = foldwise(*words, "fold=0")
    assert ended.code == 0, ended.err
    assert "train.batch_size=auto: 16 images" in ended.err
    config = Run("r").config()
    assert (config.train.batch_size, config.optimizer.lr_batch) == (16, 64)
    monkeypatch.setattr(trial, "_need", lambda *_: 1 / 0)  # what was decided is not tried again
    assert foldwise(*words, "fold=1").code == 0


def test_memory_bounds_an_automatic_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose(["train.batch_size=auto", "images.size=32", "model.in_chans=3"])
    monkeypatch.setattr(trial, "_free", lambda _: 1000.0)
    monkeypatch.setattr(trial, "_need", lambda _, size, __: 100.0 + 10 * size)
    line = trial.decide_batch_size(config, 10**6, pick_device("cpu"))
    assert config.train.batch_size == 64  # 128 images would take 1,380 bytes of 1,000
    assert line == "train.batch_size=auto: 64 images (at most 256 here)"


@pytest.mark.slow
def test_a_process_with_little_memory_finishes(tmp_path: Path) -> None:
    """The limit is the process's own (an rlimit): batches of 512 images of 64 pixels do not fit."""
    write_competition(tmp_path / "input" / "pets", rows=900, side=64)
    words = ("competition=pets", "fold=0", "train.epochs=1", "train.batch_size=512", "run=r")
    words = (*words, "model.name=resnet18", "model.stem=small", "images.size=64")
    words = (*words, "train.eval_every=0", "train.device=cpu")

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, 8 * 2**30))

    process = start(tmp_path, *words, preexec_fn=limited)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert "images at a time" in (tmp_path / "oof/r/fold0/train.log").read_text()
