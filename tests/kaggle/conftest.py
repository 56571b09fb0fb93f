"""A Kaggle of the tests' own, and the real client led to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from foldwise.kaggle import client
from helpers import write_competition
from kaggle_service.server import Server, environment
from kaggle_service.service import Competition


@pytest.fixture
def user_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The HOME of the user ann: where credentials would be, and the client's own files."""
    return tmp_path_factory.mktemp("ann")


@pytest.fixture
def server(
    tmp_path_factory: pytest.TempPathFactory, user_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    """Kaggle, asked by the user ann, with the competition pets; pauses are short, patience too."""
    running = Server(tmp_path_factory.mktemp("service"))
    for name, value in environment(running, user_home).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(client, "PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setattr(client, "ANSWER", 2.0)
    from kaggle.api.kaggle_api_extended import KaggleApi

    assert KaggleApi.args == ["--local"], "the client was imported before tests/conftest.py spoke"
    files = write_competition(tmp_path_factory.mktemp("files") / "pets")
    running.kaggle.competitions["pets"] = Competition("pets", files, scored_by(files))
    yield running
    running.close()
    assert not running.leaks, "credentials were sent to storage"


def scored_by(files: Path):
    """Accuracy on solution.csv, as a service that knows nothing of foldwise would compute it."""

    def score(data: bytes) -> tuple[float, float]:
        import csv
        import io

        with (files / "solution.csv").open() as file:
            truth = {row["id"]: row for row in csv.DictReader(file)}
        rows = {row["id"]: row["label"] for row in csv.DictReader(io.StringIO(data.decode()))}
        if set(rows) != set(truth):
            raise ValueError("Submission must have the ids of the solution")
        shares = []
        for part in ("Public", "Private"):
            ids = [name for name, row in truth.items() if row["Usage"] == part]
            right = sum(rows[name] == truth[name]["label"] for name in ids)
            shares.append(right / len(ids) if ids else 0.0)
        return shares[0], shares[1]

    return score
