"""A run that was killed, interrupted or renamed leaves the bytes of one that was not."""

import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from foldwise import interrupt
from helpers import QUICK, Ended, start, write_competition

COMMAND = ("competition=pets", "fold=0..1", *QUICK, "augment.hflip=0.5", "model.drop_rate=0.2")


def results(home: Path, run: str) -> dict[str, bytes]:
    """The bytes that must not depend on how often the run was broken off."""
    folder = home / "oof" / run
    names = [*folder.glob("**/*.parquet"), *folder.glob("**/*.safetensors"), folder / "scores.json"]
    assert len(names) == 2 * 3 + 2 + 1
    return {str(path.relative_to(folder)): path.read_bytes() for path in names}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    home = tmp_path_factory.mktemp("unbroken")
    write_competition(home / "input" / "pets")
    process = start(home, *COMMAND, "run=whole", "train.epochs=40")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return results(home, "whole")


def test_another_name_gives_the_same_bytes(
    foldwise: Callable[..., Ended], pets: Path, home: Path
) -> None:
    for run in ("one", "two"):
        assert foldwise(*COMMAND, f"run={run}").code == 0
    assert results(home, "one") == results(home, "two")
    assert foldwise(*COMMAND, "run=three", "seed=1").code == 0
    assert results(home, "three") != results(home, "one")


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_a_signal_at_any_step_is_saved_and_resumed(
    foldwise: Callable[..., Ended],
    pets: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
) -> None:
    assert foldwise(*COMMAND, "run=whole").code == 0
    asked = []

    def pending() -> int:
        asked.append(1)
        return signal.SIGTERM if len(asked) > steps else 0

    monkeypatch.setattr(interrupt, "pending", pending)
    ended = foldwise(*COMMAND, "run=broken")
    assert ended.code == 128 + signal.SIGTERM
    assert "To go on: ./run.sh competition=pets fold=0..1" in ended.err
    assert (home / "oof" / "broken" / "fold0" / "last.ckpt").is_file()
    monkeypatch.undo()
    monkeypatch.setenv("FOLDWISE_HOME", str(home))
    assert foldwise(*COMMAND, "run=broken").code == 0
    assert results(home, "broken") == results(home, "whole")
    assert not list(home.glob("oof/broken/**/last.ckpt"))


def broken_off(home: Path, seed: int, signum: int, words: tuple[str, ...]) -> tuple[int, str]:
    """Start the command, send ``signum`` at a moment that ``seed`` decides, wait for its end.

    The moment is a number of finished epochs, which the logs tell, and a few milliseconds more.
    """
    random = Random(seed)
    epochs, later = random.randrange(0, 76), random.uniform(0, 0.05)
    process = start(home, *words)
    while process.poll() is None:
        logs = [path.read_text() for path in home.glob("oof/broken/fold*/train.log")]
        if logs and sum(log.count(", epoch ") for log in logs) >= epochs:
            break
        time.sleep(0.002)
    time.sleep(later)
    process.send_signal(signum)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(n, marks=pytest.mark.slow) for n in range(2, 12))]
)
def test_killed_at_any_moment(home: Path, unbroken: dict[str, bytes], seed: int) -> None:
    write_competition(home / "input" / "pets")
    words = (*COMMAND, "run=broken", "train.epochs=40")
    code, _ = broken_off(home, seed, signal.SIGKILL, words)
    assert code == -signal.SIGKILL
    process = start(home, *words)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert results(home, "broken") == unbroken
    assert not list(home.glob("oof/broken/**/.*.tmp"))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_real_signal_saves_and_says_how_to_go_on(home: Path, signum: int) -> None:
    write_competition(home / "input" / "pets")
    words = (*COMMAND, "run=broken", "train.epochs=2000")
    code, err = broken_off(home, 3, signum, words)
    assert code == 128 + signum
    assert "Traceback" not in err
    assert "To go on: ./run.sh competition=pets" in err
    assert (home / "oof" / "broken" / "fold0" / "last.ckpt").is_file()
    assert not list(home.glob("**/*.tmp"))


def test_a_checkpoint_of_another_recipe_is_refused(
    foldwise: Callable[..., Ended],
    pets: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interrupt, "pending", lambda: signal.SIGINT)
    assert foldwise(*COMMAND, "run=r").code == 130
    monkeypatch.undo()
    monkeypatch.setenv("FOLDWISE_HOME", str(home))
    ended = foldwise(*COMMAND, "run=r", "optimizer.lr=0.1")
    assert ended.code == 1
    assert "optimizer.lr: " in ended.err
    checkpoint = home / "oof" / "r" / "fold0" / "last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    ended = foldwise(*COMMAND, "run=r")
    assert ended.code == 1
    assert "last.ckpt cannot be read" in ended.err
    shutil.rmtree(checkpoint.parent)
    assert foldwise(*COMMAND, "run=r").code == 0
