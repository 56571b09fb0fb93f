"""The main job on a small competition: what it leaves, and what bad input gets."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from foldwise.competition.metrics import metric_of
from foldwise.provenance import read_table
from foldwise.runs import Run
from foldwise.software import PACKAGES
from helpers import QUICK, Ended, write_competition

COMMAND = ("competition=pets", *QUICK)


def one_line(ended: Ended, code: int, *texts: str) -> None:
    """The error is the last line, names what it must, and there is no traceback."""
    assert ended.code == code, ended.err
    assert "Traceback" not in ended.err
    line = ended.err.splitlines()[-1]
    assert line.startswith("foldwise: ")
    for text in texts:
        assert text in line


def test_what_a_run_leaves(foldwise: Callable[..., Ended], pets: Path, home: Path) -> None:
    ended = foldwise(*COMMAND, "run=r", "train.epochs=10", "optimizer.lr=0.02")
    assert ended.code == 0, ended.err
    run, train = Run("r"), pd.read_csv(pets / "train.csv", dtype=str)
    folds = pd.read_csv(pets / "folds.csv", dtype=str).set_index("id")["fold"]
    oof, _ = read_table(run.folder / "oof.parquet")
    assert oof["id"].tolist() == train["id"].tolist()
    assert oof["label"].tolist() == train["label"].tolist()
    assert oof["fold"].astype(str).tolist() == folds[train["id"]].tolist()
    columns = ["prob_cat", "prob_dog", "prob_owl"]
    assert oof.columns.tolist() == ["id", "fold", "label", *columns]
    probs = oof[columns].to_numpy()
    assert probs.dtype == np.float32
    np.testing.assert_allclose(probs.sum(1), 1, atol=1e-6)
    labels = oof["label"].map({"cat": 0, "dog": 1, "owl": 2}).to_numpy()
    scores = run.scores()
    assert scores["oof"] == metric_of("accuracy", run.config().competition)(labels, probs)
    assert scores["oof"] > 0.6  # it learns: three classes, so chance is a third
    assert list(scores["folds"]) == ["0", "1", "2", "3", "4"]
    assert scores["mean"] == pytest.approx(np.mean(list(scores["folds"].values())))
    for fold in range(5):
        names = {path.name for path in run.fold_folder(fold).iterdir()}
        wanted = {"oof.parquet", "test.parquet", "metrics.csv", "train.log", "model.safetensors"}
        assert names == wanted
        held, origin = read_table(run.fold_folder(fold) / "oof.parquet")
        assert (origin.fold, origin.held_out) == (fold, [fold])
        assert set(held["id"]) == set(folds.index[folds == str(fold)])
        assert len(run.metrics(fold)) == 10
    assert run.config().model.name == "convnet2"
    assert run.config().competition.classes == ["cat", "dog", "owl"]
    assert run.config().train.precision != "auto"
    environment = json.loads((run.folder / "environment.json").read_text())
    assert environment["device"] and environment["opencv"].startswith(cv2.__version__)
    assert set(PACKAGES) < set(environment) and "?" not in environment.values()
    submission = pd.read_csv(home / "submissions" / "r.csv")
    sample = pd.read_csv(pets / "sample_submission.csv")
    assert submission.columns.tolist() == sample.columns.tolist()
    assert submission["id"].tolist() == sample["id"].tolist()
    truth = pd.read_csv(pets / "solution.csv").set_index("id")["label"]
    assert (submission.set_index("id")["label"] == truth).mean() > 0.6
    assert "OOF" in ended.out


def test_folds_may_come_one_by_one(foldwise: Callable[..., Ended], pets: Path, home: Path) -> None:
    assert foldwise(*COMMAND, "run=all").code == 0
    for folds in ("1", "0,2", "3..4"):
        assert foldwise(*COMMAND, "run=parts", f"fold={folds}").code == 0
        complete = folds == "3..4"
        assert (home / "submissions" / "parts.csv").is_file() == complete
    for name in ("oof.parquet", "test.parquet", "scores.json"):
        assert Run("all").folder.joinpath(name).read_bytes() == (
            Run("parts").folder.joinpath(name).read_bytes()
        )
    again = foldwise(*COMMAND, "run=parts", "fold=0..1")
    assert "are finished" in again.out


def test_streamed_and_resident_images_train_the_same_model(
    foldwise: Callable[..., Ended], pets: Path
) -> None:
    assert foldwise(*COMMAND, "fold=0", "run=resident").code == 0
    streamed = ("images.resident_gb=0", "images.workers=3")
    assert foldwise(*COMMAND, "fold=0", "run=streamed", *streamed).code == 0
    one, two = (Run(name).fold_folder(0) / "model.safetensors" for name in ("resident", "streamed"))
    assert one.read_bytes() == two.read_bytes()


def test_debug_runs_the_whole_path_at_once_and_again(
    foldwise: Callable[..., Ended], pets: Path, home: Path
) -> None:
    for rate in (0.01, 0.02):  # a debug run may always be overwritten, by another recipe too
        ended = foldwise(
            "competition=pets", "debug=true", "train.batch_size=4", f"optimizer.lr={rate}"
        )
        assert ended.code == 0, ended.err
    assert (home / "submissions" / "pets-default-debug.csv").is_file()
    assert len(Run("pets-default-debug").metrics(0)) == 1
    _, origin = read_table(Run("pets-default-debug").folder / "test.parquet")
    assert len(origin.prior) == 20 - 8


def test_debug_takes_no_hours(foldwise: Callable[..., Ended], pets: Path) -> None:
    words = ("competition=pets", "debug=true", "fold=0", "train.batch_size=4", "train.hours=0.5")
    ended = foldwise(*words, *QUICK[2:])
    assert ended.code == 0, ended.err
    metrics = Run("pets-default-debug").metrics(0)
    assert metrics is not None and len(metrics) == 1


@pytest.mark.parametrize("metric", ["log_loss", "f1_macro", "roc_auc"])
def test_the_metric_is_the_configs(foldwise: Callable[..., Ended], home: Path, metric: str) -> None:
    write_competition(home / "input" / "pair", classes=("no", "yes"))
    words = ("competition=pair", *QUICK, f"competition.metric={metric}", "fold=0..1")
    assert foldwise(*words).code == 0
    scores = Run("pair-default").scores()
    assert scores["metric"] == metric
    assert scores["greater_is_better"] == (metric != "log_loss")
    oof, _ = read_table(Run("pair-default").folder / "oof.parquet")
    labels = (oof["label"] == "yes").astype(int).to_numpy()
    own = metric_of(metric, Run("pair-default").config().competition)
    assert scores["oof"] == own(labels, oof[["prob_no", "prob_yes"]].to_numpy())


def test_a_loss_that_is_not_finite_stops_the_fold(
    foldwise: Callable[..., Ended], pets: Path, home: Path
) -> None:
    words = (*COMMAND, "optimizer.lr=1e30", "optimizer.clip=0", "train.precision=fp32", "run=r")
    one_line(foldwise(*words), 1, "fold 0: the loss is", "at step", "learning rate", "optimizer.lr")
    assert not list(home.glob("oof/r/**/*.safetensors"))
    # Nothing was trained, so the same name is free for a recipe that works.
    assert foldwise(*COMMAND, "run=r", "fold=0").code == 0


def test_images_that_do_not_decode_are_all_named_before_training(
    foldwise: Callable[..., Ended], pets: Path, home: Path
) -> None:
    for name in ("train/tr003", "train/tr059", "test/te001"):
        (pets / f"{name}.png").write_bytes(b"no image")
    ended = foldwise(*COMMAND)
    one_line(ended, 1, "3 images do not decode", "tr003.png", "tr059.png", "te001.png")
    assert not list(home.glob("oof/*/config.yaml"))
    assert "images.broken=prior" in ended.err


@pytest.mark.parametrize("how", ["resident_gb=2", "resident_gb=0", "pack=made"])
def test_broken_training_images_teach_nothing_and_get_the_class_prior(
    foldwise: Callable[..., Ended], pets: Path, home: Path, how: str
) -> None:
    assert foldwise(*COMMAND, "run=whole").code == 0  # freezes the split
    for name in ("tr003", "tr059"):
        (pets / "train" / f"{name}.png").write_bytes(b"no image")
    words = ("images.broken=prior", f"images.{how.replace('made', str(home / 'packs'))}")
    ended = foldwise(*COMMAND, *words, "run=r")
    assert ended.code == 0, ended.err
    assert "2 training images do not decode, teach nothing" in ended.err
    assert "tr059.png" in ended.err
    assert "2 training rows got the class prior: tr003, tr059" in ended.out
    said = re.findall(r"^fold (\d): accuracy ([\d.]+) after", ended.err, re.MULTILINE)
    scored = re.findall(r"^ +(\d) +([\d.]+) +2 ", ended.out, re.MULTILINE)
    assert len(said) == 5 and said == scored
    assert foldwise(*COMMAND, words[0], "debug=true").code == 0
    assert foldwise("images", "competition=pets", "tta=flip", words[0]).code == 0
    whole, _ = read_table(Run("whole").folder / "oof.parquet")
    table, origin = read_table(Run("r").folder / "oof.parquet")
    assert sorted(origin.prior) == ["tr003", "tr059"]
    assert table[["id", "fold", "label"]].equals(whole[["id", "fold", "label"]])
    columns = [name for name in table if name.startswith("prob_")]
    rows = table.set_index("id").loc[["tr003", "tr059"], columns].to_numpy()
    np.testing.assert_allclose(rows, 1 / 3, atol=0.03)
    assert foldwise("predict", "run=r", "tta=flip").code == 0
    again, origin = read_table(Run("r").table(table["fold"][0], "oof", "flip"))
    ours = table.set_index("id")[columns].loc[again["id"]]
    same = again.set_index("id")[columns].eq(ours).all(axis=1)
    assert set(same[same].index) == {"tr003", "tr059"} & set(again["id"])


def test_broken_test_images_can_get_the_class_prior(
    foldwise: Callable[..., Ended], pets: Path, home: Path
) -> None:
    for name in ("te001", "te007"):
        (pets / "test" / f"{name}.png").write_bytes(b"")
    ended = foldwise(*COMMAND, "images.broken=prior", "run=r")
    assert ended.code == 0, ended.err
    assert "2 test rows got the class prior: te001, te007" in ended.out
    test, origin = read_table(Run("r").folder / "test.parquet")
    assert origin.prior == ["te001", "te007"]
    row = test.set_index("id").loc["te001"]
    np.testing.assert_allclose(row.to_numpy(np.float64), 1 / 3, atol=1e-6)
    assert len(pd.read_csv(home / "submissions" / "r.csv")) == 20


def test_missing_images_can_be_left_out(foldwise: Callable[..., Ended], pets: Path) -> None:
    for name in ("train/tr003", "test/te001"):
        (pets / f"{name}.png").unlink()
    one_line(foldwise(*COMMAND), 1, "tr003", "images.missing=drop")
    ended = foldwise(*COMMAND, "images.missing=drop", "run=r")
    assert ended.code == 0, ended.err
    assert "1 training rows without an image are left out: tr003" in ended.err
    oof, _ = read_table(Run("r").folder / "oof.parquet")
    assert len(oof) == 59
    assert read_table(Run("r").folder / "test.parquet")[1].prior == ["te001"]


def test_rows_added_since_the_split_are_refused(foldwise: Callable[..., Ended], pets: Path) -> None:
    assert foldwise(*COMMAND, "fold=0").code == 0
    (pets / "train" / "new.png").write_bytes((pets / "train" / "tr000.png").read_bytes())
    with (pets / "train.csv").open("a") as table:
        table.write("new,cat\n")
    one_line(foldwise(*COMMAND, "fold=1"), 1, "new")


def test_folds_of_two_splits_do_not_mix(foldwise: Callable[..., Ended], pets: Path) -> None:
    assert foldwise(*COMMAND, "fold=0", "run=r").code == 0
    for name in ("folds.csv", "folds.json"):
        (pets / name).unlink()
    one_line(foldwise(*COMMAND, "fold=1", "run=r", "folds.seed=1"), 1, "another split")


def test_no_test_set_is_no_obstacle(foldwise: Callable[..., Ended], pets: Path, home: Path) -> None:
    import shutil

    shutil.rmtree(pets / "test")
    for name in ("sample_submission.csv", "solution.csv"):
        (pets / name).unlink()
    ended = foldwise(*COMMAND, "run=r")
    assert ended.code == 0, ended.err
    assert not (Run("r").folder / "test.parquet").exists()
    assert not (home / "submissions").exists()


def test_an_error_inside_training_leaves_its_traceback_in_the_log(
    foldwise: Callable[..., Ended], pets: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("foldwise.training.loop.train_step", broken)
    one_line(foldwise(*COMMAND, "run=r"), 1, "fold 0 failed with ZeroDivisionError: planted")
    log = (home / "oof" / "r" / "fold0" / "train.log").read_text()
    assert "Traceback" in log
    assert "ZeroDivisionError: planted" in log


def test_given_classes_may_come_in_any_order(
    foldwise: Callable[..., Ended], pets: Path, home: Path
) -> None:
    given = "competition.classes=[owl, cat, dog]"
    assert foldwise(*COMMAND, "fold=0", "run=plain").code == 0
    assert foldwise(*COMMAND, "fold=0", "run=given", given).code == 0
    one, two = (Run(name).folder / "oof.parquet" for name in ("plain", "given"))
    assert one.read_bytes() == two.read_bytes()


def test_what_cannot_be_built_leaves_a_trained_fold_alone(
    foldwise: Callable[..., Ended], pets: Path, home: Path
) -> None:
    assert foldwise(*COMMAND, "fold=0", "run=r").code == 0
    before = (Run("r").folder / "oof.parquet").read_bytes()
    for word in ("optimizer.name=adamm", "model.args={nonsense: 1}"):
        one_line(foldwise(*COMMAND, "fold=0", "run=r", "overwrite=true", word), 2)
    assert (Run("r").folder / "oof.parquet").read_bytes() == before
    assert foldwise(*COMMAND, "fold=0", "run=r").code == 0


def test_overwrite_trains_again(foldwise: Callable[..., Ended], pets: Path) -> None:
    words = (*COMMAND, "fold=0", "run=r")
    assert foldwise(*words).code == 0
    model = Run("r").fold_folder(0) / "model.safetensors"
    before = model.read_bytes()
    assert foldwise(*words, "overwrite=true").code == 0
    assert model.read_bytes() == before
    assert foldwise(*words, "overwrite=true", "optimizer.lr=0.1").code == 0
    assert model.read_bytes() != before


def test_a_lost_metrics_file_costs_its_columns_only(
    foldwise: Callable[..., Ended], pets: Path
) -> None:
    assert foldwise(*COMMAND, "fold=0", "run=r").code == 0
    (Run("r").fold_folder(0) / "metrics.csv").unlink()
    ended = foldwise(*COMMAND, "fold=0", "run=r")
    assert ended.code == 0, ended.err


def test_a_model_that_does_not_take_the_size_is_refused_before_the_run(
    foldwise: Callable[..., Ended], pets: Path
) -> None:
    words = ("model.name=vit_tiny_patch16_224", "images.size=8", "model.in_chans=3")
    ended = foldwise("competition=pets", "fold=0", "run=r", *words)
    one_line(ended, 2, "model.name=vit_tiny", "images.size=8", "Kernel size")
    assert not Run("r").folder.exists()
    one_line(foldwise("competition=pets", "run=r", "model.in_chans=2"), 2, "in_chans=2")


@pytest.mark.parametrize(
    ("word", "source"),
    [
        *(("pseudo.threshold=0.3", "pseudo.run"), ("pseudo.recipe=abc", "pseudo.run")),
        *(("distill.temperature=2.0", "distill.run"), ("distill.recipe=abc", "distill.run")),
        ("model.weights_digest=abc", "model.weights"),
        ("data.weights_digest=abc", "data.weights"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(
    foldwise: Callable[..., Ended], pets: Path, word: str, source: str
) -> None:
    one_line(foldwise(*COMMAND, word), 2, f"{word} does nothing without {source}: say that as well")


def test_two_ids_of_one_image_are_refused(foldwise: Callable[..., Ended], pets: Path) -> None:
    with (pets / "train.csv").open("a") as table:
        table.write("tr000.png,cat\n")
    one_line(foldwise(*COMMAND), 1, "tr000, tr000.png", "have one image")


def test_submission_verb_writes_the_same_file(
    foldwise: Callable[..., Ended], pets: Path, home: Path
) -> None:
    assert foldwise(*COMMAND, "run=r").code == 0
    path = home / "submissions" / "r.csv"
    before = path.read_bytes()
    path.unlink()
    assert foldwise("submission", "run=r").code == 0
    assert path.read_bytes() == before


def test_views_shape_the_predictions_and_nothing_else(
    foldwise: Callable[..., Ended], pets: Path
) -> None:
    for name, word in (("one", "tta=none"), ("eight", "tta=d4")):
        ended = foldwise("competition=pets", "fold=0", *QUICK, f"run={name}", word)
        assert ended.code == 0, ended.err
    weights = [(Run(n).fold_folder(0) / "model.safetensors").read_bytes() for n in ("one", "eight")]
    assert weights[0][-1000:] == weights[1][-1000:]
    for table in ("oof", "test"):
        paths = [Run(n).fold_folder(0) / f"{table}.parquet" for n in ("one", "eight")]
        one, eight = map(read_table, paths)
        assert one[0]["id"].equals(eight[0]["id"]) and not one[0].equals(eight[0])
        assert one[1].recipe_hash != eight[1].recipe_hash
    ended = foldwise("competition=pets", "fold=0", *QUICK, "run=x", "tta=flop")
    assert ended.code == 2 and "there is no view 'flop'" in ended.err
