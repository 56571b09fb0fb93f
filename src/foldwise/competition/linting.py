"""What is wrong with a submission file, before anybody sends it."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foldwise.competition.grading import numbers, read_back, words_of
from foldwise.competition.layout import CompetitionData
from foldwise.competition.reading.tables import Table, read_table
from foldwise.competition.submission import Shape, shape_of
from foldwise.config import Competition
from foldwise.errors import first_few

SLACK = 1e-3  # by which probabilities may miss their sum, or leave 0..1: they are written rounded


@dataclass(frozen=True)
class Finding:
    """fatal: Kaggle would refuse the file, or score it as nobody meant it."""

    fatal: bool
    line: str


def lint(settings: Competition, data: CompetitionData, path: Path) -> list[Finding]:
    """What is wrong with the submission at ``path``, for resolved settings; fatal things first.

    Raises FoldwiseError where it cannot be read as a table, or the competition has no test set.
    """
    shape, table = shape_of(settings, data), read_table(path)
    absent = [name for name in shape.order if name not in table.names]
    more = [name for name in table.names if name not in shape.order]
    found: list[Finding] = []
    if absent or more:
        what = f"lacks the columns {first_few(absent)}" if absent else ""
        what += " and " if absent and more else ""
        what += f"has the columns {first_few(more)}, which the sample has not" if more else ""
        return [Finding(True, what)]
    if table.names != shape.order:
        found.append(Finding(False, f"the columns stand in another order than {shape.order}"))
    found += _ids(shape, table)
    values = _labels if shape.kind in ("label", "labels") else _numbers
    found += values(settings, data, shape, table)
    if not any(finding.fatal for finding in found):
        found += _said_at_all(settings, data, shape, table)
    return sorted(found, key=lambda finding: not finding.fatal)


def _ids(shape: Shape, table: Table) -> list[Finding]:
    ids = table.column(shape.id)
    counts, wanted = Counter(ids), set(shape.ids)
    wrong = {
        "lacks {} ids": [name for name in shape.ids if name not in counts],
        "has {} ids that are not in the test set": [n for n in counts if n not in wanted],
        "has {} ids more than once": [name for name, count in counts.items() if count > 1],
    }
    found = [
        Finding(True, f"{what.format(len(names))}: {first_few(names)}")
        for what, names in wrong.items()
        if names
    ]
    if not found and ids != shape.ids:
        found.append(Finding(False, "the ids stand in another order than in the sample"))
    return found


def _labels(
    settings: Competition, data: CompetitionData, shape: Shape, table: Table
) -> list[Finding]:
    rows, known = words_of(settings, shape, table), set(data.classes)
    found = []
    strange = sorted({word for words in rows for word in words} - known)
    if strange:
        found.append(Finding(True, f"{len(strange)} labels are no classes: {first_few(strange)}"))
    empty = [row for row, words in enumerate(rows) if not words]
    if empty:
        said = f"{len(empty)} rows have no label ({table.rows(empty)})"
        found.append(Finding(settings.task != "multilabel", said))
    doubled = [row for row, words in enumerate(rows) if len(set(words)) < len(words)]
    if doubled:
        found.append(Finding(True, f"labels stand twice in a cell ({table.rows(doubled)})"))
    return found


def _numbers(
    settings: Competition, data: CompetitionData, shape: Shape, table: Table
) -> list[Finding]:
    values = np.stack([numbers(table, name) for name in shape.values], axis=1)
    found = []
    broken = {
        "hold no number": np.isnan(values).any(axis=1),
        "hold an infinite number": np.isinf(values).any(axis=1),
    }
    for what, rows in broken.items():
        if rows.any():
            places = table.rows(np.flatnonzero(rows).tolist())
            found.append(Finding(True, f"{rows.sum()} rows {what} ({places})"))
    if found or settings.task == "regression":
        return found
    outside = ((values < -SLACK) | (values > 1 + SLACK)).any(axis=1)
    if outside.any():
        places = table.rows(np.flatnonzero(outside).tolist())
        said = f"{outside.sum()} rows have probabilities outside 0 to 1 ({places})"
        found.append(Finding(True, said))
    if shape.kind == "columns" and settings.task != "multilabel":
        off = np.abs(values.sum(axis=1) - 1) > SLACK
        if off.any():
            places = table.rows(np.flatnonzero(off).tolist())
            found.append(Finding(False, f"{off.sum()} rows do not sum to 1 ({places})"))
    return found


def _said_at_all(
    settings: Competition, data: CompetitionData, shape: Shape, table: Table
) -> list[Finding]:
    """Whether the file says more than the sample, and something of every class."""
    if shape.cells and len(table.frame) == len(shape.ids):
        sample = np.array(shape.cells).reshape(len(shape.values), -1).T
        place = {name: n for n, name in enumerate(table.column(shape.id))}
        order = [place[name] for name in shape.ids]
        cells = table.frame[_as_in_sample(data, shape)].to_numpy()[order]
        if (cells == sample).all():
            return [Finding(True, "says what the sample says")]
    values = read_back(settings, data, shape, table)
    found = []
    if len(values) > 1 and (values == values[0]).all():
        found.append(Finding(False, "says the same of every image"))
    elif settings.task != "regression":
        likeliest = values.argmax(axis=1)
        said = set(likeliest) if settings.task != "multilabel" else set(np.nonzero(values > 0.5)[1])
        never = [name for n, name in enumerate(data.classes) if n not in said]
        if never:
            found.append(Finding(False, f"never predicts {len(never)} classes: {first_few(never)}"))
    return found


def _as_in_sample(data: CompetitionData, shape: Shape) -> list[str]:
    """The value columns in the sample's order, in which its cells are."""
    assert data.sample is not None
    return [str(name) for name in data.sample.columns if name != shape.id]
