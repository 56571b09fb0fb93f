"""`./run.sh pseudo`: each fold learns from what holds it out, and a round is a run like any."""

import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from foldwise import interrupt
from foldwise.provenance import read_table
from foldwise.runs import Run
from helpers import QUICK, Ended, refused, write_competition

TRAINED = ("competition=pets", "fold=0..1", *QUICK, "train.epochs=6", "optimizer.lr=0.02")
ROUNDS = ("pseudo", "run=first", "threshold=0.5")


@pytest.fixture
def first(foldwise: Callable[..., Ended], pets: Path) -> Run:
    ended = foldwise("train", *TRAINED, "run=first")
    assert ended.code == 0, ended.err
    return Run("first")


def bytes_of(run: str) -> dict[str, bytes]:
    folder = Run(run).folder
    names = [*folder.glob("**/*.parquet"), *folder.glob("**/*.safetensors"), folder / "scores.json"]
    assert len(names) == 2 * 4 + 2 + 1
    return {str(path.relative_to(folder)): path.read_bytes() for path in names}


def test_rounds_are_runs_that_learn_from_the_one_before(
    foldwise: Callable[..., Ended], first: Run, home: Path
) -> None:
    ended = foldwise(*ROUNDS, "rounds=2")
    assert ended.code == 0, ended.err
    assert [line.split()[0] for line in ended.out.splitlines()[-3:]] == [
        "first", "first-p1", "first-p2",
    ]  # fmt: skip
    for before, name in (("first", "first-p1"), ("first-p1", "first-p2")):
        run, source = Run(name), Run(before)
        for fold in (0, 1):
            said, _ = source.predictions(fold, "test")
            learned, origin = run.predictions(fold, "pseudo")
            said = said.set_index("id").loc[learned["id"]]
            classes = [c.removeprefix("prob_") for c in said]
            assert learned["label"].tolist() == [classes[n] for n in said.to_numpy().argmax(1)]
            assert learned["id"].is_monotonic_increasing
            assert origin.held_out == [fold] == run.model_provenance(fold).held_out
        facts = pd.read_json(run.folder / "pseudo.json", typ="series")
        assert facts["source"] == before and facts["taken"] > 5
        assert 0 <= facts["better"] <= 1 and facts["agreement"] > 0.5
    made = {path: path.stat().st_mtime_ns for path in home.glob("oof/first-p*/fold*/*.parquet")}
    again = foldwise(*ROUNDS, "rounds=2")
    assert again.code == 0 and again.out.count("are finished") == 2
    assert all(when == path.stat().st_mtime_ns for path, when in made.items())
    refused(foldwise("pseudo", "run=first", "threshold=0.6"), "pseudo.threshold: 0.5 -> 0.6")
    # The round alone, by its own config.
    recipe = f"config={Run('first-p1').config_file}"
    assert foldwise(recipe, "fold=0..1", "run=same").code == 0
    assert bytes_of("same") == bytes_of("first-p1")


def test_a_broken_off_round_goes_on(
    foldwise: Callable[..., Ended], first: Run, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    assert foldwise(*ROUNDS, "name=whole").code == 0
    asked = []

    def pending() -> int:
        asked.append(1)
        return signal.SIGTERM if len(asked) > 7 else 0

    monkeypatch.setattr(interrupt, "pending", pending)
    ended = foldwise(*ROUNDS, "name=broken")
    assert ended.code == 128 + signal.SIGTERM and "./run.sh pseudo run=first" in ended.err
    monkeypatch.undo()
    monkeypatch.setenv("FOLDWISE_HOME", str(home))
    assert foldwise(*ROUNDS, "name=broken").code == 0
    assert bytes_of("broken-p1") == bytes_of("whole-p1")


def test_weight_0_is_the_run_without_and_nothing_to_learn_is_a_line(
    foldwise: Callable[..., Ended], first: Run
) -> None:
    assert foldwise(*ROUNDS, "weight=0").code == 0
    for part in ("oof", "test"):
        one, two = (run.predictions(0, part)[0] for run in (first, Run("first-p1")))
        pd.testing.assert_frame_equal(one, two)
    assert foldwise(*ROUNDS, "weight=0.5", "labels=soft", "name=soft", "fold=0").code == 0
    assert not Run("soft-p1").predictions(0, "oof")[0].equals(first.predictions(0, "oof")[0])
    refused(foldwise("pseudo", "run=first", "threshold=1", "name=x"), "fold 0: no unlabelled")
    refused(foldwise("pseudo", "run=first", "agree=1", "name=x"), "nobody is there to agree")
    wrong = foldwise("pseudo", "run=first", "round=2")
    assert wrong.code == 2 and "no key or setting 'round'; did you mean 'rounds'?" in wrong.err
    refused(foldwise("pseudo", "run=frist"), "no run 'frist'", "did you mean 'first'")
    refused(foldwise("pseudo", "run=first", "rounds=0"), "rounds=0")
    refused(
        foldwise("pseudo", "run=first", "treshold=1"), "no key or setting 'treshold'", "'threshold'"
    )
    assert not Run("x-p1").folder.exists()


def test_the_pool_s_order_changes_nothing(
    foldwise: Callable[..., Ended], first: Run, pets: Path
) -> None:
    words = (*ROUNDS, "labels=soft", "fold=0", "augment.mixup=0.2", "data.sampler=balanced")
    assert foldwise(*words, "loss.class_weights=inverse").code == 0
    one = Run("first-p1").model_file(0).read_bytes()
    sample = pd.read_csv(pets / "sample_submission.csv", dtype=str)
    sample.iloc[::-1].to_csv(pets / "sample_submission.csv", index=False)
    for fold in (0, 1):  # as a run on that table has them
        table, origin = first.predictions(fold, "test")
        first.write_predictions(fold, "test", table[::-1].reset_index(drop=True), origin)
    assert foldwise(*words, "loss.class_weights=inverse", "name=other").code == 0
    assert Run("other-p1").model_file(0).read_bytes() == one


def test_a_folder_is_predicted_once_and_its_duplicates_of_training_images_are_left(
    foldwise: Callable[..., Ended],
    first: Run,
    pets: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = tmp_path / "pool"
    (pool / "more").mkdir(parents=True)
    noise = np.random.default_rng(5).integers(0, 256, (6, 12, 12, 3)).astype(np.uint8)
    for n, image in enumerate(noise):
        cv2.imwrite(str(pool / "more" / f"{n}.png"), image)
    shutil.copy(pets / "train" / "tr000.png", pool / "known.png")
    (pool / "broken.png").write_bytes(b"rubbish")
    words = ("pseudo", "run=first", f"pool={pool}", "threshold=0", "balance=0", "duplicates=drop")
    ended = foldwise(*words, "rounds=2")
    assert ended.code == 0, ended.err
    assert ended.err.count("1 images of the pool are left out") == 1 and "broken.png" in ended.err
    for name in ("first-p1", "first-p2"):
        ids = Run(name).predictions(0, "pseudo")[0]["id"].tolist()
        assert ids == [f"more/{n}.png" for n in range(6)]
    tables = list(first.folder.glob("fold0/pool-*.parquet"))
    assert len(tables) == 1 and "known.png" in read_table(tables[0])[0]["id"].tolist()
    made = tables[0].stat().st_mtime_ns
    monkeypatch.chdir(pool / "more")  # a folder is kept as it is found from anywhere
    relative = (*words[:2], "pool=..", *words[3:])
    assert foldwise(*relative, "name=other", "fold=0").code == 0
    assert Path(Run("other-p1").config().pseudo.pool).samefile(pool)
    assert Path(Run("other-p1").config().pseudo.pool).is_absolute()
    assert tables[0].stat().st_mtime_ns == made
    digest = Run("first-p1").config().pseudo.pool_digest
    (pool / "new.png").write_bytes((pool / "known.png").read_bytes())
    refused(foldwise(*words), "pseudo.pool_digest", digest)
    (tmp_path / "junk").mkdir()
    shutil.copy(pool / "broken.png", tmp_path / "junk")
    ended = foldwise("pseudo", "run=first", f"pool={tmp_path / 'junk'}", "name=junk")
    refused(ended, "none of the 1 images below", "can be decoded")


def test_a_blend_labels_with_what_its_members_agree_on(
    foldwise: Callable[..., Ended], first: Run, tmp_path: Path
) -> None:
    assert foldwise("train", *TRAINED, "run=second", "seed=1").code == 0
    assert foldwise("blend", "runs=first,second", "run=both").code == 0
    words = ("pseudo", "run=both", "threshold=0.4", "agree=1")
    ended = foldwise(*words)
    assert ended.code == 0, ended.err
    assert "the recipe is that of first" in ended.err
    learned, origin = Run("both-p1").predictions(0, "pseudo")
    assert origin.held_out == [0]
    for member in (first, Run("second")):
        table = member.predictions(0, "test")[0].set_index("id").loc[learned["id"]]
        said = table.columns[table.to_numpy().argmax(1)].str.removeprefix("prob_")
        assert said.tolist() == learned["label"].tolist()
    # Of a folder's images the blend says what it says of the same images as a test set.
    pool = f"pool={first.config().competition.slug}"
    refused(foldwise(*words, pool, "name=x"), "is no folder")
    images = tmp_path / "input" / "pets" / "test"
    assert foldwise(*words, f"pool={images}", "name=folder", "fold=0").code == 0
    folder = Run("folder-p1").predictions(0, "pseudo")[0]
    assert folder["id"].str.removesuffix(".png").tolist() == learned["id"].tolist()
    assert folder["label"].tolist() == learned["label"].tolist()
    assert foldwise("blend", "runs=first,second", "run=stack", "method=stack").code == 0
    for name, pool in (("by-test", ()), ("by-folder", (f"pool={images}",))):
        words = ("pseudo", "run=stack", "threshold=0.4", "fold=0", "rounds=1", *QUICK)
        assert foldwise(*words, *pool, f"name={name}").code == 0
    labels = [
        Run(f"by-{name}-p1").predictions(0, "pseudo")[0]["label"] for name in ("test", "folder")
    ]
    assert len(labels[0]) and labels[0].tolist() == labels[1].tolist()


def test_from_the_last_weights_at_a_lower_rate_and_until_it_gains_nothing(
    foldwise: Callable[..., Ended], first: Run
) -> None:
    ended = foldwise(*ROUNDS, "rounds=3", "start=last", "stop=best", "fold=0")
    assert ended.code == 0, ended.err
    rates = [Run(name).config().optimizer.lr for name in ("first", "first-p1")]
    assert rates[1] == pytest.approx(0.3 * rates[0])
    assert Run("first-p1").config().model.weights == "first"
    assert Run("first-p1").model_provenance(0).held_out == [0]
    last = [line for line in ended.out.splitlines() if "gains nothing beyond noise" in line]
    assert len(last) == 1 and not Run("first-p3").folder.exists()


@pytest.mark.parametrize("task", ["multilabel", "ordinal", "regression"])
def test_other_tasks(foldwise: Callable[..., Ended], pets: Path, task: str) -> None:
    table = pd.read_csv(pets / "train.csv")
    labels = {
        "multilabel": ["cat", "cat dog", "owl dog", "owl"] * 15,
        "ordinal": [0, 1, 2] * 20,
        "regression": [n / 7 for n in range(60)],
    }[task]
    table.assign(label=labels).to_csv(pets / "train.csv", index=False)
    (pets / "sample_submission.csv").unlink()
    words = ("competition=pets", "fold=0", *QUICK, f"competition.task={task}", "run=first")
    assert foldwise("train", *words).code == 0
    own = () if task == "regression" else ("threshold=0.3",)
    for kind in ("hard", "soft"):
        ended = foldwise("pseudo", "run=first", f"labels={kind}", f"name={kind}", *own)
        assert ended.code == 0, ended.err
        assert Run(f"{kind}-p1").model_provenance(0).held_out == [0]
    if task == "regression":
        refused(foldwise("pseudo", "run=first", "threshold=0.5", "name=x"), "has no meaning")


def twins(folder: Path, count: int = 30) -> Path:
    """Noise with random labels: every image once in either fold, and once in the test set."""
    random = np.random.default_rng(0)
    rows = [(f"{fold}-{n:02d}", fold) for n in range(count) for fold in (0, 1)]
    names = np.array(["cat", "dog", "owl"])
    table = pd.DataFrame(rows, columns=["id", "fold"])
    table["label"] = names[random.integers(0, 3, 2 * count)]
    for part in ("train", "test"):
        (folder / part).mkdir(parents=True)
    for n, image in enumerate(random.integers(0, 256, (count, 12, 12, 3))):
        for name in (f"train/0-{n:02d}", f"train/1-{n:02d}", f"test/{n:02d}"):
            cv2.imwrite(str(folder / f"{name}.png"), image.astype(np.uint8))
    table[["id", "label"]].to_csv(folder / "train.csv", index=False)
    table[["id", "fold"]].to_csv(folder / "folds.csv", index=False)
    truth = pd.DataFrame({"id": [f"{n:02d}" for n in range(count)]})
    truth = truth.assign(label=names[random.integers(0, 3, count)])
    truth.to_csv(folder / "sample_submission.csv", index=False)
    return folder


def test_planted_leaks_are_refused_and_visible_with_checks_off(
    foldwise: Callable[..., Ended], home: Path
) -> None:
    """Labels of noise cannot be known: who scores above chance has seen them."""
    folder = twins(home / "input" / "twins")
    words = (
        *("competition=twins", "train.batch_size=10", "train.epochs=50", "optimizer.lr=0.01"),
        *("augment.preset=none", "model.args={widths: [16, 16]}", "train.ema=0"),
    )
    assert foldwise("train", *words, "run=honest").code == 0
    honest = Run("honest")
    assert honest.scores()["oof"] < 0.6
    # A run whose model of fold 0 is one that has learned fold 0's labels, and says so.
    tensors, origin = honest.model(1)
    seen = replace(origin, fold=0, held_out=[1])
    leaky = Run("leaky")
    shutil.copytree(honest.folder, leaky.folder)
    leaky.write_model(0, tensors, seen)
    leaky.write_predictions(0, "oof", honest.predictions(0, "oof")[0], seen)
    leaky.write_predictions(0, "test", honest.predictions(1, "test")[0], seen)
    truth = pd.read_csv(folder / "sample_submission.csv", dtype=str).set_index("id")["label"]
    leaks = {
        "weights": (f"model.weights={honest.model_file(1)}", "train.epochs=1", "optimizer.lr=1e-5"),
        "teacher": ("distill.run=leaky", "distill.alpha=1"),
        "labels": ("pseudo.run=leaky", "pseudo.threshold=0", "pseudo.balance=0", "pseudo.weight=9"),
    }
    for name, leak in leaks.items():
        refused(foldwise("train", *words, "fold=0", *leak, f"run={name}"), "folds 0", "worth noth")
        assert not Run(name).folder.exists()
        ended = foldwise("train", *words, "fold=0", *leak, f"run={name}", "checks=false")
        assert ended.code == 0 and "not honest" in ended.out, ended.err
        run = Run(name)
        assert run.scores()["folds"]["0"] > 0.85 and run.scores()["seen"] == [0]
        test = run.predictions(0, "test")[0].set_index("id")
        said = test.columns[test.to_numpy().argmax(1)].str.removeprefix("prob_")
        assert (said == truth[test.index]).mean() < 0.6  # rows that nobody has seen
        assert run.model_provenance(0).held_out == []
        refused(foldwise("pseudo", f"run={name}"), "seen labels of the")


def test_another_split_or_other_classes_do_not_label(
    foldwise: Callable[..., Ended], first: Run, home: Path
) -> None:
    write_competition(home / "input" / "zoo", classes=("ape", "bee", "cow"))
    words = (*QUICK, "fold=0", "pseudo.run=first", "run=x")
    refused(foldwise("competition=zoo", *words), "its classes is cat, dog, owl, and here ape")
    refused(foldwise("competition=pets", *words, "fold=2"), "folds 2 of first are not finished")
    refused(foldwise("competition=pets", *words, "run=first"), "this run itself")
    first.write_predictions(0, "oof", *moved(first))
    refused(foldwise("competition=pets", *words), "another split or other labels")


def moved(run: Run) -> tuple[pd.DataFrame, object]:
    table, origin = run.predictions(0, "oof")
    return table, replace(origin, folds_hash="0" * 64)
