from pathlib import Path

import pytest

from foldwise.begin import begin_run
from foldwise.config import Config
from foldwise.errors import FoldwiseError
from foldwise.recipe import recipe_hash
from foldwise.runs import Run
from made_runs import tiny_fold, tiny_frame, tiny_provenance


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
    begin_run(Run("digits-default"), Config(), "folds", [0])
    with pytest.raises(FoldwiseError, match="did you mean 'digits-default'"):
        Run("digit-default").config()


def test_tables_of_other_views_are_listed(home: Path) -> None:
    run = Run("r")
    tiny_fold(run, 0, ["0"], ["x"], 0)
    assert run.views(0) == []
    for views in ("flip", "plain_zoom=1.2"):
        for part in ("oof", "test"):
            run.write_predictions(0, part, tiny_frame(["0"], 0), tiny_provenance(0), views)
    assert run.views(0) == ["flip", "plain_zoom=1.2"]
    begin_run(run, Config(run="r", overwrite=True), "folds", [0])
    assert run.views(0) == [] and not list(run.folder.glob("fold0/*.parquet"))


def test_a_fold_that_is_read_is_not_trained_again(home: Path) -> None:
    run, config = Run("r"), Config(run="r", overwrite=True)
    begin_run(run, config, "folds", [0])
    tiny_fold(run, 0, ["0"], ["x"], 0, recipe_hash(config))
    with run.fold_kept(0), run.fold_kept(0), pytest.raises(FoldwiseError, match="by another"):
        begin_run(run, config, "folds", [0])
    assert run.finished() == [0]


@pytest.mark.parametrize("text", ["", "garbage", "epoch,seconds\n1,2\n", "\0\xff"])
def test_damaged_metrics_are_none(home: Path, text: str) -> None:
    run = Run("r")
    run.write_metrics(0, [{"epoch": 1, "seconds": 2.0, "images_per_second": 3.0}])
    assert len(run.metrics(0)) == 1
    (run.fold_folder(0) / "metrics.csv").write_text(text, encoding="latin-1")
    assert run.metrics(0) is None
