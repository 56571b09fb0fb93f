"""The embedded competition is scikit-learn's digits, written out whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from foldwise.competition import digits
from foldwise.competition.digits import write_digits
from foldwise.errors import FoldwiseError


def names(folder):
    """What is in a folder, hidden files too, sorted."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home") / "input" / "digits"
    write_digits(folder)
    return folder


def table(folder, name):
    return pd.read_csv(folder / name, dtype=str, keep_default_na=False)


def test_tables(folder):
    train, test = table(folder, "train.csv"), table(folder, "test.csv")
    sample, solution = table(folder, "sample_submission.csv"), table(folder, "solution.csv")
    assert [list(t.columns) for t in (train, test, sample, solution)] == [
        ["id", "label"],
        ["id"],
        ["id", "label"],
        ["id", "label", "Usage"],
    ]
    assert len(train) + len(test) == 1797
    assert abs(len(test) / 1797 - 0.2) < 0.002
    ids = sorted([*train["id"], *test["id"]])
    assert ids == [f"{i:04d}" for i in range(1, 1798)]
    assert sample["id"].tolist() == solution["id"].tolist() == test["id"].tolist()
    assert sample["label"].nunique() == 1
    assert solution["Usage"].value_counts().sub(len(test) / 2).abs().max() <= 5


def test_test_part_is_stratified(folder):
    train, solution = table(folder, "train.csv"), table(folder, "solution.csv")
    counts = solution["label"].value_counts()
    share = counts / (counts + train["label"].value_counts())
    assert share.sub(0.2).abs().max() < 0.005


def test_pixels_give_back_the_digits(folder):
    """Every image of scikit-learn's is there once, with its label, in its own sixteen grays."""
    rows = pd.concat(
        [
            table(folder, "train.csv").assign(part="train"),
            table(folder, "solution.csv").assign(part="test"),
        ]
    )
    written = {}
    for name, label, part in zip(rows["id"], rows["label"], rows["part"], strict=True):
        image = cv2.imread(str(folder / part / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        assert image.shape == (8, 8) and image.dtype == np.uint8
        written[np.rint(image / 255 * 16).astype(np.uint8).tobytes()] = label
    data = load_digits()
    expected = {
        image.astype(np.uint8).tobytes(): str(label)
        for image, label in zip(data.images, data.target, strict=True)
    }
    assert written == expected
    assert len(list((folder / "train").iterdir()) + list((folder / "test").iterdir())) == 1797


def test_same_bytes_every_time(folder, tmp_path):
    write_digits(tmp_path / "digits")
    for path in (p for p in folder.rglob("*") if p.is_file()):
        assert (tmp_path / "digits" / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_beside_a_readme(tmp_path):
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "README.md").write_text("here go the competitions")
    write_digits(tmp_path / "input" / "digits")
    assert names(tmp_path / "input") == ["README.md", "digits"]


def test_interrupted_call_leaves_nothing(tmp_path, monkeypatch):
    def stop(folder, rows):
        raise KeyboardInterrupt

    monkeypatch.setattr(digits, "_write_tables", stop)
    with pytest.raises(KeyboardInterrupt):
        write_digits(tmp_path / "input" / "digits")
    assert names(tmp_path / "input") == []


def test_two_processes_at_once(tmp_path):
    code = (
        "import sys, pathlib; from foldwise.competition.digits import write_digits as write;"
        "write(pathlib.Path(sys.argv[1]))"
    )
    source = str(Path(digits.__file__).parents[2])
    command = [sys.executable, "-c", code, str(tmp_path / "input" / "digits")]
    calls = [subprocess.Popen(command, env={**os.environ, "PYTHONPATH": source}) for _ in range(2)]
    assert [call.wait() for call in calls] == [0, 0]
    assert names(tmp_path / "input") == ["digits"]
    assert len(list((tmp_path / "input" / "digits" / "train").iterdir())) == 1438


def test_already_there_is_left_alone(tmp_path):
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "mine.txt").write_text("mine")
    write_digits(tmp_path / "digits")
    assert names(tmp_path / "digits") == ["mine.txt"]
    assert names(tmp_path) == ["digits"]


def test_input_that_is_a_file(tmp_path):
    (tmp_path / "input").write_text("")
    with pytest.raises(FoldwiseError, match="cannot be written"):
        write_digits(tmp_path / "input" / "digits")
