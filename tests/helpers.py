"""Small real competitions and the real command, for the tests of every room."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

CLONE = Path(__file__).resolve().parents[1]
# A few steps of a small network: enough for weights, checkpoints and tables to be real.
QUICK = ("train.epochs=2", "train.batch_size=16", "model.args={widths: [8, 12]}")


@dataclass(frozen=True)
class Ended:
    """A command's end: exit code and what it printed."""

    code: int
    out: str
    err: str


def start(home: Path, *words: str, **options: object) -> "subprocess.Popen[str]":
    """The same command as a process of its own, to be killed, limited or measured."""
    environment = {
        **os.environ,
        "FOLDWISE_HOME": str(home),
        "PYTHONPATH": str(CLONE / "src"),
        "PYTHONUNBUFFERED": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "foldwise", *words],
        env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # type: ignore[call-overload, no-any-return]  # fmt: skip


def write_competition(
    folder: Path, classes: tuple[str, ...] = ("cat", "dog", "owl"), rows: int = 60, side: int = 12
) -> Path:
    """A competition that can be learned: each class has a colour, under noise; PNG files."""
    rng = np.random.default_rng(0)
    colours = np.random.default_rng(1).integers(0, 256, (len(classes), 3))
    for part, count in (("train", rows), ("test", rows // 3)):
        (folder / part).mkdir(parents=True)
        labels = np.arange(count) % len(classes)
        ids = [f"{part[:2]}{n:03d}" for n in range(count)]
        for name, label in zip(ids, labels, strict=True):
            pixels = colours[label] + rng.normal(0, 60, (side, side, 3))
            cv2.imwrite(str(folder / part / f"{name}.png"), pixels.clip(0, 255).astype(np.uint8))
        table = pd.DataFrame({"id": ids, "label": [classes[n] for n in labels]})
        if part == "train":
            table.to_csv(folder / "train.csv", index=False)
        else:
            table.assign(label=classes[0]).to_csv(folder / "sample_submission.csv", index=False)
            table.assign(Usage="Public").to_csv(folder / "solution.csv", index=False)
    return folder
