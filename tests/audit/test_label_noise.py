"""Planted wrong labels are found, in a table that becomes corrections.csv as it is."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import cross_val_predict

from foldwise.audit.label_noise import confident_learning, of_flags
from foldwise.competition.corrections import TrainingTargets, training_targets
from foldwise.competition.layout import load
from foldwise.config import Config
from foldwise.runs import Run
from helpers import Ended
from made_runs import Truth, make_run

Command = Callable[..., Ended]
WRONG = 90


@dataclass(frozen=True)
class Noisy:
    """Digits with WRONG labels changed, and OOF probabilities of trees that learned those."""

    given: np.ndarray
    true: np.ndarray
    planted: np.ndarray
    p: np.ndarray


def guessed(x: np.ndarray, given: np.ndarray) -> np.ndarray:
    model = ExtraTreesClassifier(40, min_samples_leaf=2, random_state=0)
    return cross_val_predict(model, x, given, cv=5, method="predict_proba").astype(np.float32)


@pytest.fixture(scope="module")
def noisy() -> Noisy:
    x, true = load_digits(return_X_y=True)
    random = np.random.default_rng(0)
    planted = np.sort(random.choice(len(true), WRONG, replace=False))
    given = true.copy()
    given[planted] = (true[planted] + random.integers(1, 10, WRONG)) % 10
    return Noisy(given, true, planted, guessed(x, given))


def test_planted_labels_are_found(noisy: Noisy) -> None:
    doubt = confident_learning(noisy.given, noisy.p)
    hits = np.isin(doubt.row, noisy.planted)
    assert abs(doubt.wrong - WRONG) < 0.25 * WRONG
    assert hits.sum() >= 0.75 * WRONG and hits.mean() > 0.75
    assert hits[: WRONG // 2].all()  # the most doubtful come first
    found = doubt.row[hits]
    assert (doubt.label[hits] == noisy.true[found]).mean() > 0.9
    assert (np.diff(doubt.said - doubt.given) <= 0).all() and (doubt.said > doubt.given).all()


def test_of_several_labels_each_is_judged(noisy: Noisy) -> None:
    """Digits as 'odd' and 'large' with wrong flags in both."""
    flags = np.stack([noisy.true % 2, noisy.true > 4], axis=1)
    given = flags.copy()
    given[noisy.planted[: WRONG // 2], 0] ^= 1
    given[noisy.planted[WRONG // 2 :], 1] ^= 1
    x = load_digits().data
    p = np.stack([guessed(x, column)[:, 1] for column in given.T], axis=1)
    doubt = of_flags(given, p)
    hits = given[doubt.row, doubt.label] != flags[doubt.row, doubt.label]
    assert hits.sum() >= 0.75 * WRONG and hits[: WRONG // 2].mean() > 0.95


def test_the_order_of_rows_changes_nothing(noisy: Noisy) -> None:
    order = np.random.default_rng(1).permutation(len(noisy.given))
    one = confident_learning(noisy.given, noisy.p)
    other = confident_learning(noisy.given[order], noisy.p[order])
    assert sorted(order[other.row]) == sorted(one.row)
    place = {row: n for n, row in enumerate(one.row)}
    same = [place[row] for row in order[other.row]]
    np.testing.assert_array_equal(one.label[same], other.label)
    assert (np.diff(other.given - other.said) >= 0).all()


def test_a_class_without_rows_is_never_said() -> None:
    p = np.array([[0.5, 0.2, 0.3], [0.1, 0.6, 0.3], [0.2, 0.1, 0.7]], np.float32)
    assert not (confident_learning(np.array([0, 1, 1]), p).label == 2).any()


def competition_of(truth: Truth, home: Path, texts: list[str], table: str = "train") -> Path:
    """input/pets with a drawn image a row of ``truth``."""
    folder = home / "input" / "pets"
    (folder / "train").mkdir(parents=True)
    for name in truth.ids:
        image = np.full((12, 12, 3), int(name[2:]) % 256, np.uint8)
        cv2.imwrite(str(folder / "train" / f"{name}.png"), image)
    pd.DataFrame({"id": truth.ids, "label": texts}).to_csv(folder / f"{table}.csv", index=False)
    return folder


def trained_on(**settings: object) -> TrainingTargets:
    config = Config()
    config.competition.slug = "pets"
    for key, value in settings.items():
        setattr(config.competition, key, value)
    return training_targets(load(config), config.competition)


def truth_and_labels(rows: int = 60) -> tuple[Truth, list[str]]:
    truth = Truth(rows=rows, test=0, folds=3)
    return truth, [truth.classes[t] for t in truth.train_targets]


def test_the_table_is_one_of_corrections(foldwise: Command, home: Path) -> None:
    truth, labels = truth_and_labels()
    # a table of an odd name, which another table or picture beside it must not confuse
    folder = competition_of(truth, home, labels, "animals")
    make_run("a", truth, skill=1.0)
    ended = foldwise("audit", "run=a")
    assert ended.code == 0, ended.err
    table = pd.read_csv(folder / "doubtful.csv", dtype=str)
    assert table.columns.tolist() == ["id", "label", "reason", "given"] and len(table) > 3
    assert f"in doubt are {len(table)} rows" in ended.out
    given = dict(zip(truth.ids, labels, strict=True))
    assert [given[name] for name in table["id"]] == table["given"].tolist()
    assert (table["label"] != table["given"]).all()
    assert cv2.imread(str(folder / "doubtful.png")).shape[0] > 200
    before = (folder / "doubtful.csv").read_bytes()
    assert foldwise("audit", "run=a").code == 0  # the competition is still read as before
    assert (folder / "doubtful.csv").read_bytes() == before
    table.iloc[:2].to_csv(folder / "corrections.csv", index=False)
    assert "2 training labels corrected, 0 dropped" in trained_on().said
    ended = foldwise("audit", "run=a")
    assert ended.code == 1 and "somebody may have gone through it" in ended.err
    assert (folder / "doubtful.csv").read_bytes() == before
    ended = foldwise("audit", "run=a", "overwrite=true")
    assert "2 more are in corrections.csv already" in ended.out
    assert "not looked at" not in ended.out
    again = pd.read_csv(folder / "doubtful.csv", dtype=str)
    assert again["id"].tolist() == table["id"].tolist()[2:]


def test_rows_of_unfinished_folds_are_not_looked_at(foldwise: Command, home: Path) -> None:
    truth, labels = truth_and_labels(30)
    competition_of(truth, home, labels)
    shutil.rmtree(make_run("a", truth).fold_folder(2))
    for table in ("oof", "test"):
        Run("a").table(None, table).unlink(missing_ok=True)
    ended = foldwise("audit", "run=a")
    assert "10 rows are not looked at: a has only folds 0, 1" in ended.out


def test_multilabel_rows_are_corrected_as_a_whole(foldwise: Command, home: Path) -> None:
    truth = Truth("multilabel", rows=90, test=0, folds=3)
    truth.train_targets[~truth.train_targets.any(axis=1), 0] = 1
    texts = [
        ";".join(name for name, flag in zip(truth.classes, row, strict=True) if flag)
        for row in truth.train_targets
    ]
    folder = competition_of(truth, home, texts)
    make_run("a", truth, skill=1.2, separator=";")
    ended = foldwise("audit", "run=a")
    assert ended.code == 0, ended.err
    table = pd.read_csv(folder / "doubtful.csv", dtype=str, keep_default_na=False)
    assert len(table) > 3 and table["id"].is_unique and (table["label"] != table["given"]).all()
    assert set(";".join(table["label"]).split(";")) <= {"", *truth.classes}
    (folder / "doubtful.csv").rename(folder / "corrections.csv")
    mended = trained_on(separator=";")
    rows = [truth.ids.index(name) for name in table["id"]]
    wanted = [[c in text.split(";") for c in truth.classes] for text in table["label"]]
    np.testing.assert_array_equal(mended.values[rows], wanted)


def test_what_cannot_be_judged_is_refused(foldwise: Command, home: Path) -> None:
    truth = Truth("regression", rows=30, test=0, folds=3)
    competition_of(truth, home, [str(value) for value in truth.train_targets[:, 0]])
    make_run("numbers", truth)
    ended = foldwise("audit", "run=numbers")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "numbers is a regression: there are no classes" in ended.err
    assert foldwise("audit", "run=none").code == 1
    ended = foldwise("audit", "run=numbers", "competition=pets")
    assert ended.code == 2 and "takes no competition=" in ended.err


def test_other_rows_and_labels_than_the_runs_are_named(foldwise: Command, home: Path) -> None:
    truth, labels = truth_and_labels(30)
    folder = competition_of(truth, home, labels)
    make_run("a", truth)
    table = pd.read_csv(folder / "train.csv", dtype=str)
    changed = table.copy()
    changed.loc[4, "label"] = next(c for c in truth.classes if c != labels[4])
    changed.to_csv(folder / "train.csv", index=False)
    ended = foldwise("audit", "run=a")
    assert ended.code == 1 and "other labels than the train table has now (ids tr004)" in ended.err
    table.iloc[1:].to_csv(folder / "train.csv", index=False)
    ended = foldwise("audit", "run=a")
    assert ended.code == 1 and "1 rows that are not in the train table (tr000)" in ended.err
    assert not (folder / "doubtful.csv").exists()
