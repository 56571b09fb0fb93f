"""Whatever the settings, a run that was broken off gives the bytes of one that was not."""

import signal
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from foldwise import interrupt
from foldwise.runs import Run
from helpers import QUICK, Ended

COMMAND = ("competition=pets", "fold=0", *QUICK, "train.batch_size=8", "data.fraction=0.7")
TECHNIQUES = {
    "focal, weighted, balanced, mixed": (
        *("loss.name=focal", "loss.smoothing=0.1", "loss.class_weights=effective"),
        *("data.sampler=balanced", "data.weights=trust", "augment.mixup=0.4", "augment.cutmix=1"),
    ),
    "bce, by hand, by the root": (
        *("loss.name=bce", "loss.class_weights={owl: 5}", "data.sampler=sqrt", "train.ema=0"),
    ),
    "taught": ("distill.run=teacher", "augment.mixup=0.4", "model.drop_rate=0.2"),
}


@pytest.mark.parametrize("words", TECHNIQUES.values(), ids=TECHNIQUES)
def test_resumed_is_unbroken(
    foldwise: Callable[..., Ended],
    pets: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    table = pd.read_csv(pets / "train.csv").assign(trust=[n % 5 for n in range(60)])
    table.to_csv(pets / "train.csv", index=False)
    if "distill.run=teacher" in words:
        assert foldwise("competition=pets", "fold=0", *QUICK, "run=teacher").code == 0
    ended = foldwise(*COMMAND, *words, "run=whole")
    assert ended.code == 0, ended.err
    asked: list[int] = []

    def pending() -> int:
        asked.append(1)
        return signal.SIGTERM if len(asked) > 6 else 0  # 34 rows: in the second of 4-step epochs

    with monkeypatch.context() as patch:
        patch.setattr(interrupt, "pending", pending)
        assert foldwise(*COMMAND, *words, "run=broken").code == 128 + signal.SIGTERM
    assert foldwise(*COMMAND, *words, "run=broken").code == 0
    for name in ("oof.parquet", "test.parquet", "model.safetensors"):
        whole, broken = (Run(run).fold_folder(0) / name for run in ("whole", "broken"))
        assert whole.read_bytes() == broken.read_bytes(), name
