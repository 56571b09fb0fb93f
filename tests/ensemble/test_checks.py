"""Runs that do not fit together, and settings that mean nothing: each ends with one clear line."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from foldwise.provenance import write_table
from foldwise.runs import Run
from helpers import Ended
from made_runs import Truth, make_run

Command = Callable[..., Ended]


@pytest.fixture
def two(home: Path) -> Truth:
    truth = Truth(rows=60, test=12, folds=3)
    make_run("a", truth, seed=0)
    make_run("b", truth, seed=1)
    return truth


def refused(foldwise: Command, *words: str, code: int = 1) -> str:
    ended = foldwise("blend", *words)
    assert ended.code == code, ended.out + ended.err
    assert ended.err.count("\n") == 1 and "Traceback" not in ended.err
    return ended.err


def change(run: str, fold: int, kind: str, column: str, value: object) -> None:
    table, origin = Run(run).predictions(fold, kind)
    table.loc[table.index[2], column] = value
    Run(run).write_predictions(fold, kind, table, origin)


def test_a_leak_is_refused_with_runs_and_folds_named(foldwise: Command, two: Truth) -> None:
    make_run("leaky", two, seed=2, held_out={1: [], 2: [0]})
    said = refused(foldwise, "runs=a,leaky", "run=x")
    assert "fold 1 of leaky, fold 2 of leaky" in said and "seen the labels" in said
    assert not Run("x").folder.exists()


def test_a_blend_fitted_on_all_rows_would_be_refused(foldwise: Command, two: Truth) -> None:
    """What its folds' tables would hold out, were they made with parameters of all rows."""
    assert foldwise("blend", "runs=a,b", "run=stack", "method=stack").code == 0
    run = Run("stack")
    for fold in range(3):
        table, origin = run.predictions(fold, "oof")

        run.write_predictions(fold, "oof", table, replace(origin, held_out=[]))
    assert "fold 0 of stack, fold 1 of stack" in refused(foldwise, "runs=a,stack", "run=x")


def test_a_missing_fold_is_named(foldwise: Command, two: Truth) -> None:
    make_run("part", two, seed=2, folds=[0, 2])
    said = refused(foldwise, "runs=a,part", "run=x")
    assert "part lacks fold 1, which a has: train it (fold=1)" in said


@pytest.mark.parametrize("kind", ["oof", "test"])
def test_a_number_that_is_none_is_named(foldwise: Command, two: Truth, kind: str) -> None:
    change("b", 1, kind, "prob_dog", np.nan)
    said = refused(foldwise, "runs=a,b", "run=x")
    name = Run("b").predictions(1, kind)[0]["id"][2]
    assert f"oof/b/fold1/{kind}.parquet: prob_dog of id '{name}' is nan" in said


@pytest.mark.parametrize("kind", ["oof", "test"])
def test_ids_that_do_not_match_are_named(foldwise: Command, two: Truth, kind: str) -> None:
    change("b", 1, kind, "id", "stranger")
    said = refused(foldwise, "runs=a,b", "run=x")
    assert f"oof/b/fold1/{kind}.parquet lacks 1 ids" in said and "stranger" in said


def test_an_id_twice_is_noticed(foldwise: Command, two: Truth) -> None:
    table, origin = Run("b").predictions(1, "oof")
    Run("b").write_predictions(1, "oof", table.iloc[[0, *range(len(table))]], origin)
    assert "has ids twice" in refused(foldwise, "runs=a,b", "run=x")


def test_runs_of_other_competitions_classes_and_splits_are_named(
    foldwise: Command, two: Truth
) -> None:
    make_run("elsewhere", two, seed=2, slug="plants")
    make_run("classes", Truth(rows=60, folds=3, classes=["cat", "cow", "owl"]), seed=2)
    make_run("split", two, seed=2, split="another")
    make_run("metric", two, seed=2, metric="log_loss")
    for name, line in {
        "elsewhere": "elsewhere is a run of competition plants and a of pets",
        "classes": "different classes (dog only in a; cow only in classes)",
        "split": "fold 0 of split was trained on another split or other labels than fold 0 of a",
    }.items():
        assert line in refused(foldwise, f"runs=a,{name}", "run=x")
    said = refused(foldwise, "runs=a,metric", "run=x", code=2)
    assert "say metric=accuracy or metric=log_loss" in said
    assert foldwise("blend", "runs=a,metric", "run=x", "metric=log_loss").code == 0
    assert Run("x").scores()["metric"] == "log_loss"


def test_a_run_without_a_test_set_is_named(foldwise: Command, two: Truth) -> None:
    bare = Truth(rows=60, test=0, folds=3)
    make_run("bare", bare, seed=2)
    assert "bare has no test predictions" in refused(foldwise, "runs=a,bare", "run=x")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["runs=a"], "made of two runs or more"),
        (["runs=a,a"], "names a: say runs=a,b"),
        (["runs=a,x"], "x cannot be made of itself"),
        (["runs=a,b", "method=mode"], "not one of mean, rank"),
        (["runs=a,b", "mehtod=mean"], "no key 'mehtod'; did you mean 'method'?"),
        (["runs=a,b", "steps=9"], "steps= has no meaning with method=mean: it is for hillclimb"),
        (["runs=a,b", "method=vote", "space=logit"], "space= has no meaning with method=vote"),
        (["runs=a,b", "weights=1,2,3"], "weights= has 3 numbers for 2 runs"),
        (["runs=a,b", "weights=1,-2"], "at least 0"),
        (["runs=a,b", "weights=nan,1"], "weights=nan,1 are not numbers"),
        (["runs=a,b", "weights=1e309,1"], "at least 0"),
        (["runs=a,b", "weights=a,b"], "weights=a,b are not numbers"),
        (["runs=a,b", "weights=[1,2"], "weights=1,2 are not numbers"),
        (["runs=a,b", "method=optimize", "metric=f1_macro"], "say metric=log_loss, or method=hill"),
        (["runs=a,b", "metric=log_loss"], "metric=log_loss changes nothing: method=mean fits no"),
        (["runs=a,b", "method=stack", "metric=foo"], "metric=foo changes nothing"),
        (["runs=a,b", "method=hillclimb", "metric=rmse"], "no metric for a multiclass"),
        (["runs=a,b", "post=cutoffs"], "post=cutoffs is for ordered classes"),
        (["runs=a,b", "post=thresholds"], "several labels a row, or two classes"),
    ],
)
def test_wrong_words_end_with_a_line(
    foldwise: Command, two: Truth, words: list[str], line: str
) -> None:
    assert line in refused(foldwise, *words, "run=x", code=2)
    assert not Run("x").folder.exists()


def test_unknown_runs_are_named_with_the_nearest(foldwise: Command, two: Truth) -> None:
    make_run("exp01", two, seed=3)
    assert "did you mean 'exp01'" in refused(foldwise, "runs=a,exp02", "run=x")
    assert "matches no run; there are a, b, exp01" in refused(foldwise, "runs=z*", "run=x")
    said = refused(foldwise, "runs=a:flip,b", "run=x")
    assert "a has no predictions with the views flip" in said and "predict run=a tta=flip" in said
    assert "needs run=" in refused(foldwise, "runs=a,b", code=2)


def test_what_is_fitted_wants_two_folds(foldwise: Command, home: Path) -> None:
    for n in range(2):
        make_run(f"r{n}", Truth(), seed=n, folds=[1])
    said = refused(foldwise, "runs=r*", "run=x", "method=hillclimb", code=2)
    assert "only fold 1" in said
    assert foldwise("blend", "runs=r*", "run=x").code == 0
    assert Run("x").header(None, "test")[1].held_out == [1]


def test_no_trained_run_and_no_other_blend_is_replaced(foldwise: Command, two: Truth) -> None:
    make_run("c", two, seed=3)
    said = refused(foldwise, "runs=a,b", "run=c", "overwrite=true")
    assert "c is a trained run, and no blend replaces it" in said
    assert foldwise("blend", "runs=a,b", "run=x").code == 0
    before = (Run("x").folder / "oof.parquet").read_bytes()
    said = refused(foldwise, "runs=a,b", "run=x", "method=rank")
    assert "blend.method: mean -> rank" in said
    assert (Run("x").folder / "oof.parquet").read_bytes() == before
    assert foldwise("blend", "runs=a,b", "run=x", "method=rank", "overwrite=true").code == 0
    assert Run("x").config().blend.method == "rank"


def test_training_takes_no_settings_of_blends(foldwise: Command, pets: Path) -> None:
    ended = foldwise("competition=pets", "blend.method=rank")
    assert (ended.code, ended.err.count("settings of blends")) == (2, 1)


def test_a_table_of_other_columns_is_named(foldwise: Command, two: Truth) -> None:
    table, origin = Run("b").predictions(2, "test")
    write_table(Run("b").table(2, "test"), table.drop(columns="prob_owl"), origin)
    assert "fold2/test.parquet has no column prob_owl" in refused(foldwise, "runs=a,b", "run=x")
