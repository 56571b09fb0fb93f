"""A submission read back: what it predicts, and its score where a folder has the solution."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from foldwise.competition.layout import CompetitionData
from foldwise.competition.metrics import CLASSED, metric_of
from foldwise.competition.reading.columns import other_id_column
from foldwise.competition.reading.tables import Table, plain, read_table, refuse_doubled
from foldwise.competition.submission import Shape, shape_of
from foldwise.competition.targets import read_targets, separator_in
from foldwise.config import Competition
from foldwise.errors import FoldwiseError, first_few
from foldwise.files import shown

PARTS = ("public", "private")


def grade(settings: Competition, data: CompetitionData, path: Path) -> dict[str, float]:
    """The metric of the submission at ``path`` on the public and the private part of the solution.

    The folder's solution.csv has ids, labels as in the train table, and in Usage what is Public and
    what Private (all is public without that column). Raises FoldwiseError for a folder without one
    and for ids that do not fit.
    """
    solution = data.folder / "solution.csv"
    if not solution.is_file():
        raise FoldwiseError(
            f"{shown(data.folder)} has no solution.csv, so nothing can be graded offline: put one "
            "there (id, label, and Public or Private in Usage), or leave offline=true out"
        )
    shape = shape_of(settings, data)
    table = read_table(path)
    predictions = read_back(settings, data, shape, table)
    truth = read_table(solution)
    ids = other_id_column(truth, [shape.id, "id"])
    refuse_doubled(truth, ids, "solution")
    usage = next((name for name in truth.names if plain(name) == "usage"), "")
    labels = [name for name in truth.names if name not in (ids, usage)]
    given = [] if data.task == "regression" else data.classes
    targets = read_targets(truth, labels, replace(settings, task=data.task, classes=given))
    if len(labels) > 1 and targets.classes != data.classes:
        raise FoldwiseError(
            f"{shown(solution)} has the columns {first_few(labels)}, and the classes are "
            f"{first_few(data.classes)}: name the columns as the classes"
        )
    place = {name: n for n, name in enumerate(table.column(shape.id))}
    absent = [name for name in truth.column(ids) if name not in place]
    if absent:
        raise FoldwiseError(
            f"{shown(path)} lacks {len(absent)} ids of {shown(solution)}: {first_few(absent)}: "
            "write the submission again with ./run.sh submission"
        )
    order = np.array([place[name] for name in truth.column(ids)])
    said = [plain(cell) for cell in truth.column(usage)] if usage else ["public"] * len(order)
    metric = metric_of(settings.metric, settings)
    scores = {}
    for part in PARTS:
        rows = np.flatnonzero([word == part for word in said])
        scores[part] = metric(targets.values[rows], predictions[order[rows]])
    return scores


def read_back(
    settings: Competition, data: CompetitionData, shape: Shape, table: Table
) -> np.ndarray:
    """The predictions, float64 (rows of the table, classes), that a submission stands for.

    A label is a row of 0 and one 1; of several labels in their order the n-th has the weight 1/n.
    Raises FoldwiseError naming cells that are no class, or no finite number.
    """
    if shape.kind in ("label", "labels"):
        return _of_labels(settings, data, shape, table)
    columns = [numbers(table, name) for name in shape.values]
    values = np.stack(columns, axis=1)
    broken = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(broken):
        raise FoldwiseError(
            f"{shown(table.path)} {table.rows(broken.tolist())}: not a finite number: predict again"
        )
    if shape.kind == "probability":
        return np.column_stack([1 - values[:, 0], values[:, 0]])
    return values


def numbers(table: Table, column: str) -> np.ndarray:
    """float64 (n,); nan where a cell is no number."""
    values = np.full(len(table.frame), np.nan)
    for row, cell in enumerate(table.column(column)):
        try:
            values[row] = float(cell)
        except ValueError:
            continue
    return values


def words_of(settings: Competition, shape: Shape, table: Table) -> list[list[str]]:
    """The labels of each row, in their order."""
    cells = table.column(shape.values[0])
    if shape.kind == "label":
        return [[cell] for cell in cells]
    separator = settings.separator or separator_in(shape.cells) or " "
    return [[word.strip() for word in cell.split(separator) if word.strip()] for cell in cells]


def _of_labels(
    settings: Competition, data: CompetitionData, shape: Shape, table: Table
) -> np.ndarray:
    place = {name: n for n, name in enumerate(data.classes)}
    values = np.zeros((len(table.frame), len(data.classes)))
    for row, words in enumerate(words_of(settings, shape, table)):
        strange = [word for word in words if word not in place]
        if strange:
            raise FoldwiseError(
                f"{shown(table.path)} {table.rows([row])}: '{strange[0]}' is no class: write the "
                "submission again with ./run.sh submission"
            )
        for rank, word in enumerate(words, start=1):
            values[row, place[word]] = 1 / rank if settings.task in CLASSED else 1
    return values
