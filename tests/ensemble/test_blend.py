"""The verb: a blend is a run, with the same files, and its score is the honest one."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldwise import compose, runview
from foldwise.competition import metrics
from foldwise.provenance import prediction_columns, targets_of, write_table
from foldwise.recipe import recipe_hash
from foldwise.runs import Run
from helpers import Ended
from made_runs import FOLDS, Truth, make_run

Command = Callable[..., Ended]
METHODS = ["mean", "rank", "vote", "hillclimb", "optimize", "stack"]


def library(truth: Truth, count: int = 3, **competition: object) -> None:
    for n in range(count):
        make_run(f"exp{n:02d}", truth, skill=1.0 + 0.4 * n, seed=n, **competition)


def blended(foldwise: Command, name: str, *words: str) -> Run:
    ended = foldwise("blend", "runs=exp*", f"run={name}", *words)
    assert ended.code == 0, ended.err
    return Run(name)


def oof_of(run: Run) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Targets, predictions (n, c) and the table of a run."""
    settings = run.config().competition
    table = run.predictions(None, "oof")[0]
    return targets_of(settings, table), table[prediction_columns(settings)].to_numpy(), table


@pytest.mark.parametrize("task", ["multiclass", "multilabel", "ordinal", "regression"])
@pytest.mark.parametrize("method", METHODS)
def test_a_blend_is_a_run(foldwise: Command, home: Path, task: str, method: str) -> None:
    if task == "regression" and method in ("rank", "vote"):
        pytest.skip("for classes")
    truth = Truth(task)
    library(truth)
    run = blended(foldwise, "all", f"method={method}")
    assert run.finished() == list(range(FOLDS))
    targets, predictions, table = oof_of(run)
    member = Run("exp00").predictions(None, "oof")[0]
    for column in member:
        if not column.startswith(("prob_", "pred_")):
            assert table[column].tolist() == member[column].tolist()
    assert table.columns.tolist() == member.columns.tolist()
    assert predictions.dtype == np.float32
    if task in ("multiclass", "ordinal"):
        np.testing.assert_allclose(predictions.sum(axis=1), 1, atol=1e-5)
    settings = run.config().competition
    metric = metrics.metric_of(settings.metric, settings)
    scores = run.scores()
    assert scores["oof"] == scores["honest"] == pytest.approx(metric(targets, predictions))
    low, high = scores["interval"]
    assert low < scores["honest"] < high
    folds = [run.predictions(k, "oof")[0] for k in range(FOLDS)]
    assert sum(map(len, folds)) == len(table)
    assert run.test_table()[0]["id"].tolist() == truth.test_ids
    assert (run.folder / "environment.json").is_file()
    recipe = recipe_hash(run.config())
    for fold in range(FOLDS):
        for kind in ("oof", "test"):
            origin = run.header(fold, kind)[1]
            assert (origin.fold, origin.recipe_hash, origin.held_out) == (fold, recipe, [fold])


def test_a_blend_of_a_competition_is_submitted(foldwise: Command, home: Path, pets: Path) -> None:
    train = pd.read_csv(pets / "train.csv", dtype=str)
    test = pd.read_csv(pets / "sample_submission.csv", dtype=str)
    truth = Truth(rows=len(train), test=len(test))
    truth.ids, truth.test_ids = train["id"].tolist(), test["id"].tolist()
    library(truth)
    ended = foldwise("blend", "runs=exp00,exp02", "run=two")
    assert ended.code == 0, ended.err
    path = home / "submissions" / "two.csv"
    assert str(path.name) in ended.out
    written = path.read_bytes()
    path.unlink()
    assert foldwise("submission", "run=two").code == 0
    assert path.read_bytes() == written
    columns = [f"prob_{name}" for name in truth.classes]
    mean = sum(Run(f"exp0{n}").test_table()[0][columns].to_numpy() for n in (0, 2))
    said = pd.read_csv(path, dtype=str)
    assert said["label"].tolist() == [truth.classes[c] for c in mean.argmax(axis=1)]


def test_the_mean_is_the_mean_by_id(foldwise: Command, home: Path) -> None:
    truth = Truth()
    library(truth, 2)
    mixed = Run("exp01")
    for fold in range(FOLDS):  # the rows of a table may be in any order
        for kind in ("oof", "test"):
            table, origin = mixed.predictions(fold, kind)
            mixed.write_predictions(fold, kind, table.iloc[::-1].reset_index(drop=True), origin)
    run = blended(foldwise, "both", "weights=3,1")
    for fold, kind in ((0, "oof"), (2, "test"), (None, "oof"), (None, "test")):
        found = run.predictions(fold, kind)[0].set_index("id")
        one, other = (Run(n).predictions(fold, kind)[0].set_index("id") for n in ("exp00", "exp01"))
        assert sorted(found.index) == sorted(one.index)
        wanted = 0.75 * one["prob_dog"] + 0.25 * other["prob_dog"]
        np.testing.assert_allclose(found["prob_dog"], wanted[found.index], atol=1e-6)


def test_the_logit_mean_is_that_of_the_logits(foldwise: Command, home: Path) -> None:
    library(Truth(), 2)
    found = oof_of(blended(foldwise, "both", "space=logit"))[1]
    p = np.stack([oof_of(Run(name))[1] for name in ("exp00", "exp01")])
    wanted = np.exp(np.log(p).mean(axis=0))
    np.testing.assert_allclose(found, wanted / wanted.sum(axis=1, keepdims=True), atol=1e-5)


def test_votes_are_counted_and_ties_go_to_the_mean(foldwise: Command, home: Path) -> None:
    library(Truth(), 4)
    found = oof_of(blended(foldwise, "vote", "method=vote"))[1]
    p = np.stack([oof_of(Run(f"exp0{n}"))[1] for n in range(4)])
    votes = np.eye(3)[p.argmax(axis=2)].sum(axis=0)
    wanted = (votes + 0.5 * p.mean(axis=0)).argmax(axis=1)
    assert (np.sort(votes, axis=1)[:, 1:] == 2).all(axis=1).any()  # there are ties
    np.testing.assert_array_equal(found.argmax(axis=1), wanted)


def test_ranks_ignore_the_scale(foldwise: Command, home: Path) -> None:
    truth = Truth(classes=["no", "yes"])
    library(truth, 2, metric="roc_auc")
    first = oof_of(blended(foldwise, "one", "method=rank"))[1]
    run = Run("exp01")
    for fold in range(FOLDS):
        table, origin = run.predictions(fold, "oof")
        for column in ("prob_no", "prob_yes"):
            table[column] = np.sqrt(table[column]) / 2
        run.write_predictions(fold, "oof", table, origin)
    np.testing.assert_allclose(oof_of(blended(foldwise, "two", "method=rank"))[1], first, atol=1e-6)


def test_a_changed_member_is_named_and_the_metric_of_the_weights_is_said(
    foldwise: Command, home: Path
) -> None:
    truth = Truth()
    library(truth, 2)
    words = ("blend", "runs=exp*", "run=all", "method=optimize")
    assert "weights are fitted for log_loss" in foldwise(*words).out
    shutil.rmtree(Run("exp01").folder)
    make_run("exp01", truth, skill=2, seed=9)
    ended = foldwise(*words)
    assert (ended.code, "all is another blend (exp01 now another recipe)" in ended.err) == (1, True)
    ended = foldwise("blend", "runs=exp*", "run=all", "method=mean")
    assert "blend.method: optimize -> mean" in ended.err and "overwrite=true" in ended.err
    assert foldwise(*words, "overwrite=true").code == 0
    for n in range(2):  # the same runs of a competition of another name
        config = Run(f"exp0{n}").config()
        config.competition.slug = "elsewhere"
        Run(f"exp0{n}").config_file.write_text(compose.to_yaml(config))
    ended = foldwise(*words)
    assert ended.code == 1 and "-> elsewhere" in ended.err


def test_a_blend_of_older_tables_than_its_members_says_so(foldwise: Command, home: Path) -> None:
    truth = Truth()
    library(truth, 3)
    assert foldwise("blend", "runs=exp00,exp01", "run=inner").code == 0
    words = ("blend", "runs=inner,exp02", "run=outer", "method=mean")
    assert foldwise(*words).err == ""
    shutil.rmtree(Run("exp01").folder)
    gone = foldwise(*words)
    assert gone.code == 0 and "of its members exp01 are there no more" in gone.err
    make_run("exp01", truth, skill=2, seed=9)
    older = foldwise(*words)
    assert older.code == 0 and "exp01 have another recipe" in older.err
    rounds = foldwise("pseudo", "run=inner")  # which then ends: there is no competition
    assert "exp01 have another recipe" in rounds.err
    assert foldwise("blend", "runs=exp00,exp01", "run=inner", "overwrite=true").code == 0
    assert foldwise(*words, "overwrite=true").err == ""


def test_equal_bags_are_climbed_once_and_count_as_often(foldwise: Command, home: Path) -> None:
    library(Truth(), 2)
    one = blended(foldwise, "one", "method=hillclimb")
    many = blended(foldwise, "many", "method=hillclimb", "bags=1000")
    np.testing.assert_allclose(oof_of(many)[1], oof_of(one)[1], atol=1e-6)


def test_ranks_are_not_taken_for_probabilities_without_a_word(
    foldwise: Command, home: Path
) -> None:
    library(Truth(classes=["no", "yes"]), 2, metric="f1")
    words = ("blend", "runs=exp*", "method=rank", "overwrite=true", "run=all")
    assert "post=auto fits what it needs" in foldwise(*words).err
    assert "ranks" not in foldwise(*words, "post=auto").err


def test_blends_blend_and_the_same_recipe_has_the_same_bytes(foldwise: Command, home: Path) -> None:
    library(Truth(), 3)
    for name in ("a", "b"):
        ended = foldwise("blend", "runs=exp00,exp01", "method=hillclimb", f"run={name}")
        assert ended.code == 0, ended.err
    assert foldwise("blend", "runs=a,exp02", "method=optimize", "run=c").code == 0
    assert foldwise("blend", "runs=a,exp02", "method=optimize", "run=c").code == 0  # made again
    assert Run("c").header(1, "test")[1].held_out == [1]
    assert Run("c").header(None, "test")[1].held_out == []
    for name in ("fold1/oof.parquet", "fold1/test.parquet", "oof.parquet", "test.parquet"):
        assert (Run("a").folder / name).read_bytes() == (Run("b").folder / name).read_bytes()


@pytest.mark.parametrize(
    ("task", "method"),
    [("multiclass", "mean"), ("multiclass", "hillclimb"), ("ordinal", "hillclimb"),
     ("multilabel", "vote"), ("multilabel", "optimize"), ("multiclass", "stack")],
)  # fmt: skip
def test_streaming_gives_the_same_bytes(
    foldwise: Command, home: Path, task: str, method: str
) -> None:
    library(Truth(task))
    folders = [
        blended(foldwise, f"size{size}", f"method={method}", f"resident_gb={size}").folder
        for size in (1, 0)
    ]
    for name in ("fold0/oof.parquet", "test.parquet", "blend.json", "scores.json"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_what_is_learned_from_a_fold_does_not_reach_it(foldwise: Command, home: Path) -> None:
    """Fold k's files do not change with the labels of fold k; those of other folds do."""
    before = {}
    for labels in ("true", "turned"):
        truth = Truth(seed=3)
        if labels == "turned":
            rows = truth.fold == 1
            truth.train_targets[rows] = (truth.train_targets[rows] + 1) % 3
        random = np.random.default_rng(0)
        fixed = [random.dirichlet(np.ones(3), truth.rows).astype(np.float32) for _ in range(4)]
        for n, guesses in enumerate(fixed):
            # what the members say stays; only the labels of fold 1 change
            truth.guesses = lambda t, skill, seed, g=guesses: g[: len(t)]  # type: ignore[method-assign]
            make_run(f"{labels}{n}", truth, seed=n)
        for method, more in (("hillclimb", "post=priors"), ("stack", ""), ("optimize", "")):
            words = [f"runs={labels}*", f"method={method}", *more.split()]
            name = f"{labels}-{method}"
            ended = foldwise("blend", *words, f"run=made-{name}")
            assert ended.code == 0, ended.err
            before[name] = Run(f"made-{name}")
    columns = ["prob_cat", "prob_dog", "prob_owl"]
    for method in ("hillclimb", "stack", "optimize"):
        one, other = before[f"true-{method}"], before[f"turned-{method}"]
        for kind in ("oof", "test"):
            same = one.predictions(1, kind)[0][columns], other.predictions(1, kind)[0][columns]
            np.testing.assert_array_equal(*same)
        changed = [one.predictions(k, "test")[0][columns] for k in (0, 2, 3)]
        others = [other.predictions(k, "test")[0][columns] for k in (0, 2, 3)]
        pairs = zip(changed, others, strict=True)
        assert any(not a.equals(b) for a, b in pairs), method


@pytest.mark.parametrize(
    ("words", "members", "inflated"),
    [(("method=stack", "learner=trees"), 3, 15), (("method=hillclimb",), 12, 2.5)],
)
def test_what_is_fitted_on_noise_looks_good_only_naively(
    foldwise: Command, home: Path, words: tuple[str, ...], members: int, inflated: float
) -> None:
    truth = Truth(rows=200, test=0)
    for n in range(members):
        make_run(f"exp{n:02d}", truth, skill=0.001, seed=n)
    scores = blended(foldwise, "noise", *words).scores()
    chance, error = 1 / 3, np.sqrt(2 / 9 / 200)
    assert abs(scores["honest"] - chance) < 3 * error
    assert scores["naive"] > chance + inflated * error
    assert scores["optimism"] == pytest.approx(scores["naive"] - scores["honest"])


def test_members_are_described(foldwise: Command, home: Path) -> None:
    library(Truth(), 3)
    ended = foldwise("blend", "runs=exp*", "run=all", "method=hillclimb")
    described = json.loads((home / "oof/all/blend.json").read_text())
    members = described["members"]
    assert [member["name"] for member in members] == ["exp00", "exp01", "exp02"]
    assert sum(member["weight"] for member in members) == pytest.approx(1)
    for member in members:
        targets, predictions, _ = oof_of(Run(member["name"]))
        assert member["score"] == pytest.approx((predictions.argmax(axis=1) == targets).mean())
        assert 0 <= member["blend_better"] <= 1
        assert member["name"] in ended.out
    matrix = np.array(described["correlation"])
    assert (np.diag(matrix) == 1).all() and (matrix == matrix.T).all()
    assert "optimism" in ended.out and "with probability" in ended.out


def test_the_score_without_a_member_is_that_of_the_others(foldwise: Command, home: Path) -> None:
    library(Truth(), 3)
    run = blended(foldwise, "all")
    ended = foldwise("blend", "runs=exp00,exp02", "run=others")
    assert ended.code == 0
    assert runview.blend(run)["members"][1]["without"] == pytest.approx(
        Run("others").scores()["oof"]
    )


def test_views_of_one_run_average_by_id(foldwise: Command, home: Path) -> None:
    truth = Truth()
    library(truth, 2)
    run = Run("exp00")
    for fold in range(FOLDS):
        for kind in ("oof", "test"):
            table, origin = run.predictions(fold, kind)
            table["prob_cat"], table["prob_dog"] = table["prob_dog"], table["prob_cat"].copy()
            write_table(run.table(fold, kind, "none"), run.predictions(fold, kind)[0], origin)
            origin = replace(origin, recipe_hash="with other views")
            write_table(run.table(fold, kind, "flip"), table.iloc[::-1], origin)
    for name, wanted in (("exp00:flip", [0, 1]), ("exp00:*", [0.5, 0.5])):
        ended = foldwise("blend", f"runs={name},exp01", "weights=1,0", "run=view", "overwrite=true")
        assert ended.code == 0, ended.err
        for fold, kind in ((1, "oof"), (1, "test"), (None, "test")):
            own = run.predictions(fold, kind)[0].set_index("id")
            found = Run("view").predictions(fold, kind)[0].set_index("id")
            cat = wanted[0] * own["prob_cat"] + wanted[1] * own["prob_dog"]
            np.testing.assert_allclose(found["prob_cat"], cat[found.index], atol=1e-6)
    run.table(2, "oof", "flip").unlink()
    ended = foldwise("blend", "runs=exp00:*,exp01", "run=partly")
    assert ended.code == 1 and "exp00:*: fold 2 was not predicted with flip" in ended.err


def test_a_user_metric_is_climbed(foldwise: Command, home: Path, tmp_path: Path,
                                  monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "def owls(targets, predictions):\n"
        "    said = predictions.argmax(axis=1)\n"
        "    return float((said[targets == 2] == 2).mean() - (said[targets != 2] == 2).mean())\n"
    )
    library(Truth(), 3, metric="mine:owls")
    scores = blended(foldwise, "all", "method=hillclimb").scores()
    assert scores["metric"] == "mine:owls"
    assert scores["honest"] > 0.5


def test_a_blend_of_some_folds_is_blended(foldwise: Command, home: Path) -> None:
    for n in range(2):
        make_run(f"exp{n:02d}", Truth(), seed=n, folds=[0, 2])
    run = blended(foldwise, "some", "method=hillclimb")
    assert run.finished() == [0, 2]
    assert set(run.predictions(None, "oof")[0]["fold"]) == {0, 2}
