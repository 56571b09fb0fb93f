"""Small real competitions and the real command, for the tests of every room."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from foldwise import compose
from foldwise.competition import layout
from foldwise.files import write_text
from foldwise.provenance import Provenance, write_table
from foldwise.recipe import recipe_hash
from foldwise.runs import Run

CLONE = Path(__file__).resolve().parents[1]
# A few steps of a small network: enough for weights, checkpoints and tables to be real.
QUICK = ("train.epochs=2", "train.batch_size=16", "model.args={widths: [8, 12]}")


@dataclass(frozen=True)
class Ended:
    """A command's end: exit code and what it printed."""

    code: int
    out: str
    err: str


def refused(ended: Ended, *texts: str) -> None:
    """The command ended with one line that has all of these texts."""
    assert ended.code in (1, 2), ended.err
    line = ended.err.splitlines()[-1]
    assert line.startswith("foldwise: ") and all(text in line for text in texts), line


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


def write_run(name: str, right: float = 0.8, competition: str = "pets") -> Run:
    """A finished run of a written competition, without training: ``right`` of it is right."""
    config = compose.compose([f"competition={competition}", f"run={name}"])
    data = layout.load(config)
    settings = config.competition
    settings.classes, settings.task, settings.metric = data.classes, data.task, "accuracy"
    run, rng = Run(name), np.random.default_rng(len(name))
    write_text(run.config_file, compose.to_yaml(config))
    origin = Provenance(None, recipe_hash(config), "", [])
    truth = pd.read_csv(data.folder / "solution.csv", dtype=str).set_index("id")["label"]
    labels = {"oof": data.train["label"], "test": truth[data.test["id"]].reset_index(drop=True)}
    for part, table in (("oof", data.train[["id", "label"]]), ("test", data.test[["id"]])):
        true = labels[part].map({c: n for n, c in enumerate(data.classes)}).to_numpy()
        said = np.where(rng.random(len(true)) < right, true, (true + 1) % len(data.classes))
        values = np.full((len(true), len(data.classes)), 0.1)
        values[np.arange(len(true)), said] += 1 - values.sum(axis=1)
        frame = table.copy()
        if part == "oof":
            frame.insert(1, "fold", np.arange(len(true)) % 5)
            score = float((said == true).mean())
        columns = [f"prob_{c}" for c in data.classes]
        frame[columns] = values.astype(np.float32)
        write_table(run.folder / f"{part}.parquet", frame, origin)
    run.write_scores({"metric": "accuracy", "greater_is_better": True, "oof": score, "std": 0.01})
    return run
