"""model.weights know what they have learned from: a fold never starts from its own labels."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from foldwise.runs import Run
from helpers import QUICK, Ended, refused, write_competition

COMMAND = ("competition=pets", "fold=0..1", *QUICK)


@pytest.fixture
def first(foldwise: Callable[..., Ended], pets: Path) -> Run:
    ended = foldwise(*COMMAND, "run=first")
    assert ended.code == 0, ended.err
    return Run("first")


def test_a_run_gives_each_fold_its_own_weights(foldwise: Callable[..., Ended], first: Run) -> None:
    words = (*COMMAND, "model.weights=first", "optimizer.lr=1e-12", "train.ema=0")
    ended = foldwise(*words, "optimizer.weight_decay=0", "run=second")
    assert ended.code == 0, ended.err
    second = Run("second")
    for fold in (0, 1):
        before, after = (load_file(run.model_file(fold)) for run in (first, second))
        head = next(name for name in before if name.endswith("weight"))
        assert (before[head] - after[head]).abs().max() < 1e-6
        assert second.model_provenance(fold).held_out == [fold]
    assert second.config().model.weights_digest == first.provenance(0).recipe_hash[:16]
    refused(foldwise(*words, "fold=2", "run=second"), "no network of the folds 2", "train them")
    refused(foldwise(*words, "run=first"), "this run itself")
    digest = "model.weights_digest=0123456789abcdef"
    refused(foldwise(*words, digest, "run=x"), "not model.weights_digest=0123456789abcdef")


def test_a_file_that_knows_the_fold_is_refused(
    foldwise: Callable[..., Ended], first: Run, tmp_path: Path
) -> None:
    words = (*COMMAND, f"model.weights={first.model_file(1)}", "run=second")
    refused(foldwise(*words), "seen labels of the folds 0,", "model.weights=first starts each fold")
    assert foldwise(*words, "fold=1").code == 0  # that fold it does hold out
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes(first.model_file(1).read_bytes())
    refused(foldwise(*COMMAND, f"model.weights={alone}", "run=x"), "folds 0", "take another")
    ended = foldwise(*COMMAND, f"model.weights={alone}", "run=x", "checks=false")
    assert ended.code == 0 and "not honest" in ended.out
    assert Run("x").scores()["seen"] == [0]
    assert [Run("x").model_provenance(k).held_out for k in (0, 1)] == [[], [1]]
    refused(foldwise("blend", "runs=first,x", "run=b"), "fold 0 of x")


def test_another_split_of_the_competition_has_seen_every_fold(
    foldwise: Callable[..., Ended], first: Run, home: Path
) -> None:
    origin = replace(first.model_provenance(0), folds_hash="0" * 64)
    first.write_model(0, load_file(first.model_file(0)), origin)
    words = (*QUICK, "fold=0", f"model.weights={first.model_file(0)}")
    refused(foldwise("competition=pets", *words, "run=x"), "seen labels of the folds 0")
    write_competition(home / "input" / "zoo", classes=("ape", "bee", "cow"))
    ended = foldwise("competition=zoo", *words, "run=y")  # other images: that is what weights do
    assert ended.code == 0 and Run("y").model_provenance(0).held_out == [0]
