"""A fold's student learns from the model that does not know the fold either."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from foldwise.compose import compose
from foldwise.images.augment import Normalize
from foldwise.models.build import build_model
from foldwise.runs import Run
from foldwise.training.teacher import load_teacher
from helpers import QUICK, Ended

COMMAND = ("competition=pets", "fold=0", *QUICK)
STUDENT = (*COMMAND, "model.args={widths: [4, 4]}", "distill.run=big")


@pytest.fixture
def big(foldwise: Callable[..., Ended], pets: Path) -> Run:
    """A teacher that has learned something, of folds 0 and 1."""
    words = (*COMMAND, "fold=0..1", "train.epochs=10", "optimizer.lr=0.02", "run=big")
    ended = foldwise(*words)
    assert ended.code == 0, ended.err
    return Run("big")


def refused(ended: Ended, *texts: str, code: int = 1) -> None:
    assert ended.code == code, ended.err
    line = ended.err.splitlines()[-1]
    assert line.startswith("foldwise: ") and "Traceback" not in ended.err
    for text in texts:
        assert text in line, line


def test_a_student_comes_near_its_teacher_and_the_report_says_how_near(
    foldwise: Callable[..., Ended], big: Run
) -> None:
    words = (*STUDENT, "train.epochs=10", "optimizer.lr=0.02", "distill.alpha=1")
    ended = foldwise(*words, "augment.mixup=0.2", "run=small")
    assert ended.code == 0, ended.err
    assert "taught by big" in ended.err
    scores = Run("small").scores()
    theirs = big.scores()["folds"]["0"]
    assert scores["folds"]["0"] > 0.5  # no label was used
    assert scores["teacher"]["folds"] == {"0": theirs}
    gain = f"student {scores['folds']['0'] - theirs:+.4f} (folds 0)"
    assert f"teacher {theirs:.4f}: {gain}" in ended.out
    assert Run("small").model_provenance(0).held_out == [0]


def test_a_teacher_is_what_it_is_and_not_its_name(
    foldwise: Callable[..., Ended], big: Run, home: Path
) -> None:
    assert foldwise(*STUDENT, "run=small").code == 0
    shutil.copytree(big.folder, home / "oof" / "large")
    assert foldwise(*STUDENT, "distill.run=large", "run=same").code == 0
    for name in ("oof.parquet", "scores.json", "fold0/model.safetensors"):
        one, two = (Run(run).folder / name for run in ("small", "same"))
        assert one.read_bytes() == two.read_bytes(), name
    assert foldwise(*COMMAND, "run=other").code == 0
    refused(
        foldwise(*STUDENT, "distill.run=other", "run=small", "fold=0"), "distill.recipe: ", "small"
    )
    recipe = Run("small").config().distill.recipe
    refused(
        foldwise(*STUDENT, "distill.run=other", f"distill.recipe={recipe}", "run=x"),
        f"not distill.recipe={recipe}",
    )


def test_a_teacher_sees_the_same_images_in_its_own_way(
    foldwise: Callable[..., Ended], big: Run
) -> None:
    """Another size and normalisation: the logits are those of the images as it knows them."""
    config = compose(["distill.run=big", "competition.task=multiclass", "run=x"])
    device, images = torch.device("cpu"), torch.randint(0, 256, (4, 12, 12, 3), dtype=torch.uint8)
    normalize = Normalize([0.1, 0.2, 0.3], [0.5, 0.6, 0.7], device, channels_last=True)
    teacher = load_teacher(config, 0, normalize, device)
    assert teacher is not None
    theirs = big.config()
    built = build_model(theirs.model, 3, 12)
    built.network.load_state_dict(load_file(big.model_file(0)))
    own = Normalize(built.mean, built.std, device, channels_last=True)
    with torch.no_grad():
        expected = built.network.eval()(own(images))
    torch.testing.assert_close(teacher(normalize(images)), expected, rtol=1e-4, atol=1e-4)
    same = load_teacher(config, 0, own, device)
    assert same is not None and same.scale is None
    torch.testing.assert_close(same(own(images)), expected)
    twice = images.repeat_interleave(2, 1).repeat_interleave(2, 2)
    torch.testing.assert_close(same(own(twice)).argmax(1), expected.argmax(1))
    ended = foldwise(*STUDENT, "images.size=20", "train.epochs=1", "run=large-images")
    assert ended.code == 0, ended.err


def test_a_file_of_weights_becomes_a_teacher(
    foldwise: Callable[..., Ended], big: Run, home: Path
) -> None:
    """By a training that changes nothing but batch normalisation's statistics."""
    wanted = load_file(big.model_file(0))
    torch.save(wanted, home / "big.pth")
    words = (f"model.weights={home / 'big.pth'}", "train.epochs=1", "optimizer.lr=0", "run=made")
    assert foldwise(*COMMAND, *words).code == 0
    found = load_file(Run("made").model_file(0))
    changed = {name.rpartition(".")[2] for name, value in found.items()
               if not torch.equal(value, wanted[name])}  # fmt: skip
    assert changed <= {"running_mean", "running_var", "num_batches_tracked"}
    assert foldwise(*STUDENT, "distill.run=made", "run=small").code == 0


def test_what_cannot_teach_is_refused_before_anything_is_trained(
    foldwise: Callable[..., Ended], big: Run, pets: Path, home: Path
) -> None:
    refused(foldwise(*STUDENT, "distill.run=bag"), "no run 'bag'", "did you mean 'big'?")
    for name in ("there/big.pt", str(big.model_file(0))):
        refused(foldwise(*STUDENT, f"distill.run={name}"), "is a file", f"model.weights={name} ")
    refused(foldwise(*STUDENT, "run=big"), "this run itself", code=2)
    refused(foldwise(*STUDENT, "fold=0..3", "run=s"), "folds 2, 3 of big are not finished")
    refused(foldwise(*STUDENT, "model.in_chans=1"), "model.in_chans=3, and these 1")
    refused(foldwise(*STUDENT, "images.clahe=2"), "images.clahe=0, and these 2")
    refused(foldwise(*STUDENT, "loss.name=bce"), "a softmax", "sigmoids", "take cross_entropy")
    more = "competition.classes=[cat, dog, owl, yak]"
    refused(foldwise(*STUDENT, more), "cat, dog, owl, and these are cat, dog, owl, yak")
    shutil.copytree(big.folder, home / "oof" / "twin")
    assert foldwise("blend", "runs=big,twin", "run=blend").code == 0
    refused(foldwise(*STUDENT, "distill.run=blend"), "it has no models, as blends have none")
    assert not (home / "oof" / "pets-default").exists()


def test_a_teacher_that_knows_the_fold_is_refused(
    foldwise: Callable[..., Ended], big: Run, pets: Path
) -> None:
    known = replace(big.model_provenance(0), held_out=[1])
    big.write_model(0, load_file(big.model_file(0)), known)
    refused(foldwise(*STUDENT), "its models of the folds 0 have seen labels of the fold")
    assert foldwise(*STUDENT, "fold=1", "run=s").code == 0
    another = replace(known, held_out=[0], recipe_hash="0" * 64)
    big.write_model(0, load_file(big.model_file(0)), another)
    refused(foldwise(*STUDENT, "fold=0..1"), "its folds 1 have another recipe than fold 0")
    big.model_file(0).write_bytes(b"rubbish")
    refused(foldwise(*STUDENT), "model.safetensors cannot be read as a network of foldwise")


def test_a_teacher_of_another_split_is_refused(
    foldwise: Callable[..., Ended], big: Run, pets: Path
) -> None:
    folds = pd.read_csv(pets / "folds.csv").assign(fold=lambda t: (t["fold"] + 1) % 5)
    folds.to_csv(pets / "folds.csv", index=False)
    (pets / "folds.json").unlink()
    refused(foldwise(*STUDENT), "its folds 0 were trained on another split or other labels")


def test_several_labels_and_grades_are_taught_too(
    foldwise: Callable[..., Ended], pets: Path
) -> None:
    table = pd.read_csv(pets / "train.csv")
    for labels, task in (
        (["cat", "cat dog", "owl dog", "owl"] * 15, "multilabel"),
        ([0, 1, 2] * 20, "ordinal"),
    ):
        for name in ("folds.csv", "folds.json"):
            (pets / name).unlink(missing_ok=True)
        table.assign(label=labels).to_csv(pets / "train.csv", index=False)
        (pets / "sample_submission.csv").unlink(missing_ok=True)
        words = (*COMMAND, "train.epochs=1", f"competition.task={task}")
        ended = foldwise(*words, f"run={task}-teacher")
        assert ended.code == 0, ended.err
        loss = "focal" if task == "multilabel" else "auto"
        ended = foldwise(*words, f"run={task}", f"distill.run={task}-teacher", f"loss.name={loss}")
        assert ended.code == 0, ended.err
        text = (Run(task).folder / "scores.json").read_text()
        assert json.loads(text)["teacher"]["mean"] is not None
    table.assign(label=[n / 7 for n in range(60)]).to_csv(pets / "train.csv", index=False)
    for name in ("folds.csv", "folds.json"):
        (pets / name).unlink()
    assert foldwise(*COMMAND, "train.epochs=1", "run=numbers").code == 0
    refused(foldwise(*COMMAND, "distill.run=numbers", "run=s"), "this is a regression")
