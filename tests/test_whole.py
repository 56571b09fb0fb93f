from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldwise.errors import FoldwiseError
from foldwise.provenance import read_provenance, read_table
from foldwise.runs import Run
from foldwise.whole import combine
from made_runs import tiny_fold


def test_folds_combine_in_the_order_of_the_train_table(home: Path) -> None:
    run = Run("r")
    one = tiny_fold(run, 0, ["c", "a"], ["x", "y"], 1)
    two = tiny_fold(run, 2, ["b"], ["x", "y"], 2)
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
    tiny_fold(run, 1, ["a"], ["x"], 1)
    combine(run, ["a"])
    assert read_provenance(run.folder / "test.parquet").held_out == [1]


def test_folds_with_other_test_ids_do_not_combine(home: Path) -> None:
    run = Run("r")
    tiny_fold(run, 0, ["a"], ["x", "y"], 1)
    tiny_fold(run, 1, ["b"], ["y", "x"], 2)
    with pytest.raises(FoldwiseError, match="test ids of fold 1 of r are not those of fold 0"):
        combine(run, ["a", "b"])


def test_folds_of_two_recipes_do_not_combine(home: Path) -> None:
    run = Run("r")
    tiny_fold(run, 0, ["a"], ["x"], 1, "one recipe")
    tiny_fold(run, 1, ["b"], ["x"], 2, "another")
    with pytest.raises(FoldwiseError, match="folds 1 of r have another recipe"):
        combine(run, ["a", "b"])


def test_folds_with_and_without_test_predictions_do_not_combine(home: Path) -> None:
    run = Run("r")
    for fold in (0, 1):
        tiny_fold(run, fold, [str(fold)], ["x"], fold)
    (run.fold_folder(1) / "test.parquet").unlink()
    with pytest.raises(FoldwiseError, match="folds 1 of r have no test predictions"):
        combine(run, ["0", "1"])
