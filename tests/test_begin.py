from pathlib import Path

import pytest

from foldwise.begin import begin_run, refuse_taken
from foldwise.config import Config
from foldwise.errors import FoldwiseError
from foldwise.recipe import recipe_hash
from foldwise.runs import Run
from made_runs import tiny_fold


def test_another_recipe_is_refused_with_the_settings_named(home: Path) -> None:
    run, config = Run("r"), Config(run="r")
    begin_run(run, config, "folds", [0])
    recipe = recipe_hash(config)
    tiny_fold(run, 0, ["a"], ["x"], 1, recipe)
    begin_run(run, config, "folds", [0, 1])
    config.optimizer.lr = 0.5
    with pytest.raises(FoldwiseError, match=r"another recipe \(optimizer\.lr: 0\.002 -> 0\.5"):
        begin_run(run, config, "folds", [1])
    config.overwrite = True
    with pytest.raises(FoldwiseError, match="folds 0"):
        begin_run(run, config, "folds", [1])  # fold 0 would stay, made by the old recipe
    begin_run(run, config, "folds", [0, 1])
    assert run.config().optimizer.lr == 0.5
    assert run.finished() == []


def test_a_fold_of_another_recipe_is_noticed_whatever_config_yaml_says(home: Path) -> None:
    run, config = Run("r"), Config(run="r")
    begin_run(run, config, "folds", [0])
    tiny_fold(run, 0, ["a"], ["x"], 1, "some other recipe")
    with pytest.raises(FoldwiseError, match="recipe hash differs"):
        begin_run(run, config, "folds", [0])


def test_another_split_and_another_competition_are_refused(home: Path) -> None:
    run, config = Run("r"), Config(run="r")
    begin_run(run, config, "folds", [0])
    tiny_fold(run, 0, ["a"], ["x"], 1, recipe_hash(config))
    with pytest.raises(FoldwiseError, match="another split"):
        begin_run(run, config, "other folds", [1])
    config.competition.slug = "pets"
    with pytest.raises(FoldwiseError, match="competition: digits -> pets"):
        begin_run(run, config, "folds", [1])


def test_overwrite_replaces_only_the_named_folds(home: Path) -> None:
    run, config = Run("r"), Config(run="r", overwrite=True)
    begin_run(run, config, "folds", [0])
    for fold in (0, 1):
        tiny_fold(run, fold, [str(fold)], ["x"], fold, recipe_hash(config))
    begin_run(run, config, "folds", [1])
    assert run.finished() == [0]


def test_a_fold_in_training_is_not_overwritten(home: Path) -> None:
    run, config = Run("r"), Config(run="r", overwrite=True)
    begin_run(run, config, "folds", [0])
    tiny_fold(run, 0, ["0"], ["x"], 0, recipe_hash(config))
    with run.fold_log(0), pytest.raises(FoldwiseError, match="by another process"):
        begin_run(run, config, "folds", [0])
    assert run.finished() == [0]


def test_a_fold_in_training_counts_as_started(home: Path) -> None:
    run, config = Run("r"), Config(run="r")
    begin_run(run, config, "folds", [0])
    with run.fold_log(0):  # another process, which has nothing on disk yet
        config.optimizer.lr = 0.5
        with pytest.raises(FoldwiseError, match="another recipe"):
            begin_run(run, config, "folds", [1])
    begin_run(run, config, "folds", [1])
    with pytest.raises(FoldwiseError, match="at the same time"):
        refuse_taken(run, Config(run="r"))


def test_a_checkpoint_beside_a_finished_model_is_removed(home: Path) -> None:
    run, config = Run("r"), Config(run="r")
    begin_run(run, config, "folds", [0])
    tiny_fold(run, 0, ["a"], ["x"], 1, recipe_hash(config))
    run.checkpoint(0).write_bytes(b"left by kill -9")
    begin_run(run, config, "folds", [0])
    assert not run.checkpoint(0).exists()
