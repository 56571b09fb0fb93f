"""What every room's tests stand on: a home of their own and the command in this process."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from foldwise import cli
from helpers import Ended, write_competition

# Read when the Kaggle client is imported: no test can reach the real service.
os.environ["KAGGLE_API_ENVIRONMENT"] = "LOCALHOST"

# Workers of pytest-xdist share the cores: threads that outnumber them wait for each other.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, share)))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the project uses for input/, oof/ and submissions/."""
    monkeypatch.setenv("FOLDWISE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def foldwise(home: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs a command in this process: ``foldwise("train", "fold=0")``."""

    def run(*words: str) -> Ended:
        capsys.readouterr()
        code = cli.main(list(words))
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return run


@pytest.fixture
def pets(home: Path) -> Path:
    """input/pets: 60 training and 20 test images of three classes."""
    return write_competition(home / "input" / "pets")
