"""Labels as text are read as the task that they are, and refused where they could be two."""

import numpy as np
import pandas as pd
import pytest

from foldwise.competition.reading.tables import Table
from foldwise.competition.targets import read_targets
from foldwise.config import Competition
from foldwise.errors import FoldwiseError, UsageError


@pytest.fixture
def read(tmp_path):
    def run(columns, sample=(), **settings):
        columns = columns if isinstance(columns, dict) else {"label": columns}
        frame = pd.DataFrame(columns, dtype=str)
        frame.index = range(2, len(frame) + 2)
        table = Table(tmp_path / "train.csv", frame)
        return read_targets(table, list(columns), Competition(**settings), sample)

    return run


@pytest.mark.parametrize(
    ("cells", "task", "classes"),
    [
        (["cat", "dog", "cat"], "multiclass", ["cat", "dog"]),
        (["10", "9", "9"], "multiclass", ["9", "10"]),
        (["1.0", "2.0", "1.0"], "multiclass", ["1.0", "2.0"]),
        (["0.5", "1", "2"], "regression", ["label"]),
        (["golden retriever", "maine coon", "tabby"], "multiclass", None),
        (["16 0", "3", "0 3 16"], "multilabel", ["0", "3", "16"]),
        (["cat|dog", "dog"], "multilabel", ["cat", "dog"]),
        (["cat;dog", "dog"], "multilabel", ["cat", "dog"]),
        (["a b", "b", "a", "c a b", "c"], "multilabel", ["a", "b", "c"]),
        (["clear primary", "haze", "clear haze", "primary", "clear"], "multilabel", None),
        (["cat, black", "dog, black", "emu"], "multiclass", None),  # not enough words come again
    ],
)
def test_read_without_being_told(read, cells, task, classes):
    targets = read(cells)
    assert targets.task == task
    assert classes is None or targets.classes == classes
    assert len(targets.values) == len(targets.texts) == len(cells)


COLOURED_SHAPES = [f"{c} {s}" for c in ("red", "blue", "green") for s in ("disc", "box", "star")]


def test_two_readings_are_named_and_a_setting_decides(read):
    with pytest.raises(
        FoldwiseError, match=r"9 classes such as 'blue box', or several of 6 labels"
    ):
        read(COLOURED_SHAPES)
    assert len(read(COLOURED_SHAPES, task="multiclass").classes) == 9
    many = read(COLOURED_SHAPES, task="multilabel")
    assert many.classes == ["blue", "box", "disc", "green", "red", "star"]
    assert many.values.sum(axis=1).tolist() == [2] * 9


def test_whole_numbers_under_a_sample_with_decimals_can_be_two_things(read):
    ages = ["31", "52", "18", "31"]
    with pytest.raises(FoldwiseError, match=r"task=regression .* or competition.task=multiclass"):
        read(ages, sample=["38.5"])
    assert read(ages, sample=["38.5"], task="regression").task == "regression"
    assert read(["0", "1", "1"], sample=["0.5"]).task == "multiclass"  # a probability
    assert read(ages, sample=["31"]).task == "multiclass"


def test_the_metric_says_what_the_numbers_are(read):
    assert read(["1", "2", "2"], metric="rmse").task == "regression"
    assert read(["1", "2", "2"], metric="quadratic_weighted_kappa").task == "ordinal"


def test_numbers_keep_their_values(read):
    targets = read(["0.5", "-2", "1e3"])
    assert (
        targets.values.tolist() == [[0.5], [-2.0], [1000.0]] and targets.values.dtype == np.float64
    )


@pytest.mark.parametrize(
    ("cells", "settings", "message"),
    [
        (["0.5", "x", "1"], {"task": "regression"}, r"row 3: column 'label' holds 'x'.*no number"),
        (["0.5", "inf"], {"task": "regression"}, "row 3: column 'label' holds 'inf'"),
        (["0.5", "1e999"], {"task": "regression"}, "row 3: column 'label' holds '1e999'"),
        (["a", ""], {}, "row 3: column 'label' is empty"),
        (["a", "a"], {}, "only one class, a"),
        (["a", "b"], {"classes": ["a", "c"]}, "labels that competition.classes does not name: b"),
    ],
)
def test_unfit_cells(read, cells, settings, message):
    with pytest.raises(FoldwiseError, match=message):
        read(cells, **settings)


def test_an_order_must_be_known(read):
    grades = ["mild", "severe", "none", "mild"]
    with pytest.raises(UsageError, match=r"order is not known: say it with competition.classes="):
        read(grades, task="ordinal")
    targets = read(grades, task="ordinal", classes=["none", "mild", "severe"])
    assert targets.classes == ["none", "mild", "severe"] and targets.values.tolist() == [1, 2, 0, 1]


def test_no_label_at_all_is_a_row_of_zeros(read):
    targets = read(["a b", "", "b"], task="multilabel")
    assert targets.values.tolist() == [[1, 1], [0, 0], [0, 1]]
    assert targets.texts == ["a|b", "", "b"]


def test_the_order_of_labels_in_a_cell_changes_nothing(read):
    one, other = read(["3 16 0", "0 3"]), read(["0 16 3", "3 0"])
    assert one.texts == other.texts and one.values.tolist() == other.values.tolist()


def test_a_column_a_class(read):
    columns = {"b": ["1", "0", "0"], "a": ["0", "1", "1"]}
    one = read(columns)
    assert (one.task, one.classes, one.values.tolist()) == ("multiclass", ["a", "b"], [1, 0, 0])
    many = read(columns, task="multilabel")
    assert many.values.tolist() == [[0, 1], [1, 0], [1, 0]]
    assert read(columns | {"c": ["1", "1", "0"]}).task == "multilabel"
    assert read({"x": ["0.5", "1"], "y": ["2", "3"]}).classes == ["x", "y"]


def test_a_column_a_class_that_is_none(read):
    with pytest.raises(FoldwiseError, match="row 3: column 'b' is 2, and a column a class holds 0"):
        read({"a": ["1", "0"], "b": ["0", "2"]}, task="multilabel")
    with pytest.raises(FoldwiseError, match=r"row 3: not one class of .* is 1: mend the row"):
        read({"a": ["1", "1"], "b": ["0", "1"]}, task="multiclass")
