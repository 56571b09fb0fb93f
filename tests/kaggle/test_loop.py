"""The whole loop on digits: everything is real but the address of Kaggle, and no key leaks."""

import ast
import base64
import csv
import io
import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from foldwise.competition.digits import write_digits
from foldwise.provenance import read_table
from foldwise.runs import Run
from helpers import Ended
from kaggle_service.server import Server
from kaggle_service.service import Competition, accuracy_on, sources_of

SMALL = ("competition=digits", "folds.k=2", "train.epochs=3", "model.args={widths: [8, 12]}")


@pytest.fixture
def digits(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Competition:
    """The competition on Kaggle: the test set of reruns is larger, and an image of it is broken."""
    place = tmp_path_factory.mktemp("digits")
    write_digits(place / "files")
    shutil.copytree(place / "files", place / "hidden")
    more = pd.read_csv(place / "files" / "train.csv", dtype=str).head(50)
    for name in more["id"]:
        shutil.copy(place / "files/train" / f"{name}.png", place / "hidden/test" / f"9{name}.png")
    more["id"] = "9" + more["id"]
    extend(place / "hidden" / "test.csv", more[["id"]])
    extend(place / "hidden" / "sample_submission.csv", more[["id"]].assign(label="0"))
    extend(place / "hidden" / "solution.csv", more.assign(Usage="Private"))
    broken = place / "hidden" / "test" / f"{more['id'].iloc[0]}.png"
    broken.write_bytes(broken.read_bytes()[:30])
    made = Competition(
        "digits", place / "files", accuracy_on(place / "files/solution.csv"),
        hidden=place / "hidden", score_hidden=accuracy_on(place / "hidden/solution.csv"), over=True,
    )  # fmt: skip
    server.kaggle.competitions["digits"] = made
    return made


def extend(path: Path, rows: pd.DataFrame) -> None:
    whole = pd.concat([pd.read_csv(path, dtype=str), rows])
    whole.to_csv(path, index=False)


def done(ended: Ended) -> Ended:
    assert ended.code == 0, ended.err
    return ended


def test_the_whole_loop(
    server: Server, digits: Competition, foldwise: Callable[..., Ended], home: Path,
    user_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    uploads = tmp_path_factory.mktemp("tmp")
    monkeypatch.setattr(tempfile, "tempdir", str(uploads))
    server.kaggle.slow_datasets = 0.3

    # Download, train here, submit, and know the score.
    done(foldwise("download", "competition=digits"))
    done(foldwise(*SMALL, "run=here"))
    assert "here: public 0." in done(foldwise("submit", "run=here")).out

    # Train there: the same recipe gives the same run.
    ended = done(foldwise("kernel", "train", *SMALL, "run=there", "machine=cpu"))
    assert "complete" in ended.err and "tables and scores in oof/there" in ended.out
    assert Run("there").finished() == [0, 1] and Run("there").started() == [0, 1]
    here, there = (read_table(home / "oof" / n / "oof.parquet") for n in ("here", "there"))
    assert here[1] == there[1]  # recipe, folds, what is held out
    columns = [c for c in here[0] if c.startswith("prob_")]
    assert list(here[0]["id"]) == list(there[0]["id"])
    np.testing.assert_allclose(here[0][columns], there[0][columns], atol=0.05)
    assert Run("there").config().competition.slug == "digits"
    assert (home / "submissions" / "there.csv").is_file()
    (session,) = server.kaggle.kernels["ann/foldwise-there-train"].sessions
    assert session.request["isPrivate"] and not session.request.get("enableInternet")

    # Predict there, offline; what was pushed and checked is submitted, by its version.
    ended = done(foldwise("kernel", "infer", "run=there", "machine=cpu"))
    assert re.search(r"359 predictions are those of there, within \d\.\de[+-]\d+", ended.out)
    weights = server.kaggle.datasets["ann/foldwise-there-weights"]
    assert weights.private and len(weights.versions) == 1
    ended = done(foldwise("kernel", "submit", "run=there"))
    assert re.search(r"there: public 0\.\d+, private 0\.\d+, CV 0\.\d+", ended.out)
    assert server.asked("CreateCodeSubmission") == 1

    with (home / "submissions" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["run"], row["status"]) for row in rows] == [
        ("here", "complete"), ("there", "complete")
    ]  # fmt: skip
    assert all(float(row["public"]) > 0.5 and float(row["private"]) > 0.5 for row in rows)

    notebooks_are_good(home / "kernels")
    key = server.kaggle.keys["ann"]
    searched = 0
    places = [home, user_home, uploads, server.kaggle.folder]
    for name, content in everything(places, server):
        searched += 1
        assert key.encode() not in content, name
        assert base64.b64encode(f"ann:{key}".encode()) not in content, name
    assert searched > 200


def notebooks_are_good(folder: Path) -> None:
    """Valid, plain Python, without a path of this machine, and for people to read."""
    paths = sorted(folder.rglob("*.ipynb"))
    assert len(paths) == 2
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        cells = notebook["cells"]
        assert cells[0]["cell_type"] == "markdown" and "0." in cells[0]["source"]
        assert cells[1]["metadata"]["_kg_hide-input"] and len(cells) <= 4
        for cell in cells:
            if cell["cell_type"] == "code":
                ast.parse(cell["source"], feature_version=(3, 12))
        assert str(Path.home()) not in path.read_text() and "/tmp/" not in path.read_text()


def everything(places: list[Path], server: Server) -> Iterator[tuple[str, bytes]]:
    """All that was written or sent, whole and unpacked."""
    for place in places:
        for path in place.rglob("*"):
            if path.is_file():
                yield str(path), path.read_bytes()
    for found in server.kaggle.datasets.values():
        yield from (item for version in found.versions for item in version.items())
    yield from server.kaggle.blobs.items()
    for kernel in server.kaggle.kernels.values():
        for session in kernel.sessions:
            yield kernel.slug, json.dumps(session.request).encode()
            with zipfile.ZipFile(io.BytesIO(sources_of(session.request["text"]))) as archive:
                for name in archive.namelist():
                    yield f"{kernel.slug}: {name}", archive.read(name)
