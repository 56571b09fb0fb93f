"""Planted leaks through what a blend learns: refused, and with checks off seen in the score."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from foldwise.ensemble.checks import named
from foldwise.ensemble.fit import fitter, predicted
from foldwise.ensemble.members import Members
from foldwise.recipe import recipe_hash
from foldwise.runs import Run
from helpers import Ended
from made_runs import FOLDS, Truth, make_run

Command = Callable[..., Ended]
ROWS, CHANCE = 200, 1 / 3
ERROR = np.sqrt(2 / 9 / ROWS)


@pytest.fixture
def noise(home: Path) -> None:
    """Twelve runs that know nothing: whatever a blend of them scores beyond chance is a leak."""
    truth = Truth(rows=ROWS, test=0)
    for n in range(12):
        make_run(f"exp{n:02d}", truth, skill=0.001, seed=n)


def plant(name: str) -> None:
    """Puts predictions by parameters of all rows into a blend's tables, which say so."""
    run = Run(name)
    config = run.config()
    members = Members(named(config.blend.runs, name), 1.0)
    parameters = fitter(members, config)(None)
    for fold in range(FOLDS):
        table, origin = run.predictions(fold, "oof")
        naive = predicted(members, parameters, config.blend, "oof", fold)
        table[members.columns] = naive.T
        run.write_predictions(fold, "oof", table, replace(origin, held_out=[]))


@pytest.mark.parametrize(
    ("words", "inflated"),
    [(("method=stack", "learner=trees"), 10 * ERROR), (("method=hillclimb",), 0)],
)
def test_a_leak_through_parameters_is_refused(
    foldwise: Command, noise: None, words: tuple[str, ...], inflated: float
) -> None:
    runs = "runs=exp00,exp01,exp02" if "learner=trees" in words else "runs=exp*"
    for name in ("honest", "leaky"):
        assert foldwise("blend", runs, f"run={name}", *words).code == 0
    plant("leaky")
    own = ("weights=0.9,0.1", "exp00")
    ended = foldwise("blend", f"runs=leaky,{own[1]}", own[0], "run=x")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "fold 0 of leaky, fold 1 of leaky" in ended.err and not Run("x").folder.exists()
    scores = {}
    for name in ("honest", "leaky"):
        ended = foldwise("blend", f"runs={name},{own[1]}", own[0], f"run=of-{name}", "checks=false")
        assert ended.code == 0, ended.err
        assert ("not honest" in ended.out) == (name == "leaky")
        scores[name] = Run(f"of-{name}").scores()
    assert abs(scores["honest"]["oof"] - CHANCE) < 3 * ERROR and "seen" not in scores["honest"]
    assert scores["leaky"]["oof"] > scores["honest"]["oof"] + inflated
    assert scores["leaky"]["seen"] == list(range(FOLDS))


def test_a_leak_is_handed_on_to_blends_of_blends(foldwise: Command, noise: None) -> None:
    truth = Truth(rows=ROWS, test=0)
    make_run("leaky", truth, skill=4, held_out={1: [0, 2]})
    for method in ("mean", "hillclimb"):
        words = ["runs=leaky,exp00", f"method={method}", f"run={method}", "checks=false"]
        assert foldwise("blend", *words).code == 0
        held_out = [Run(method).header(fold, "oof")[1].held_out for fold in range(FOLDS)]
        assert [fold in held_out[fold] for fold in range(FOLDS)] == [True, False, True, True]
        ended = foldwise("blend", f"runs=exp01,{method}", "run=x")
        assert ended.code == 1 and f"fold 1 of {method}: what made these" in ended.err


def test_a_run_of_honest_parts_alone_is_the_same_without_checks(
    foldwise: Command, noise: None
) -> None:
    for name, words in (("a", ()), ("b", ("checks=false",))):
        made = foldwise("blend", "runs=exp0*", "method=hillclimb", f"run={name}", *words)
        assert made.code == 0
    assert recipe_hash(Run("a").config()) == recipe_hash(Run("b").config())
    a, b = ((Run(name).folder / "fold1" / "oof.parquet").read_bytes() for name in "ab")
    assert a == b
