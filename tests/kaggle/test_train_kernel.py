"""Folds that were trained in kernels are taken home as if they had been trained here."""

import hashlib
import io
import json
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from foldwise.runs import Run
from helpers import QUICK, Ended, write_competition
from kaggle_service.server import Server
from kaggle_service.service import sources_of

TRAIN = ("kernel", "train", "competition=pets", "folds.k=3", "run=r", *QUICK)
Files = dict[str, bytes]


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    """What three folds of the run r leave, trained once in a home of their own."""
    from foldwise import cli

    home = tmp_path_factory.mktemp("elsewhere")
    write_competition(home / "input" / "pets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOLDWISE_HOME", str(home))
        assert cli.main(["train", *TRAIN[2:]]) == 0
    paths = [path for path in (home / "oof").rglob("*") if path.is_file()]
    yield {str(path.relative_to(home)): path.read_bytes() for path in paths}


class Trainer:
    """Stands for a machine: a kernel leaves the files of the folds that its source names."""

    def __init__(self, files: Files) -> None:
        self.files, self.seconds = files, 0.0
        self.unfinished: set[int] = set()
        self.damaged: set[int] = set()
        self.sources: list[str] = []

    def __call__(self, source: str) -> Files:
        self.sources.append(source)
        time.sleep(self.seconds)
        named = re.search(r"folds=\[([\d, ]+)\]", source)
        assert named
        folds = {int(k) for k in named[1].split(",")}
        left = {n: data for n, data in self.files.items() if "/fold" not in n}
        for k in folds:
            for name, data in self.files.items():
                if f"/fold{k}/" in name and k not in self.unfinished:
                    left[name] = data
            if k in self.unfinished:
                left[f"oof/r/fold{k}/last.ckpt"] = b"half of it"
        facts = {
            name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in left.items()
        }
        for k in folds & self.damaged:
            del left[f"oof/r/fold{k}/oof.parquet"]
        archive = hashlib.sha256(sources_of(source)).hexdigest()
        return {**left, "foldwise.json": json.dumps({"archive": archive, "files": facts}).encode()}


@pytest.fixture
def trainer(server: Server, pets: Path, elsewhere: Files) -> Trainer:
    made = Trainer(elsewhere)
    server.kaggle.leaves = made
    return made


def files_of(home: Path) -> Files:
    paths = [path for path in (home / "oof").rglob("*") if path.is_file()]
    return {str(path.relative_to(home)): path.read_bytes() for path in paths}


def test_as_if_it_had_been_trained_here(
    server: Server, trainer: Trainer, foldwise: Callable[..., Ended], home: Path
) -> None:
    ended = foldwise(*TRAIN)
    assert ended.code == 0, ended.err
    ours = files_of(home)
    for name, data in trainer.files.items():
        if name.endswith((".parquet", ".safetensors", ".csv", "scores.json", "config.yaml")):
            assert ours[name] == data, name
    assert (home / "submissions" / "r.csv").is_file()
    assert "foldwise/training/" in ended.out and "of source (Kaggle takes 1,000,000)" in ended.out
    ended = foldwise(*TRAIN)
    assert ended.code == 0 and "these folds are finished" in ended.out
    assert len(server.kaggle.kernels["ann/foldwise-r-train"].sessions) == 1


def test_a_kernel_a_fold_as_many_as_may_run(
    server: Server, trainer: Trainer, foldwise: Callable[..., Ended], home: Path
) -> None:
    trainer.seconds = 0.5
    ended = foldwise(*TRAIN, "each=true", "gpus=2")
    assert ended.code == 0, ended.err
    with zipfile.ZipFile(io.BytesIO(sources_of(trainer.sources[0]))) as archive:
        assert b"gpus: 1\n" in archive.read("recipe.yaml")  # a process for each GPU there
    assert sorted(server.kaggle.kernels) == [f"ann/foldwise-r-train-fold{k}" for k in range(3)]
    assert server.asked("SaveKernel") > 3  # two at a time: the third had to wait
    assert Run("r").finished() == [0, 1, 2] and (home / "submissions" / "r.csv").is_file()


def test_one_of_several_fails(
    server: Server, trainer: Trainer, foldwise: Callable[..., Ended]
) -> None:
    trainer.damaged = {1}
    ended = foldwise(*TRAIN, "each=true", "machine=cpu")
    assert ended.code == 1 and "oof/r/fold1/oof.parquet missing" in ended.err.splitlines()[-1]
    assert Run("r").finished() == [0, 2]
    trainer.damaged = set()
    found = server.kaggle.kernels["ann/foldwise-r-train-fold1"]
    server.kaggle.run(found, found.sessions[0])
    assert foldwise(*TRAIN, "each=true", "machine=cpu").code == 0
    assert Run("r").finished() == [0, 1, 2]


def test_unfinished_is_gone_on_with_in_a_next_kernel(
    server: Server, trainer: Trainer, foldwise: Callable[..., Ended]
) -> None:
    trainer.unfinished = {1, 2}
    ended = foldwise(*TRAIN)
    assert ended.code == 1 and "folds 1, 2 are unfinished" in ended.err.splitlines()[-1]
    run = Run("r")
    assert run.finished() == [0] and run.checkpoint(2).read_bytes() == b"half of it"
    trainer.unfinished = set()
    assert foldwise(*TRAIN).code == 0
    assert run.finished() == [0, 1, 2] and not run.checkpoint(2).exists()
    (state,) = server.kaggle.datasets.values()
    assert state.ref == "ann/foldwise-r-state"
    assert state.versions[0]["fold2.last.ckpt"] == b"half of it"
    kernel = server.kaggle.kernels["ann/foldwise-r-train"]
    assert [s.request.get("datasetDataSources", []) for s in kernel.sessions] == [[], [state.ref]]
    assert "folds=[1, 2]" in trainer.sources[1] and "marker=" in trainer.sources[1]


def test_another_recipe_here(
    server: Server, trainer: Trainer, foldwise: Callable[..., Ended], home: Path
) -> None:
    assert foldwise("train", *TRAIN[2:], "fold=0", "seed=1").code == 0
    before = files_of(home)
    ended = foldwise(*TRAIN, "fold=1")
    assert ended.code == 1 and "seed: 1 -> 0" in ended.err.splitlines()[-1]
    assert files_of(home) == before


def test_labels_that_changed_meanwhile(
    server: Server, trainer: Trainer, foldwise: Callable[..., Ended], home: Path
) -> None:
    table = home / "input" / "pets" / "train.csv"
    table.write_text(table.read_text().replace("tr000,cat", "tr000,dog"))
    ended = foldwise(*TRAIN)
    assert ended.code == 1 and "or on another split" in ended.err.splitlines()[-1]
    assert not (home / "oof").exists()


@pytest.mark.slow
def test_here_in_hours_that_are_too_few(
    pets: Path, foldwise: Callable[..., Ended], home: Path
) -> None:
    """A training saves itself when its time is up, and goes on in the next kernel."""
    words = [*TRAIN[:-3], "train.epochs=100000", *QUICK[1:], "local=true", "fold=0", "hours=0.012"]
    ended = foldwise(*words)
    assert ended.code == 1 and "folds 0 are unfinished" in ended.err.splitlines()[-1]
    log = home / "kernels" / "r-train" / "local" / "log.txt"
    assert "the time is up: saving what is unfinished" in log.read_text()
    assert foldwise(*words).code == 1
    assert re.search(r"fold 0 goes on at epoch \d+", log.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["notebook", "script"])
def test_train_and_infer_here(
    pets: Path, foldwise: Callable[..., Ended], home: Path, kind: str
) -> None:
    """The very files, run in folders like Kaggle's, without an account."""
    ended = foldwise(*TRAIN, "local=true", "fold=0..1", f"kind={kind}")
    assert ended.code == 0, ended.err
    ended = foldwise("kernel", "infer", "run=r", "local=true", f"kind={kind}")
    assert ended.code == 0, ended.err
    assert "20 predictions are those of r, within" in ended.out
    assert "a test set 3 times as large, with a broken image, gives a submission too" in ended.out
