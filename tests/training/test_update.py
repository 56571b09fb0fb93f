"""The loop around an update: accumulation, freezing, a plateau, EMA, and what is broken off."""

import itertools
import re
import shlex
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from foldwise import interrupt
from foldwise.compose import compose
from foldwise.config import Config
from foldwise.errors import Interrupted
from foldwise.images.load import ResidentImages
from foldwise.training import checkpoint
from foldwise.training.checkpoint import State
from foldwise.training.fold import beginning
from foldwise.training.loop import epoch_steps, fit
from foldwise.training.material import Material
from helpers import CLONE, QUICK, Ended

ROWS = 72
WORDS = [
    *("images.size=12", "model.in_chans=3", "train.precision=fp32", "augment.preset=none"),
    *("loss.name=cross_entropy", "competition.classes=[a, b, c]", "optimizer.lr=0.01"),
    *("competition.metric=accuracy", "competition.task=multiclass"),
    *("train.batch_size=8", "train.epochs=3", "schedule.min_lr=0"),
]
PLAIN = (
    "model.name=monkeynet",
    "model.drop_rate=0",
)  # without norms
NORMED = ("model.name=convnet2", "model.args={widths: [6, 8]}")


class Silent:
    def advance(self, images: int) -> None: ...
    def line(self, text: str) -> None: ...
    def due(self) -> bool:
        return False


def begin(*words: str, rows: int = ROWS) -> tuple[Config, Material, State]:
    config, device = compose([*WORDS, *words]), torch.device("cpu")
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(rows) % 3
    images = torch.randint(0, 160, (rows, 12, 12, 3), generator=generator)
    images += 30 * targets[:, None, None, None]
    state, normalize = beginning(config, 1, epoch_steps(rows, config), device)
    resident = ResidentImages(images.to(torch.uint8))
    return config, Material(1, np.arange(rows), resident, targets, normalize, device), state


def run(begun: tuple[Config, Material, State], **others: Any) -> State:
    config, material, state = begun
    save = others.pop("save", lambda state: None)
    evaluate = others.pop("evaluate", lambda state, last: {})
    fit(config, material, state, Silent(), evaluate, save)  # type: ignore
    return state


def rates_of(state: State) -> list[float]:
    """The learning rate of each update to come."""
    found: list[float] = []
    state.optimizer.register_step_pre_hook(
        lambda optimizer, *_: found.append(optimizer.param_groups[0]["lr"])
    )
    return found


def assert_alike(one: State, two: State, tolerance: float = 0.0) -> None:
    for name, value in one.network.state_dict().items():
        other = two.network.state_dict()[name]
        torch.testing.assert_close(other, value, rtol=0, atol=tolerance, msg=name)


@pytest.mark.parametrize("name", ["momentum", "adamw"])
@pytest.mark.parametrize("schedule", ["cosine", "onecycle"])
def test_two_batches_of_8_are_one_of_16(name: str, schedule: str) -> None:
    words = (*PLAIN, f"optimizer.name={name}", "optimizer.clip=0.1", f"schedule.name={schedule}")
    once = begin(*words, "train.batch_size=16")
    twice = begin(*words, "train.accumulate=2")
    twice[2].scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)  # as fp16 has on a GPU
    wanted, found = rates_of(once[2]), rates_of(twice[2])
    run(once)
    run(twice)
    assert len(wanted) == 3 * (ROWS // 16)
    assert found == wanted
    assert_alike(once[2], twice[2], 1e-5)
    assert torch.allclose(twice[2].losses.view(-1, 2).mean(1), once[2].losses, atol=1e-5)
    assert torch.equal(twice[2].right.view(-1, 2).sum(1), once[2].right)
    start = begin(*words)[2]
    with pytest.raises(AssertionError):  # and that is not for want of learning
        assert_alike(start, twice[2], 1e-3)


def test_a_group_without_all_of_its_batches_is_their_mean() -> None:
    words = (*PLAIN, "optimizer.name=momentum", "train.epochs=2")
    whole = begin(*words, "train.batch_size=24", rows=31)
    parts = begin(*words, "train.accumulate=5", rows=31)
    assert len(parts[2].losses) == 3
    rates = rates_of(parts[2])
    run(whole)
    run(parts)
    assert len(rates) == 2
    assert_alike(whole[2], parts[2], 1e-5)


def test_only_whole_updates_make_an_epoch() -> None:
    for rows, batch, together, steps in (
        (100, 10, 1, 10), (100, 10, 3, 9), (109, 10, 5, 10), (35, 10, 4, 3), (7, 10, 4, 1),
    ):  # fmt: skip
        config = compose([f"train.batch_size={batch}", f"train.accumulate={together}"])
        assert epoch_steps(rows, config) == steps


def test_the_head_alone_learns_in_the_first_epochs() -> None:
    config, material, state = begin(*NORMED, "optimizer.freeze_epochs=2", "train.ema=0")
    looks: list[dict[str, torch.Tensor]] = []

    def look(state: State) -> None:
        looks.append({name: value.clone() for name, value in state.network.state_dict().items()})

    look(state)
    run((config, material, state), save=look)
    assert len(looks) == 4
    for before, after in itertools.pairwise(looks[:3]):
        changed = {name for name in after if not torch.equal(before[name], after[name])}
        assert changed == {"head.fc.weight", "head.fc.bias"}
    assert not any(torch.equal(looks[2][name], looks[3][name]) for name in looks[3])


def test_a_plateau_lowers_the_rate_by_what_is_watched() -> None:
    words = ("schedule.name=plateau", "schedule.patience=1", "schedule.decay_rate=0.5")
    begun = begin(*PLAIN, *words, "train.epochs=6", "schedule.warmup_epochs=0")
    values = iter([0.5, 0.6, 0.6, 0.6, 0.6, 0.6])
    state = run(begun, evaluate=lambda state, last: {"inner_accuracy": next(values)})
    rates = [row["lr"] for row in state.history]
    assert rates == pytest.approx([0.01, 0.01, 0.01, 0.01, 0.005, 0.005])
    assert state.plateau.scale == 0.25


EVERYTHING = (
    *NORMED,
    *("train.accumulate=3", "train.ema=0.9", "train.ema_warmup=power", "optimizer.freeze_epochs=1"),
    *("optimizer.layer_decay=0.7", "optimizer.head_lr=5", "optimizer.clip_mode=agc"),
    *("optimizer.clip=0.05", "model.drop_rate=0.3", "augment.hflip=0.5"),
)


@pytest.mark.parametrize(
    "words",
    [
        ("schedule.name=onecycle",),
        ("schedule.name=plateau", "schedule.patience=0", "optimizer.name=muon"),
        ("schedule.name=step", "schedule.decay_epochs=[1, 2]", "optimizer.name=adoptw"),
    ],
    ids=lambda words: words[0].split("=")[1],
)
@pytest.mark.parametrize("at", [1, 5, 8])
def test_a_broken_run_goes_on_as_if_unbroken(
    words: tuple[str, ...], at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*EVERYTHING, *words)
    watch = {"evaluate": lambda state, last: {"inner_accuracy": -float(state.epoch)}}
    whole = run(begin(*words), **watch)
    path, asked = tmp_path / "last.ckpt", []

    def save(state: State) -> None:
        assert state.step % 3 == 0  # gradients are not saved
        checkpoint.save(path, "this", state)

    monkeypatch.setattr(
        interrupt, "pending", lambda: asked.append(1) or (len(asked) > at) * signal.SIGINT
    )
    with pytest.raises(Interrupted):
        run(begin(*words), save=save, **watch)
    monkeypatch.undo()
    config, material, state = begin(*words)
    checkpoint.load(path, "this", state)
    again = run((config, material, state), **watch)
    assert_alike(whole, again)
    assert whole.ema and again.ema
    for one, two in zip(
        whole.ema.network.parameters(), again.ema.network.parameters(), strict=True
    ):
        assert torch.equal(one, two)
    assert again.plateau == whole.plateau
    assert [kept(row) for row in again.history] == [kept(row) for row in whole.history]


def kept(row: dict[str, Any]) -> dict[str, Any]:
    """What a row of metrics.csv has in every run of a recipe: all but speed and memory."""
    assert 0 < row["train_accuracy"] <= 1
    changing = {"images_per_second", "waiting", "memory_mb", "seconds"}
    return {name: value for name, value in row.items() if name not in changing}


def test_a_run_with_everything_is_resumed_by_the_command(
    foldwise: Callable[..., Ended], pets: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("competition=pets", "fold=0", *QUICK, *EVERYTHING[2:], "schedule.name=onecycle")
    assert foldwise(*words, "run=whole").code == 0
    asked: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(
            interrupt, "pending", lambda: asked.append(1) or (len(asked) > 1) * signal.SIGTERM
        )
        assert foldwise(*words, "run=broken").code == 128 + signal.SIGTERM
    assert foldwise(*words, "run=broken").code == 0
    folders = [home / "oof" / run / "fold0" for run in ("whole", "broken")]
    files = [folder / "model.safetensors" for folder in folders]
    assert files[0].read_bytes() == files[1].read_bytes()
    tables = [pd.read_csv(folder / "metrics.csv").to_dict("records") for folder in folders]
    rows = [[kept({str(k): v for k, v in row.items()}) for row in table] for table in tables]
    assert rows[0] == rows[1]


def test_a_plateau_with_nothing_to_watch_is_refused(
    foldwise: Callable[..., Ended], pets: Path
) -> None:
    ended = foldwise("competition=pets", "schedule.name=plateau", "train.inner=0")
    assert ended.code == 2
    assert "train.inner" in ended.err
    ended = foldwise("competition=pets", "schedule.decay_epochs=often")
    assert (ended.code, "decay_epochs=often" in ended.err) == (2, True)


def test_the_pages_commands_are_understood() -> None:
    text = (CLONE / "docs" / "training.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\./run\.sh (.*)$", text, re.MULTILINE)
    assert len(lines) > 10
    for line in lines:
        compose(shlex.split(line))


def test_what_is_off_is_not_there() -> None:
    _, _, state = begin(*NORMED)
    for group in state.optimizer.param_groups:
        assert "lr_scale" not in group
        assert "head" not in group


@pytest.mark.parametrize(
    ("task", "loss"),
    [("ordinal", "ordinal"), ("ordinal", "cross_entropy"), ("multilabel", "bce"),
     ("regression", "mse")],
)  # fmt: skip
def test_only_what_has_one_class_has_a_training_accuracy(task: str, loss: str) -> None:
    words = (*PLAIN, f"competition.task={task}", f"loss.name={loss}", "train.epochs=8")
    config, material, state = begin(*words, "schedule.warmup_epochs=0")
    if task != "ordinal":
        flags = torch.nn.functional.one_hot(material.targets, 3).float()
        material = replace(material, targets=flags)
    run((config, material, state))
    told = [row.get("train_accuracy") for row in state.history]
    if task != "ordinal":
        assert set(told) == {None}
    else:
        assert told[-1] > max(told[0], 0.6)  # type: ignore[operator, type-var]
