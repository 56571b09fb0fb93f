from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldwise import compose
from foldwise.config import Config
from foldwise.errors import FoldwiseError
from foldwise.provenance import Provenance, read_provenance, read_table
from foldwise.runs import Run
from foldwise.whole import combine


def frame(ids: list[str], fold: int | None = None, seed: int = 0) -> pd.DataFrame:
    probs = np.random.default_rng(seed).dirichlet([1, 1], len(ids)).astype(np.float32)
    table = pd.DataFrame({"id": ids})
    if fold is not None:
        table["fold"], table["label"] = fold, "a"
    return pd.concat([table, pd.DataFrame(probs, columns=["prob_a", "prob_b, c"])], axis=1)


def provenance(fold: int = 0, recipe: str = "recipe") -> Provenance:
    return Provenance(fold, recipe, "folds", [fold])


def trained(
    run: Run, fold: int, ids: list[str], test_ids: list[str], seed: int, recipe: str = "recipe"
) -> pd.DataFrame:
    """A finished fold, as the trainer leaves it."""
    origin = provenance(fold, recipe)
    run.write_predictions(fold, "oof", frame(ids, fold, seed), origin)
    test = frame(test_ids, seed=seed + 10)
    run.write_predictions(fold, "test", test, origin)
    run.write_model(fold, {}, origin)
    return test


def test_folds_combine_in_the_order_of_the_train_table(home: Path) -> None:
    run = Run("r")
    one = trained(run, 0, ["c", "a"], ["x", "y"], 1)
    two = trained(run, 2, ["b"], ["x", "y"], 2)
    folds, oof, test = combine(run, ["a", "b", "c", "never trained"])
    assert folds == [0, 2]
    assert oof["id"].tolist() == ["a", "b", "c"]
    assert oof["fold"].tolist() == [0, 2, 0]
    assert test is not None
    np.testing.assert_allclose(test["prob_a"], (one["prob_a"] + two["prob_a"]) / 2, rtol=1e-6)
    again, origin = read_table(run.folder / "oof.parquet")
    pd.testing.assert_frame_equal(again, oof, check_dtype=False)
    assert (origin.fold, origin.held_out) == (None, [])


def test_a_single_fold_keeps_what_it_holds_out(home: Path) -> None:
    run = Run("r")
    trained(run, 1, ["a"], ["x"], 1)
    combine(run, ["a"])
    assert read_provenance(run.folder / "test.parquet").held_out == [1]


def test_folds_with_other_test_ids_do_not_combine(home: Path) -> None:
    run = Run("r")
    trained(run, 0, ["a"], ["x", "y"], 1)
    trained(run, 1, ["b"], ["y", "x"], 2)
    with pytest.raises(FoldwiseError, match="test ids of fold 1 of r are not those of fold 0"):
        combine(run, ["a", "b"])


def test_another_recipe_is_refused_with_the_settings_named(home: Path) -> None:
    run, config = Run("r"), Config(run="r")
    run.begin(config, "folds", [0])
    recipe = compose.recipe_hash(config)
    trained(run, 0, ["a"], ["x"], 1, recipe)
    run.begin(config, "folds", [0, 1])
    config.optimizer.lr = 0.5
    with pytest.raises(FoldwiseError, match=r"another recipe \(optimizer\.lr: 0\.002 -> 0\.5"):
        run.begin(config, "folds", [1])
    config.overwrite = True
    with pytest.raises(FoldwiseError, match="folds 0"):
        run.begin(config, "folds", [1])  # fold 0 would stay, made by the old recipe
    run.begin(config, "folds", [0, 1])
    assert run.config().optimizer.lr == 0.5
    assert run.finished() == []


def test_a_fold_of_another_recipe_is_noticed_whatever_config_yaml_says(home: Path) -> None:
    run, config = Run("r"), Config(run="r")
    run.begin(config, "folds", [0])
    trained(run, 0, ["a"], ["x"], 1, "some other recipe")
    with pytest.raises(FoldwiseError, match="recipe hash differs"):
        run.begin(config, "folds", [0])


def test_another_split_and_another_competition_are_refused(home: Path) -> None:
    run, config = Run("r"), Config(run="r")
    run.begin(config, "folds", [0])
    trained(run, 0, ["a"], ["x"], 1, compose.recipe_hash(config))
    with pytest.raises(FoldwiseError, match="another split"):
        run.begin(config, "other folds", [1])
    config.competition.slug = "pets"
    with pytest.raises(FoldwiseError, match="competition: digits -> pets"):
        run.begin(config, "folds", [1])


def test_overwrite_replaces_only_the_named_folds(home: Path) -> None:
    run, config = Run("r"), Config(run="r", overwrite=True)
    run.begin(config, "folds", [0])
    for fold in (0, 1):
        trained(run, fold, [str(fold)], ["x"], fold, compose.recipe_hash(config))
    run.begin(config, "folds", [1])
    assert run.finished() == [0]


def test_a_fold_in_training_is_not_overwritten(home: Path) -> None:
    run, config = Run("r"), Config(run="r", overwrite=True)
    run.begin(config, "folds", [0])
    trained(run, 0, ["0"], ["x"], 0, compose.recipe_hash(config))
    with run.fold_log(0), pytest.raises(FoldwiseError, match="by another process"):
        run.begin(config, "folds", [0])
    assert run.finished() == [0]


def test_a_fold_in_training_counts_as_started(home: Path) -> None:
    run, config = Run("r"), Config(run="r")
    run.begin(config, "folds", [0])
    with run.fold_log(0):  # another process, which has nothing on disk yet
        config.optimizer.lr = 0.5
        with pytest.raises(FoldwiseError, match="another recipe"):
            run.begin(config, "folds", [1])
    run.begin(config, "folds", [1])
    with pytest.raises(FoldwiseError, match="at the same time"):
        run.still_of(Config(run="r"))


def test_folds_of_two_recipes_do_not_combine(home: Path) -> None:
    run = Run("r")
    trained(run, 0, ["a"], ["x"], 1, "one recipe")
    trained(run, 1, ["b"], ["x"], 2, "another")
    with pytest.raises(FoldwiseError, match="folds 1 of r have another recipe"):
        combine(run, ["a", "b"])


def test_a_checkpoint_beside_a_finished_model_is_removed(home: Path) -> None:
    run, config = Run("r"), Config(run="r")
    run.begin(config, "folds", [0])
    trained(run, 0, ["a"], ["x"], 1, compose.recipe_hash(config))
    run.checkpoint(0).write_bytes(b"left by kill -9")
    run.begin(config, "folds", [0])
    assert not run.checkpoint(0).exists()


def test_folds_with_and_without_test_predictions_do_not_combine(home: Path) -> None:
    run = Run("r")
    for fold in (0, 1):
        trained(run, fold, [str(fold)], ["x"], fold)
    (run.fold_folder(1) / "test.parquet").unlink()
    with pytest.raises(FoldwiseError, match="folds 1 of r have no test predictions"):
        combine(run, ["0", "1"])


def test_two_processes_never_train_one_fold(home: Path) -> None:
    run = Run("r")
    with (
        run.fold_log(0),
        pytest.raises(FoldwiseError, match="being trained by another process"),
        run.fold_log(0),
    ):
        pass
    with run.fold_log(0), run.fold_log(1):
        pass


def test_an_unknown_run_is_named_with_the_nearest(home: Path) -> None:
    Run("digits-default").begin(Config(), "folds", [0])
    with pytest.raises(FoldwiseError, match="did you mean 'digits-default'"):
        Run("digit-default").config()


def test_tables_of_other_views_are_listed(home: Path) -> None:
    run = Run("r")
    trained(run, 0, ["0"], ["x"], 0)
    assert run.views(0) == []
    for views in ("flip", "plain_zoom=1.2"):
        for part in ("oof", "test"):
            run.write_predictions(0, part, frame(["0"], 0), provenance(0), views)
    assert run.views(0) == ["flip", "plain_zoom=1.2"]
    run.begin(Config(run="r", overwrite=True), "folds", [0])
    assert run.views(0) == [] and not list(run.folder.glob("fold0/*.parquet"))


def test_a_fold_that_is_read_is_not_trained_again(home: Path) -> None:
    run, config = Run("r"), Config(run="r", overwrite=True)
    run.begin(config, "folds", [0])
    trained(run, 0, ["0"], ["x"], 0, compose.recipe_hash(config))
    with run.fold_kept(0), run.fold_kept(0), pytest.raises(FoldwiseError, match="by another"):
        run.begin(config, "folds", [0])
    assert run.finished() == [0]
