"""Submissions in the exact shape of the sample, filled by id and never by position."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.competition.layout import CompetitionData
from foldwise.competition.metrics import CLASSED, decide_labels, metric_of
from foldwise.competition.targets import NUMBER, WHOLE, separator_in
from foldwise.config import Competition, Config
from foldwise.errors import FoldwiseError, UsageError, first_few
from foldwise.files import shown, submission_file, write_text
from foldwise.provenance import prediction_columns


@dataclass(frozen=True)
class Shape:
    """What a submission looks like.

    kind: label, labels, probability, value or columns; values: its columns, in class order.
    """

    kind: str
    id: str
    ids: list[str]
    values: list[str]
    order: list[str]  # of all columns
    cells: list[str]  # of the sample's value columns: '' without a sample


def write_submission(
    config: Config, data: CompetitionData, test: pd.DataFrame, views: str = ""
) -> Path:
    """Write the `submission_file` from the test predictions, whole or not at all."""
    path = submission_file(config.run, views)
    write_text(path, submission_text(config, data, test))
    return path


def submission_text(config: Config, data: CompetitionData, test: pd.DataFrame) -> str:
    """What `write_submission` writes."""
    table = submission_table(config.competition, data, test)
    return table.to_csv(index=False, lineterminator="\n")


def check_submission(settings: Competition, data: CompetitionData) -> str:
    """The kind of submission, '' without a test set; raises what write_submission would."""
    return shape_of(settings, data).kind if data.test is not None else ""


def sample_is_labels(data: CompetitionData) -> bool:
    """Whether the sample has one value column, whose cells are labels or lists of them."""
    if data.sample is None or data.test is None:
        return True
    values = _value_columns(data.sample, _id_column(data.sample, data.test))
    return len(values) == 1


def submission_table(
    settings: Competition, data: CompetitionData, test: pd.DataFrame
) -> pd.DataFrame:
    """The submission for test predictions: columns, names and row order of the sample.

    settings are resolved (task, classes, metric). test: column id and one prediction column a
    class, in any row order. competition.submission: ``label`` writes the class that
    `metrics.decide_labels` says, ``labels`` those of a multilabel row, or as many of the most
    probable ones as the sample's cells have, with the sample's separator; ``probability`` that of
    the second of two classes; ``value`` a number; ``columns`` one column a class or number. In
    ``auto`` the sample decides:

    - as many value columns as classes, named as they are, or so with a common prefix: columns;
    - one value column: value in a regression, labels in multilabel or where cells are several
      classes, label where cells are classes. With the classes 0 and 1 an integer (``0``) is a
      label, and a number with a decimal point (``0.5``, ``0.0``) a probability, and both are
      probabilities under a metric that ranks or weighs these;
    - one value column of other numbers, and two classes: probability.

    Without a sample: id and label (labels, values). Raises FoldwiseError where the sample has
    another shape, where ids are missing, extra or doubled, and where a prediction is not finite;
    UsageError where the setting does not fit the classes or the sample.
    """
    shape = shape_of(settings, data)
    predictions = _predictions(settings, data, test, shape.ids)
    cells: dict[str, Any] = {}
    if shape.kind == "label":
        names = np.array(data.classes, dtype=object)
        cells[shape.values[0]] = names[decide_labels(predictions, settings)]
    elif shape.kind == "labels":
        cells[shape.values[0]] = _lists(settings, data, predictions, shape.cells)
    elif shape.kind == "probability":
        cells[shape.values[0]] = predictions[:, 1]
    else:
        if _wants_flags(settings, shape):
            predictions = decide_labels(predictions, settings)
        cells = {name: predictions[:, i] for i, name in enumerate(shape.values)}
    return pd.DataFrame({shape.id: shape.ids, **cells})[shape.order]


def _lists(
    settings: Competition, data: CompetitionData, predictions: np.ndarray, cells: list[str]
) -> list[str]:
    """Several labels a cell: those decided in multilabel, else the most probable in their order."""
    separator = settings.separator or separator_in(cells) or " "
    if settings.task == "multilabel":
        flags = decide_labels(predictions, settings)
        rows = [np.flatnonzero(row) for row in flags]
    else:
        count = max((len(cell.split(separator)) for cell in cells), default=1)
        rows = list(np.argsort(-predictions, axis=1, kind="stable")[:, :count])
    return [separator.join(data.classes[int(i)] for i in row) for row in rows]


def _wants_flags(settings: Competition, shape: Shape) -> bool:
    """Whether a column a class holds 0 and 1: as in the sample, under a metric of labels."""
    if settings.task != "multilabel" or metric_of(settings.metric, settings).wants_probabilities:
        return False
    return bool(shape.cells) and all(WHOLE.fullmatch(cell.strip()) for cell in shape.cells)


def shape_of(settings: Competition, data: CompetitionData) -> Shape:
    """The shape of this competition's submissions, for resolved settings; raises as above."""
    if data.test is None:
        raise FoldwiseError(
            f"{shown(data.folder)} has no test set, so there is nothing to submit: add a "
            "sample_submission.csv, a test.csv or a test folder"
        )
    kind = settings.submission
    _refuse_unfit(kind, settings.task, data.classes)
    if data.sample is None:
        plain_kind = {"multilabel": "labels", "regression": "value"}.get(data.task, "label")
        kind = plain_kind if kind == "auto" else kind
        kind = "columns" if kind == "value" and len(data.classes) > 1 else kind
        values = data.classes if kind in ("columns", "value") else ["label"]
        return Shape(kind, "id", data.test["id"].tolist(), values, ["id", *values], [])
    columns = [str(name) for name in data.sample.columns]
    name = _id_column(data.sample, data.test)
    values = _value_columns(data.sample, name)
    cells = [str(cell) for column in values for cell in data.sample[column]]
    if kind == "auto":
        kind = _kind(settings, data, values, cells)
    if kind == "columns":
        values = _class_columns(values, data.classes) or []
    if not values or (kind != "columns" and len(values) != 1):
        raise UsageError(
            f"competition.submission={kind} does not fit the sample, whose columns are "
            f"{first_few(columns, 20)}: {_advice(data.classes)}"
        )
    return Shape(kind, name, data.sample[name].tolist(), values, columns, cells)


def _refuse_unfit(kind: str, task: str, classes: Sequence[str]) -> None:
    fit = {
        "multiclass": ("label", "labels", "columns", "probability"),
        "ordinal": ("label", "labels", "columns", "probability"),
        "multilabel": ("labels", "columns"),
        "regression": ("value", "columns"),
    }[task]
    if kind != "auto" and kind not in fit:
        raise UsageError(
            f"competition.submission={kind} does not fit a {task} competition: say "
            f"{', '.join(fit)}, or leave it out"
        )
    if kind == "probability" and len(classes) != 2:
        raise UsageError(
            f"competition.submission=probability is for two classes, here are {len(classes)}:"
            " say label or columns"
        )


def _id_column(sample: pd.DataFrame, test: pd.DataFrame) -> str:
    """The sample's column with the test ids; load() has seen that there is one."""
    ids = set(test["id"])
    return next(str(name) for name in sample.columns if set(sample[name]) == ids)


def _value_columns(sample: pd.DataFrame, ids: str) -> list[str]:
    return [str(name) for name in sample.columns if name != ids]


def _kind(
    settings: Competition, data: CompetitionData, values: Sequence[str], cells: Sequence[str]
) -> str:
    one = len(values) == 1
    different = {cell.strip() for cell in cells} if one else set()
    if one and data.task == "multilabel":
        return "labels"
    if one and data.task == "regression" and len(data.classes) == 1:
        return "value"
    if one and data.task in CLASSED and (kind := _one_column(settings, data, different)):
        return kind
    if _class_columns(values, data.classes):
        return "columns"
    said, sample = "", data.sample
    assert sample is not None
    if one and different - set(data.classes):
        strange = min(different - set(data.classes))
        said = f" and in '{values[0]}' the value '{strange}', which is no class"
    raise FoldwiseError(
        f"the sample submission has the columns {first_few(sample.columns, 20)}{said}: "
        f"say what it wants with competition.submission=label, labels, probability, value or "
        f"columns; {_advice(data.classes)}"
    )


def _one_column(settings: Competition, data: CompetitionData, different: set[str]) -> str:
    """label, labels or probability, by the sample's different cells; '' where none fits."""
    two = len(data.classes) == 2 and all(NUMBER.fullmatch(cell) for cell in different)
    if two and metric_of(settings.metric, settings).wants_probabilities:
        return "probability"
    if different <= set(data.classes):
        return "label"
    if two:
        return "probability"
    separator = settings.separator or separator_in(different)
    words = {word for cell in different for word in cell.split(separator or None)}
    return "labels" if separator and words <= set(data.classes) else ""


def _class_columns(values: Sequence[str], classes: Sequence[str]) -> list[str] | None:
    """The column of each class, in the order of the classes; None unless they are one to one."""
    if len(values) != len(classes):
        return None
    if set(values) == set(classes):
        return list(classes)
    for name in values:
        if name.endswith(classes[0]):
            columns = [name.removesuffix(classes[0]) + other for other in classes]
            if set(columns) == set(values):
                return columns
    return None


def _advice(classes: Sequence[str]) -> str:
    return (
        "all but columns are one column beside the ids, columns is one for each of the "
        f"{len(classes)} classes ({first_few(classes)}), named as they are or with one prefix"
    )


def _predictions(
    settings: Competition, data: CompetitionData, test: pd.DataFrame, ids: Sequence[str]
) -> np.ndarray:
    """The predictions (n, c) of ``ids``, in their order."""
    columns = prediction_columns(settings)
    absent = [name for name in ["id", *columns] if name not in test.columns]
    if absent:
        raise FoldwiseError(
            f"the test predictions have no column {first_few(absent)}: they were made for other "
            "classes; predict again with this competition's recipe"
        )
    rows = test["id"].tolist()
    place = {name: i for i, name in enumerate(rows)}
    wanted = set(ids)
    doubled = sorted({name for i, name in enumerate(rows) if place[name] != i})
    wrong = {
        "lack {} ids of the test set": [name for name in ids if name not in place],
        "have {} ids that are not in the test set": [name for name in place if name not in wanted],
        "have {} ids more than once": doubled,
    }
    for what, names in wrong.items():
        if names:
            raise FoldwiseError(
                f"the test predictions {what.format(len(names))}: {first_few(names)}: "
                f"predict the test set of {shown(data.folder)} again"
            )
    values = test[columns].to_numpy()[[place[name] for name in ids]]
    broken = ~np.isfinite(values).all(axis=1)
    if broken.any():
        names = [name for name, bad in zip(ids, broken, strict=True) if bad]
        raise FoldwiseError(
            f"{len(names)} test ids have predictions that are not finite: {first_few(names)}: "
            "predict again; if they stay so, train again with a smaller optimizer.lr"
        )
    return values
