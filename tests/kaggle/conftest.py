"""A Kaggle of the tests' own, and the real client led to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from foldwise.kaggle import client, dataset, push, sending
from helpers import write_competition
from kaggle_service.server import Server, environment
from kaggle_service.service import Competition, accuracy_on


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
    monkeypatch.setattr(sending, "LOOKS", (0.01, 0.01))
    for looking in (dataset, push, sending):
        monkeypatch.setattr(looking, "POLL", (0.01, 0.02))
    for making in (dataset, push):
        monkeypatch.setattr(making, "SHY", 0.2)
    from kaggle.api.kaggle_api_extended import KaggleApi

    assert KaggleApi.args == ["--local"], "the client was imported before tests/conftest.py spoke"
    files = write_competition(tmp_path_factory.mktemp("files") / "pets")
    running.kaggle.competitions["pets"] = Competition(
        "pets", files, accuracy_on(files / "solution.csv")
    )
    yield running
    running.close()
    assert not running.leaks, "credentials were sent to storage"
