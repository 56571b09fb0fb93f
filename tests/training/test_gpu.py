"""What only a GPU can show; skipped where there is none."""

import copy
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from foldwise import interrupt
from foldwise.compose import compose
from foldwise.device import prepare
from foldwise.images.load import ResidentImages
from foldwise.runs import Run
from foldwise.training.fold import beginning
from foldwise.training.material import Material
from foldwise.training.step import train_step
from foldwise.training.teacher import Teacher
from helpers import QUICK, Ended

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
COMMAND = ("competition=pets", "fold=0", *QUICK, "train.device=cuda")


MIXED = ("augment.preset=heavy", "augment.mixup=0.2", "augment.cutmix=1", "augment.crop=0.5",
         "augment.scales=[0.8, 1.2]", "augment.rotate90=0.5", "augment.mix_by=image")  # fmt: skip


WEIGHED = (*MIXED, "loss.name=focal", "loss.class_weights=inverse", "loss.smoothing=0.1")
GROUPED = ("optimizer.layer_decay=0.7", "optimizer.head_lr=5", "optimizer.clip_mode=agc",
           "schedule.name=onecycle", "train.ema_warmup=power")  # fmt: skip


@pytest.mark.parametrize(
    "words", [(), MIXED, WEIGHED, GROUPED], ids=["plain", "mixed", "weighed, taught", "grouped"]
)
@pytest.mark.parametrize("precision", ["bf16", "fp32", "fp16"])
@pytest.mark.parametrize("name", ["convnet2", "resnet18"])
def test_a_step_never_waits_for_the_device(
    name: str, precision: str, words: tuple[str, ...]
) -> None:
    config = compose(
        [f"model.name={name}", "images.size=32", f"train.precision={precision}",
         "augment.hflip=0.5", "train.batch_size=32", "loss.name=cross_entropy",
         "competition.classes=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]", "model.in_chans=3",
         "competition.task=multiclass",
         *words]
    )  # fmt: skip
    device = torch.device("cuda")
    prepare(config.train, device)
    state, normalize = beginning(config, 0, 8, device)
    images = torch.randint(0, 256, (64, 32, 32, 3), dtype=torch.uint8, device=device)
    targets = torch.randint(0, 10, (64,), device=device)
    rows = np.arange(64)
    material = Material(0, rows, ResidentImages(images), targets, normalize, device)
    if words == WEIGHED:
        material = replace(
            material,
            class_weights=torch.rand(10, device=device),
            row_weights=torch.rand(64, device=device),
            teacher=Teacher(copy.deepcopy(state.network).eval(), 24, None, None, [0]),
        )
    train_step(
        config, material, state, rows[:32], images[:32]
    )  # the first step allocates and tunes
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        train_step(config, material, state, rows[32:], images[32:])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.isfinite(state.losses[:2]).all()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_deterministic_runs_and_resumed_ones_have_the_same_bytes(
    foldwise: Callable[..., Ended],
    pets: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
) -> None:
    words = (*COMMAND, "train.deterministic=true", f"train.precision={precision}")
    for run in ("one", "two"):
        assert foldwise(*words, f"run={run}").code == 0
    with monkeypatch.context() as patch:
        asked: list[int] = []
        patch.setattr(
            interrupt, "pending", lambda: asked.append(1) or (len(asked) > 2) * signal.SIGINT
        )
        assert foldwise(*words, "run=broken").code == 130
    assert foldwise(*words, "run=broken").code == 0
    files = [Run(name).fold_folder(0) / "oof.parquet" for name in ("one", "two", "broken")]
    assert len({path.read_bytes() for path in files}) == 1


def test_resident_and_streamed_images_train_alike(
    foldwise: Callable[..., Ended], pets: Path, home: Path
) -> None:
    for run, gigabytes in (("resident", 1), ("streamed", 0)):
        words = (*COMMAND, f"run={run}", f"images.resident_gb={gigabytes}")
        assert foldwise(*words, "train.deterministic=true").code == 0
    one, two = (Run(name).fold_folder(0) / "oof.parquet" for name in ("resident", "streamed"))
    assert one.read_bytes() == two.read_bytes()
