"""Submissions in the exact shape of the sample, filled by id and never by position."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.competition.layout import CompetitionData
from foldwise.competition.metrics import METRICS
from foldwise.config import Config
from foldwise.errors import FoldwiseError, UsageError, first_few
from foldwise.files import home, shown, write_text

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class _Shape:
    """kind: label, probability or columns; columns: the value columns, or None without a sample."""

    kind: str
    id: str
    ids: list[str]
    values: list[str]
    order: list[str]  # of all columns


def write_submission(config: Config, data: CompetitionData, test: pd.DataFrame) -> Path:
    """Writes submissions/<run>.csv from the test probabilities, whole or not at all."""
    table = submission_table(data, test, submission_kind(config, data))
    path = home() / "submissions" / f"{config.run}.csv"
    write_text(path, table.to_csv(index=False, lineterminator="\n"))
    return path


def check_submission(config: Config, data: CompetitionData) -> None:
    """Raises, before training, what write_submission would where the sample fits nothing."""
    if data.test is not None:
        _shape(data, submission_kind(config, data))


def submission_kind(config: Config, data: CompetitionData) -> str:
    """`competition.submission`, with what the metric says where the sample alone is no guide.

    A sample of one column of zeros fits labels 0 and 1 as well as probabilities; a metric that
    ranks or weighs probabilities decides for them.
    """
    kind, metric = config.competition.submission, METRICS[config.competition.metric]
    if kind != "auto" or data.sample is None or data.test is None or len(data.classes) != 2:
        return kind
    values = [name for name in data.sample if name != _id_column(data.sample, data.test)]
    numbers = len(values) == 1 and all(NUMBER.fullmatch(c.strip()) for c in data.sample[values[0]])
    return "probability" if numbers and metric.wants_probabilities else kind


def submission_table(data: CompetitionData, test: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The submission for test probabilities: columns, names and row order of the sample.

    test: column id and one ``prob_<class>`` a class, in any row order. kind
    (competition.submission): ``label`` writes the most probable class, ``probability`` that of the
    second of two classes, ``columns`` one column a class; ``auto`` decides by the sample:

    - as many value columns as classes, named as they are, or so with a common prefix: columns;
    - one value column whose cells are classes: label. With the classes 0 and 1 an integer (``0``)
      is a label, and a number with a decimal point (``0.5``, ``0.0``) a probability;
    - one value column of other numbers, and two classes: probability.

    Without a sample: id and label. Raises FoldwiseError where the sample has another shape, where
    ids are missing, extra or doubled, and where a probability is not finite; UsageError where
    ``kind`` does not fit the classes or the sample.
    """
    shape = _shape(data, kind)
    probs = _probabilities(data, test, shape.ids)
    if shape.kind == "label":
        classes = np.array(data.classes, dtype=object)
        columns = {shape.values[0]: classes[probs.argmax(axis=1)]}
    elif shape.kind == "probability":
        columns = {shape.values[0]: probs[:, 1]}
    else:
        columns = {name: probs[:, i] for i, name in enumerate(shape.values)}
    return pd.DataFrame({shape.id: shape.ids, **columns})[shape.order]


def _shape(data: CompetitionData, kind: str) -> _Shape:
    if data.test is None:
        raise FoldwiseError(
            f"{shown(data.folder)} has no test set, so there is nothing to submit: add a "
            "sample_submission.csv, a test.csv or a test folder"
        )
    if kind == "probability" and len(data.classes) != 2:
        raise UsageError(
            f"competition.submission=probability is for two classes, here are {len(data.classes)}:"
            " say label or columns"
        )
    if data.sample is None:
        values = data.classes if kind == "columns" else ["label"]
        ids = data.test["id"].tolist()
        return _Shape("label" if kind == "auto" else kind, "id", ids, values, ["id", *values])
    columns = [str(name) for name in data.sample.columns]
    name = _id_column(data.sample, data.test)
    values = [column for column in columns if column != name]
    if kind == "auto":
        kind = _kind(data, data.sample, values)
    if kind == "columns":
        values = _class_columns(values, data.classes) or []
    if not values or (kind != "columns" and len(values) != 1):
        raise UsageError(
            f"competition.submission={kind} does not fit the sample, whose columns are "
            f"{first_few(columns, 20)}: {_advice(data.classes)}"
        )
    return _Shape(kind, name, data.sample[name].tolist(), values, columns)


def _id_column(sample: pd.DataFrame, test: pd.DataFrame) -> str:
    """The sample's column with the test ids; load() has seen that there is one."""
    ids = set(test["id"])
    return next(str(name) for name in sample.columns if set(sample[name]) == ids)


def _kind(data: CompetitionData, sample: pd.DataFrame, values: Sequence[str]) -> str:
    if len(values) == 1:
        cells = {cell.strip() for cell in sample[values[0]]}
        if cells <= set(data.classes):
            return "label"
        if len(data.classes) == 2 and all(NUMBER.fullmatch(cell) for cell in cells):
            return "probability"
    if _class_columns(values, data.classes):
        return "columns"
    said = ""
    if len(values) == 1:
        strange = sorted(cells - set(data.classes))
        said = f" and in '{values[0]}' the value '{strange[0]}', which is no class"
    raise FoldwiseError(
        f"the sample submission has the columns {first_few(sample.columns, 20)}{said}: "
        f"say what it wants with competition.submission=label, probability or columns; "
        f"{_advice(data.classes)}"
    )


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
        "label and probability are one column beside the ids, columns is one for each of the "
        f"{len(classes)} classes ({first_few(classes)}), named as they are or with one prefix"
    )


def _probabilities(data: CompetitionData, test: pd.DataFrame, ids: Sequence[str]) -> np.ndarray:
    """The probabilities (n, c) of ``ids``, in their order."""
    columns = [f"prob_{name}" for name in data.classes]
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
    probs = test[columns].to_numpy()[[place[name] for name in ids]]
    broken = ~np.isfinite(probs).all(axis=1)
    if broken.any():
        names = [name for name, bad in zip(ids, broken, strict=True) if bad]
        raise FoldwiseError(
            f"{len(names)} test ids have probabilities that are not finite: {first_few(names)}: "
            "predict again; if they stay so, train again with a smaller optimizer.lr"
        )
    return probs
