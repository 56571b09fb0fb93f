"""Several processes: a fold each (`gpus=2`), or one fold together (torchrun); on CPUs here."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from foldwise.config import Config
from foldwise.errors import UsageError
from foldwise.provenance import read_table
from foldwise.runs import Run
from foldwise.training.ranks import Ranks
from helpers import CLONE, QUICK, start, write_competition

WORDS = ("competition=pets", *QUICK, "train.device=cpu", "optimizer.lr=0.02")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")
TORCHRUN = (*TORCHRUN, "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0")


@pytest.fixture
def pets(home: Path) -> Path:
    return write_competition(home / "input" / "pets", rows=120)


def together(home: Path, *words: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "FOLDWISE_HOME": str(home), "PYTHONPATH": str(CLONE / "src")}
    return subprocess.Popen(
        [*TORCHRUN, "-m", "foldwise", *words],
        env=environment | {"OMP_NUM_THREADS": "1"},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_the_shares_of_the_processes_are_the_rows() -> None:
    rows = np.arange(11)
    parts = [Ranks(n, 3).share(rows) for n in range(3)]
    assert np.concatenate(parts).tolist() == rows.tolist()
    assert len({Ranks(n, 3).key() for n in range(3)}) == 3
    assert Ranks().key() == ()  # one process alone draws what it always drew
    config = Config()
    config.train.batch_size = 50
    with pytest.raises(UsageError, match=r"train\.batch_size=48"):
        Ranks(0, 3).check_batch(config)


def test_two_processes_train_a_fold_as_one_does(home: Path, pets: Path) -> None:
    words = (*WORDS, "fold=0", "train.epochs=8", "train.keep=best")
    one = start(home, *words, "run=one")
    assert one.wait(300) == 0, one.communicate()[1]
    two = together(home, *words, "run=two")
    out, err = two.communicate(timeout=300)
    assert two.returncode == 0, err
    assert out.count("OOF") == 1  # the first process alone speaks
    runs = [Run("one"), Run("two")]
    metrics = [run.metrics(0) for run in runs]
    assert metrics[0] is not None and metrics[1] is not None
    np.testing.assert_allclose(metrics[0]["lr"], metrics[1]["lr"])  # as many steps, one schedule
    tables = [read_table(run.fold_folder(0) / "oof.parquet")[0] for run in runs]
    assert tables[0]["id"].tolist() == tables[1]["id"].tolist()
    assert all(run.scores()["oof"] > 0.8 for run in runs)
    test = read_table(runs[1].folder / "test.parquet")[0]
    assert test["id"].is_unique and len(test) == 40


def test_two_processes_take_the_steps_of_one(home: Path, pets: Path) -> None:
    """Without batch norm and chance a share more or less changes nothing but the last bits."""
    words = (*WORDS[:-1], "fold=0", "model.name=monkeynet", "model.args={}")
    words = (*words, "model.drop_rate=0", "augment.preset=none", "train.precision=fp32")
    words = (*words, "train.epochs=2", "train.accumulate=2", "optimizer.lr=0.003")
    one = start(home, *words, "run=one")
    assert one.wait(300) == 0, one.communicate()[1]
    two = together(home, *words, "run=two")
    _, err = two.communicate(timeout=300)
    assert two.returncode == 0, err
    tables = [read_table(Run(name).folder / "oof.parquet")[0] for name in ("one", "two")]
    own, shared = (table.filter(like="prob_").to_numpy() for table in tables)
    np.testing.assert_allclose(shared, own, atol=1e-4)
    assert own.std(axis=0).min() > 0.02  # it has learned something
    metrics = [Run(name).metrics(0) for name in ("one", "two")]
    assert metrics[0] is not None and metrics[1] is not None
    told = [table["train_accuracy"].to_numpy() for table in metrics]
    np.testing.assert_allclose(*told, atol=0.02)  # a row of 80 that is nearly even may turn


def test_one_of_two_processes_is_killed(home: Path, pets: Path) -> None:
    words = (*WORDS, "fold=0", "train.epochs=2000", "train.eval_every=0", "run=r")
    process = together(home, *words)
    last = Run("r").checkpoint(0)
    for _ in range(1200):
        if last.is_file() or process.poll() is not None:
            break
        time.sleep(0.1)
    workers = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True
    ).stdout.split()
    assert len(workers) == 2
    os.kill(int(workers[1]), signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode not in (0, None)
    assert last.is_file() and not (Run("r").folder / "scores.json").exists()
    short = [word if "epochs" not in word else "train.epochs=2000" for word in words]
    again = together(home, *short, "train.hours=0.0001")  # goes on, and ends at the limit
    _, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert "goes on at epoch" in (Run("r").fold_folder(0) / "train.log").read_text()


def test_folds_train_at_once(home: Path, pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # a machine without a GPU, which nobody has told
    words = (*[word for word in WORDS if word != "train.device=cpu"], "folds.k=3")
    one = start(home, *words, "run=one")
    out, err = one.communicate(timeout=300)
    assert one.returncode == 0, err
    two = start(home, *words, "run=two", "gpus=2")
    out, err = two.communicate(timeout=300)
    assert two.returncode == 0, err
    assert out.count("OOF") == 1 and "submission in" in out
    for fold in range(3):
        assert f"fold {fold} begins" in err and f"fold {fold}: accuracy" in err
        assert (Run("two").fold_folder(fold) / "console.log").is_file()
    assert (home / "submissions" / "two.csv").is_file()
    runs = [read_table(Run(name).folder / "oof.parquet")[0] for name in ("one", "two")]
    assert runs[0]["id"].tolist() == runs[1]["id"].tolist()
    again = start(home, *words, "run=two", "gpus=2")
    out, err = again.communicate(timeout=300)
    assert again.returncode == 0 and "are finished" in out


@pytest.mark.slow
def test_a_fold_that_fails_is_named(home: Path, pets: Path) -> None:
    words = (*WORDS, "folds.k=3", "gpus=2", "run=r", "optimizer.lr=1e30", "optimizer.clip=0")
    process = start(home, *words)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert "failed (see" in err.splitlines()[-1]


@pytest.mark.slow
def test_a_signal_reaches_every_fold(home: Path, pets: Path) -> None:
    words = (*WORDS, "folds.k=3", "gpus=2", "run=r", "train.epochs=5000", "train.eval_every=0")
    process = start(home, *words)
    for _ in range(1200):
        if all(Run("r").checkpoint(fold).is_file() for fold in (0, 1)) or process.poll():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, err
    assert "To go on: ./run.sh" in err
    for fold in (0, 1):
        log = (Run("r").fold_folder(fold) / "console.log").read_text()
        assert "interrupted; what is finished is saved" in log
