"""Submissions are read back as they were meant, graded part by part, and looked through."""

import numpy as np
import pandas as pd
import pytest

from foldwise.competition.grading import grade, read_back
from foldwise.competition.layout import CompetitionData
from foldwise.competition.linting import lint
from foldwise.competition.reading.tables import read_table
from foldwise.competition.submission import shape_of, submission_table
from foldwise.competition.targets import Targets
from foldwise.config import Competition
from foldwise.errors import FoldwiseError

IDS = ["c", "007", "a", "b"]


@pytest.fixture
def build(tmp_path):
    """A competition of a task with its sample, and a way to write a submission for it."""

    def make(task, classes, cells, columns=("label",), metric="accuracy", **settings):
        test = pd.DataFrame({"id": sorted(IDS), "file": ""})
        sample = pd.DataFrame({"id": IDS, **dict.fromkeys(columns, cells)}, dtype=str)
        targets = Targets(task, list(classes), np.zeros(0), [], "")
        data = CompetitionData(tmp_path, pd.DataFrame(), targets, test, sample, [], [])
        said = {"task": task, "classes": list(classes), "metric": metric} | settings
        return Competition(**said), data

    return make


def write(folder, text):
    (folder / "s.csv").write_text(text)
    return folder / "s.csv"


CASES = {
    "label": ("multiclass", ["cat", "dog", "owl"], "cat", ("label",)),
    "labels": ("multilabel", ["0", "1", "12"], "0 1", ("label",)),
    "several": ("multiclass", ["cat", "dog", "owl"], "cat dog owl", ("label",)),
    "probability": ("multiclass", ["0", "1"], "0.5", ("label",)),
    "columns": ("multiclass", ["cat", "dog", "owl"], "0.3", ("owl", "cat", "dog")),
    "flags": ("multilabel", ["rust", "scab"], "0", ("scab", "rust")),
    "value": ("regression", ["age"], "1.5", ("age",)),
    "values": ("regression", ["x", "y"], "1.5", ("y", "x")),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_written_is_read_back(build, tmp_path, case):
    task, classes, cell, columns = CASES[case]
    metric = {"regression": "rmse", "multilabel": "f1_macro"}.get(task, "map3")
    settings, data = build(task, classes, [cell] * 4, columns, metric)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, len(classes)))
    if task != "regression":
        values = np.exp(values)
        values /= values.sum(axis=1, keepdims=True)
    prefix = "pred" if task == "regression" else "prob"
    test = pd.DataFrame({"id": sorted(IDS)})
    test[[f"{prefix}_{name}" for name in classes]] = values
    path = tmp_path / "s.csv"
    submission_table(settings, data, test).to_csv(path, index=False)
    shape, table = shape_of(settings, data), read_table(path)
    back = read_back(settings, data, shape, table)
    there = values[[sorted(IDS).index(name) for name in table.column("id")]]
    if case in ("probability", "columns", "value", "values"):
        np.testing.assert_allclose(back, there, rtol=1e-12)
    elif task == "multilabel":
        np.testing.assert_array_equal(back, there >= 0.5)
    else:  # the order of the classes is what is left, or the first one
        assert (back.argmax(axis=1) == there.argmax(axis=1)).all()
        if case == "several":
            np.testing.assert_array_equal((-back).argsort(axis=1), (-there).argsort(axis=1))
    assert not [finding.line for finding in lint(settings, data, path) if finding.fatal]


def test_graded_part_by_part(build, tmp_path):
    settings, data = build("multiclass", ["cat", "dog"], ["cat"] * 4)
    path = write(tmp_path, "id,label\nc,cat\n007,dog\na,dog\nb,cat\n")
    with pytest.raises(FoldwiseError, match=r"has no solution\.csv"):
        grade(settings, data, path)
    solution = tmp_path / "solution.csv"
    solution.write_text(
        "id,label,Usage\na,dog,Public\nb,dog,Public\nc,cat,Private\n007,dog,Private\n"
    )
    assert grade(settings, data, path) == {"public": 0.5, "private": 1.0}
    solution.write_text("id,label\na,dog\nb,dog\nc,cat\n007,dog\n")
    scores = grade(settings, data, path)
    assert scores["public"] == 0.75 and np.isnan(scores["private"])
    solution.write_text("id,label\nz,dog\n")
    with pytest.raises(FoldwiseError, match=r"lacks 1 ids of .*solution\.csv: z"):
        grade(settings, data, path)


GOOD = "id,label\nc,cat\n007,dog\na,owl\nb,cat\n"
PROBS = "id,cat,dog\nc,0.1,0.9\n007,0.2,0.8\na,1,0\nb,0.5,0.5\n"


@pytest.mark.parametrize(
    ("old", "new", "fatal", "line"),
    [
        ("c,cat\n", "", True, "lacks 1 ids: c"),
        ("a,owl", "a,owl\nz,owl", True, "has 1 ids that are not in the test set: z"),
        ("a,owl", "a,owl\na,owl", True, "has 1 ids more than once: a"),
        ("c,cat\n007,dog", "007,dog\nc,cat", False, "the ids stand in another order"),
        ("a,owl", "a,cow", True, "1 labels are no classes: cow"),
        ("a,owl", "a,", True, "labels are no classes"),
        ("a,owl", "a,dog", False, "never predicts 1 classes: owl"),
        ("id,label", "Id,label", True, "lacks the columns id and has the columns Id"),
        ("007,dog\na,owl", "007,cat\na,cat", True, "says what the sample says"),
        ("cat\n007,dog\na,owl\nb,cat", "owl\n007,owl\na,owl\nb,owl", False, "the same of every"),
    ],
)
def test_labels(build, tmp_path, old, new, fatal, line):
    settings, data = build("multiclass", ["cat", "dog", "owl"], ["cat"] * 4)
    assert lint(settings, data, write(tmp_path, GOOD)) == []
    found = lint(settings, data, write(tmp_path, GOOD.replace(old, new)))
    assert found and found[0].fatal == fatal and line in found[0].line, found


@pytest.mark.parametrize(
    ("old", "new", "fatal", "line"),
    [
        ("a,1,0", "a,nan,0", True, "1 rows hold no number (row 4)"),
        ("a,1,0", "a,,0", True, "1 rows hold no number"),
        ("a,1,0", "a,inf,0", True, "1 rows hold an infinite number"),
        ("a,1,0", "a,1.5,-0.5", True, "1 rows have probabilities outside 0 to 1 (row 4)"),
        ("a,1,0", "a,1,0.5", False, "1 rows do not sum to 1 (row 4)"),
        ("id,cat,dog", "id,dog,cat", False, "the columns stand in another order"),
    ],
)
def test_probabilities(build, tmp_path, old, new, fatal, line):
    settings, data = build("multiclass", ["cat", "dog"], ["0.5"] * 4, ("cat", "dog"), "log_loss")
    assert lint(settings, data, write(tmp_path, PROBS)) == []
    found = lint(settings, data, write(tmp_path, PROBS.replace(old, new)))
    assert found and found[0].fatal == fatal and line in found[0].line, found
