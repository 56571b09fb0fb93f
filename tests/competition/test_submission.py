"""A submission has the sample's columns, rows and order; values go by id."""

import numpy as np
import pandas as pd
import pytest

from foldwise.competition import submission
from foldwise.competition.layout import CompetitionData
from foldwise.competition.submission import check_submission, write_submission
from foldwise.competition.targets import Targets
from foldwise.config import Competition, Config
from foldwise.errors import FoldwiseError, UsageError


def names(folder):
    """What is in a folder, hidden files too, sorted."""
    return sorted(path.name for path in folder.iterdir())


def config(data, metric="accuracy", **settings):
    """Resolved settings: what the data says is filled in."""
    settings |= {"task": data.task, "classes": data.classes, "metric": metric}
    return Config(run="run", competition=Competition(**settings))


def submission_table(data, test, kind="auto", metric="accuracy", **settings):
    settings = config(data, metric, submission=kind, **settings).competition
    return submission.submission_table(settings, data, test)


@pytest.fixture
def build(tmp_path):
    """A competition with the given sample, and predictions for it in another row order."""

    def make(classes, sample, probs, ids=("7", "03", "a/b.png"), task="multiclass"):
        test = pd.DataFrame({"id": sorted(ids), "file": ""})
        frame = None if sample is None else pd.DataFrame(sample, dtype=str)
        targets = Targets(task, list(classes), np.zeros(0), [], "")
        data = CompetitionData(tmp_path, pd.DataFrame(), targets, test, frame, [], [])
        prefix = "pred" if task == "regression" else "prob"
        columns = {
            f"{prefix}_{name}": np.float32([row[i] for row in probs])
            for i, name in enumerate(classes)
        }
        predicted = pd.DataFrame({"id": list(ids), **columns})
        return data, predicted.iloc[[2, 0, 1]].reset_index(drop=True)

    return make


THREE = [[0.1, 0.7, 0.2], [0.5, 0.25, 0.25], [0.0, 0.0, 1.0]]  # of 7, 03 and a/b.png
TWO = [[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]]
IDS = ["a/b.png", "7", "03"]  # the sample's order


@pytest.mark.parametrize("kind", ["auto", "label"])
def test_labels(build, kind):
    data, test = build(["cat", "dog", "emu"], {"Image": IDS, "Breed": ["dog"] * 3}, THREE)
    table = submission_table(data, test, kind)
    assert list(table.columns) == ["Image", "Breed"]
    assert table.to_numpy().tolist() == [["a/b.png", "emu"], ["7", "dog"], ["03", "cat"]]


@pytest.mark.parametrize("cells", ["1", "0"])
def test_integers_are_labels(build, cells):
    data, test = build(["0", "1"], {"id": IDS, "label": [cells] * 3}, TWO)
    assert submission_table(data, test, "auto")["label"].tolist() == ["0", "1", "0"]


@pytest.mark.parametrize(
    ("classes", "cells"),
    [(["0", "1"], "0.5"), (["0", "1"], "0.0"), (["cat", "dog"], "0"), (["n", "y"], "1e-1")],
)
def test_numbers_are_the_probability_of_the_second_class(build, classes, cells):
    data, test = build(classes, {"id": IDS, "label": [cells] * 3}, TWO)
    table = submission_table(data, test, "auto")
    assert table["id"].tolist() == IDS and table["label"].tolist() == [0.5, 0.75, 0.0]


def test_probability_by_setting(build):
    data, test = build(["0", "1"], {"id": IDS, "label": ["0"] * 3}, TWO)
    assert submission_table(data, test, "probability")["label"].tolist() == [0.5, 0.75, 0.0]


@pytest.mark.parametrize(
    ("classes", "columns"),
    [
        (["cat", "dog", "emu"], ["emu", "cat", "dog"]),
        (["0", "1", "10"], ["c10", "c0", "c1"]),
        (["cat", "dog", "emu"], ["prob of dog", "prob of cat", "prob of emu"]),
    ],
)
def test_a_column_a_class(build, classes, columns):
    data, test = build(
        classes, {columns[0]: ["0"] * 3, "id": IDS, **{c: ["0"] * 3 for c in columns[1:]}}, THREE
    )
    table = submission_table(data, test, "auto")
    assert list(table.columns) == [columns[0], "id", *columns[1:]]
    probs = dict(zip(["7", "03", "a/b.png"], THREE, strict=True))
    for _, row in table.iterrows():
        for column in columns:
            name = max((c for c in classes if column.endswith(c)), key=len)
            assert row[column] == pytest.approx(probs[row["id"]][classes.index(name)])


def test_written_file(build, home):
    data, test = build(["cat", "dog"], {"id": IDS, "y": ["0.5"] * 3}, TWO)
    path = write_submission(config(data), data, test)
    assert path == home / "submissions" / "run.csv"
    assert path.read_bytes() == b"id,y\na/b.png,0.5\n7,0.75\n03,0.0\n"
    assert names(home / "submissions") == ["run.csv"]


@pytest.mark.parametrize(
    ("classes", "cell", "metric", "kind"),
    [
        (["0", "1"], "0", "accuracy", "label"),
        (["0", "1"], "0", "roc_auc", "probability"),  # zeros fit labels and probabilities
        (["0", "1"], "0", "log_loss", "probability"),
        (["cat", "dog"], "cat", "log_loss", "label"),  # the sample wants labels, whatever counts
    ],
)
def test_the_metric_decides_where_the_sample_is_no_guide(build, classes, cell, metric, kind):
    data, _ = build(classes, {"id": IDS, "y": [cell] * 3}, TWO)
    assert check_submission(config(data, metric).competition, data) == kind


def test_a_sample_that_fits_nothing_is_refused_before_training(build):
    data, _ = build(["cat", "dog"], {"id": IDS, "y": ["bird"] * 3}, TWO)
    with pytest.raises(FoldwiseError, match=r"competition\.submission=label"):
        check_submission(config(data).competition, data)


def test_without_a_sample(build):
    data, test = build(["cat", "dog"], None, TWO)
    assert submission_table(data, test, "auto").to_numpy().tolist() == [
        ["03", "cat"],
        ["7", "dog"],
        ["a/b.png", "cat"],
    ]
    assert submission_table(data, test, "probability")["label"].tolist() == [0.0, 0.75, 0.5]
    assert list(submission_table(data, test, "columns").columns) == ["id", "cat", "dog"]


def test_no_test_set(build, tmp_path):
    targets = Targets("multiclass", ["a", "b"], np.zeros(0), [], "")
    data = CompetitionData(tmp_path, pd.DataFrame(), targets, None, None, [], [])
    with pytest.raises(FoldwiseError, match="has no test set"):
        submission_table(data, pd.DataFrame(), "auto")


@pytest.mark.parametrize(
    ("sample", "kind", "error", "message"),
    [
        (
            {"id": IDS, "x": ["?"] * 3},
            "auto",
            FoldwiseError,
            r"in 'x' the value '\?', which is no class: say .* competition.submission=label",
        ),
        (
            {"id": IDS, "x": ["0.5"] * 3},
            "auto",
            FoldwiseError,
            "the value '0.5', which is no class",
        ),
        (
            {"id": IDS, "x": ["0"] * 3, "y": ["0"] * 3},
            "auto",
            FoldwiseError,
            "columns id, x, y: say",
        ),
        (
            {"id": IDS, "x": ["0"] * 3, "y": ["0"] * 3},
            "label",
            UsageError,
            "competition.submission=label does not fit .* id, x, y",
        ),
        (
            {"id": IDS, "x": ["0"] * 3},
            "columns",
            UsageError,
            "competition.submission=columns does not fit",
        ),
        ({"id": IDS}, "auto", FoldwiseError, "the sample submission has the columns id: say"),
        (
            {"id": IDS, "x": ["0"] * 3},
            "probability",
            UsageError,
            "is for two classes, here are 3: say label or columns",
        ),
    ],
)
def test_sample_that_does_not_fit(build, sample, kind, error, message):
    data, test = build(["cat", "dog", "emu"], sample, THREE)
    with pytest.raises(error, match=message) as caught:
        submission_table(data, test, kind)
    assert type(caught.value) is error and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[1:], "lack 1 ids of the test set: a/b.png: predict"),
        (
            lambda t: pd.concat([t, t[:1].assign(id="new")]),
            "have 1 ids that are not in the test set: new",
        ),
        (lambda t: pd.concat([t, t[1:2]]), "have 1 ids more than once: 7"),
        (
            lambda t: t.assign(prob_dog=np.nan),
            "3 test ids have predictions that are not finite: a/b.png, 7, 03",
        ),
        (lambda t: t.assign(prob_dog=[0, np.inf, 0]), "1 test ids have .* not finite: 7"),
        (
            lambda t: t.drop(columns="prob_dog"),
            "have no column prob_dog: they were made for other classes",
        ),
    ],
)
def test_predictions_that_do_not_fit(build, home, change, message):
    data, test = build(["cat", "dog"], {"id": IDS, "label": ["cat"] * 3}, TWO)
    with pytest.raises(FoldwiseError, match=message):
        write_submission(config(data), data, change(test))
    assert not (home / "submissions").exists()


def test_binary_threshold(build):
    data, test = build(["0", "1"], {"id": IDS, "label": ["0"] * 3}, TWO)
    assert submission_table(data, test, "label", threshold=0.8)["label"].tolist() == ["0"] * 3
    assert submission_table(data, test, "label", threshold=0.5)["label"].tolist()[1] == "1"


MANY = [[0.9, 0.7, 0.2], [0.1, 0.25, 0.45], [0.6, 0.4, 1.0]]  # of 7, 03 and a/b.png


@pytest.mark.parametrize("separator", [" ", "|", ";"])
def test_several_labels_a_cell(build, separator):
    cells = [f"0{separator}10", "0", "2"]
    data, test = build(["0", "2", "10"], {"Id": IDS, "Predicted": cells}, MANY, task="multilabel")
    table = submission_table(data, test, metric="f1_macro")
    assert table["Predicted"].tolist() == [f"0{separator}10", f"0{separator}2", ""]
    best = submission_table(data, test, metric="f1_macro", unsure="best")
    assert best["Predicted"].tolist() == [f"0{separator}10", f"0{separator}2", "10"]
    own = submission_table(data, test, metric="f1_macro", thresholds={"2": 0.2, "10": 1.0})
    assert own["Predicted"].tolist() == [separator.join(["0", "2", "10"]), f"0{separator}2", "2"]


@pytest.mark.parametrize(
    ("cell", "metric", "values"),
    [
        ("0", "f1_macro", [1, 0, 1]),  # 0 and 1, as in the sample
        ("0", "roc_auc", [0.6, 0.4, 1.0]),
        ("0.5", "f1_macro", [0.6, 0.4, 1.0]),
    ],
)
def test_a_column_a_label(build, cell, metric, values):
    sample = {"id": IDS} | {name: [cell] * 3 for name in ("rust", "scab", "spot")}
    data, test = build(["rust", "scab", "spot"], sample, MANY, task="multilabel")
    table = submission_table(data, test, metric=metric)
    assert table.iloc[0, 1:].tolist() == pytest.approx(values)


def test_most_probable_ones_where_the_sample_has_several(build):
    cells = ["emu dog"] * 3
    data, test = build(["cat", "dog", "emu"], {"Image": IDS, "Id": cells}, THREE)
    assert submission_table(data, test, metric="map2")["Id"].tolist() == [
        *("emu cat", "dog emu", "cat dog")
    ]


def test_numbers(build):
    data, test = build(
        ["score"], {"id": IDS, "score": ["38.4"] * 3}, [[1.5], [2], [-3]], task="regression"
    )
    assert submission_table(data, test, metric="rmse")["score"].tolist() == [-3, 1.5, 2]
    sample = {"id": IDS, "y": ["0"] * 3, "x": ["0"] * 3}
    data, test = build(["x", "y"], sample, [[1, 2], [3, 4], [5, 6]], task="regression")
    table = submission_table(data, test, metric="rmse")
    assert table.to_numpy().tolist() == [["a/b.png", 6, 5], ["7", 2, 1], ["03", 4, 3]]


def test_ordinal_is_the_rounded_mean(build):
    probs = [[0.5, 0, 0.5], [0.4, 0.3, 0.3], [0.9, 0.1, 0]]
    data, test = build(["0", "1", "2"], {"id": IDS, "level": ["0"] * 3}, probs, task="ordinal")
    table = submission_table(data, test, metric="quadratic_weighted_kappa")
    assert table["level"].tolist() == ["0", "1", "1"]


@pytest.mark.parametrize(
    ("task", "kind"),
    [("multilabel", "label"), ("regression", "label"), ("multiclass", "value")],
)
def test_kinds_that_do_not_fit_the_task(build, task, kind):
    data, test = build(["x", "y"], {"id": IDS, "label": ["x"] * 3}, TWO, task=task)
    with pytest.raises(UsageError, match=f"submission={kind} does not fit a {task} competition"):
        submission_table(data, test, kind)
