"""What is to be predicted: labels as text -> the task, its classes and an array of targets."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from foldwise.competition.reading.tables import Table, refuse_empty
from foldwise.config import Competition
from foldwise.errors import FoldwiseError, UsageError, first_few, nearest
from foldwise.files import shown

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
WHOLE = re.compile(r"[+-]?[0-9]+")
SEPARATORS = ("|", ";", ",", " ")
VALUE_METRICS = ("rmse", "mae", "mse")


@dataclass(frozen=True)
class Targets:
    """task: multiclass (two classes are that too), multilabel, ordinal or regression.

    classes: the sorted classes; the names of the numbers in a regression. values: int64 (n,)
    positions in classes; uint8 (n, c) in multilabel; float64 (n, c) in a regression. texts: the
    labels of each row as one text, the same whatever column order or separator the table has.
    said: how they were read, for people.
    """

    task: str
    classes: list[str]
    values: np.ndarray
    texts: list[str]
    said: str


def sorted_classes(labels: Sequence[str]) -> list[str]:
    """The different labels in the order of every table: by number where all are integers."""
    classes = sorted(set(labels))
    if all(WHOLE.fullmatch(name) for name in classes):
        classes.sort(key=int)
    return classes


def read_targets(
    table: Table, columns: Sequence[str], settings: Competition, sample: Sequence[str] = ()
) -> Targets:
    """The targets in ``columns`` of a train table; ``sample``: cells of the sample's one column.

    Raises FoldwiseError for empty or unfit cells and for labels that can be read in two ways, with
    the setting that decides.
    """
    if len(columns) > 1:
        return _of_columns(table, columns, settings)
    column = columns[0]
    if settings.task != "multilabel":
        refuse_empty(table, column)
    texts = table.column(column)
    source = f"{shown(table.path)} column '{column}'"
    task = settings.task if settings.task != "auto" else _task(texts, settings, sample, source)
    if task == "regression":
        values = _numbers(table, column)
        return Targets(task, [column], values[:, None], texts, f"numbers in '{column}'")
    if task == "multilabel":
        return _separated(texts, column, settings, source)
    targets = of_labels(texts, settings, task, source)
    return replace(targets, said=f"{targets.said} in '{column}'")


def of_labels(texts: Sequence[str], settings: Competition, task: str, source: str) -> Targets:
    """One label a row. Raises FoldwiseError: one class only, or other ones than those given."""
    classes = _classes(texts, settings, source, task)
    if task == "ordinal" and not settings.classes and not all(map(WHOLE.fullmatch, classes)):
        raise UsageError(
            f"{source} has the classes {first_few(classes)}, whose order is not known: "
            "say it with competition.classes=[first, second, …]"
        )
    place = {name: i for i, name in enumerate(classes)}
    values = np.array([place[text] for text in texts], np.int64)
    return Targets(task, classes, values, list(texts), f"{len(classes)} classes")


def texts_of(values: np.ndarray, classes: Sequence[str]) -> list[str]:
    """Rows of 0 and 1, (n, c), as the names of their classes, ``a|b``."""
    return ["|".join(classes[int(i)] for i in np.flatnonzero(row)) for row in values]


def _task(texts: Sequence[str], settings: Competition, sample: Sequence[str], source: str) -> str:
    if settings.metric in VALUE_METRICS:
        return "regression"
    if settings.metric == "quadratic_weighted_kappa":
        return "ordinal"
    different = set(texts)
    if all(NUMBER.fullmatch(text.strip()) for text in different):
        fractions = any(not float(text).is_integer() for text in different)
        if fractions:
            return "regression"
        others = {cell.strip() for cell in sample} - different
        decimals = any(NUMBER.fullmatch(c) and not float(c).is_integer() for c in others)
        if decimals and len(different) > 2:
            raise FoldwiseError(
                f"{source} has whole numbers and the sample submission has {min(others)}: say "
                "competition.task=regression (numbers to predict) or competition.task=multiclass"
            )
        return "multiclass"
    if settings.separator or _is_multilabel(different, source):
        return "multilabel"
    return "multiclass"


def _is_multilabel(different: set[str], source: str) -> bool:
    """Whether cells are lists of labels: many different cells from few different words.

    Numbers with a separator, and words with a bar or semicolon, are lists. Words with a comma or a
    blank are where there are three times as many different cells, or each word is a cell too.
    """
    separator = separator_in(different)
    if not separator:
        return False
    lists = [_split(text, separator) for text in different]
    words = {word for row in lists for word in row}
    if separator in "|;" or all(WHOLE.fullmatch(word) for word in words):
        return True
    if len(words) >= len(different):
        return False
    if 3 * len(words) <= len(different) or words <= different:
        return True
    raise FoldwiseError(
        f"{source} can be read in two ways: {len(different)} classes such as "
        f"'{min(different)}', or several of {len(words)} labels a row such as "
        f"{first_few(sorted(words), 3)}: say competition.task=multiclass or "
        "competition.task=multilabel"
    )


def separator_in(texts: set[str] | Sequence[str]) -> str:
    """The sign between the labels of a cell: the first that any cell has; '' where none has."""
    return next((s for s in SEPARATORS if any(s in text.strip() for text in texts)), "")


def _split(text: str, separator: str) -> list[str]:
    return [word.strip() for word in text.split(separator) if word.strip()]


def _separated(texts: Sequence[str], column: str, settings: Competition, source: str) -> Targets:
    separator = settings.separator or separator_in(texts) or " "
    lists = [_split(text, separator) for text in texts]
    classes = _classes([word for row in lists for word in row], settings, source, "multilabel")
    place = {name: i for i, name in enumerate(classes)}
    values = np.zeros((len(texts), len(classes)), np.uint8)
    for row, words in zip(values, lists, strict=True):
        row[[place[word] for word in words]] = 1
    said = f"labels with '{separator}' between in '{column}', {len(classes)} classes"
    return Targets("multilabel", classes, values, texts_of(values, classes), said)


def _of_columns(table: Table, columns: Sequence[str], settings: Competition) -> Targets:
    """A column a class (0 and 1), or a column a number to predict."""
    numbers = np.stack([_numbers(table, name) for name in columns], axis=1)
    source = f"{shown(table.path)} columns {first_few(columns)}"
    binary = bool(np.isin(numbers, (0, 1)).all())
    task = settings.task
    if task == "auto":
        if not binary or settings.metric in VALUE_METRICS:
            task = "regression"
        else:
            task = "multiclass" if (numbers.sum(axis=1) == 1).all() else "multilabel"
    said = f"{len(columns)} columns"
    if task == "regression":
        texts = ["|".join(cells) for cells in zip(*map(table.column, columns), strict=True)]
        return Targets(task, list(columns), numbers, texts, f"numbers in {said}")
    if not binary:
        row, column = np.argwhere(~np.isin(numbers, (0, 1)))[0]
        raise FoldwiseError(
            f"{shown(table.path)} {table.rows([int(row)])}: column '{columns[column]}' is "
            f"{table.column(columns[column])[row]}, and a column a class holds 0 and 1: name the "
            "right columns with competition.columns.label, or say competition.task=regression"
        )
    classes = sorted_classes(columns)
    values = numbers[:, [list(columns).index(name) for name in classes]].astype(np.uint8)
    if task == "multilabel":
        texts = texts_of(values, classes)
        return Targets(task, classes, values, texts, f"a column for each of {len(classes)} classes")
    several = np.flatnonzero(values.sum(axis=1) != 1)
    if len(several):
        raise FoldwiseError(
            f"{shown(table.path)} {table.rows(several.tolist())}: not one class of {source} is 1: "
            "mend the row, or say competition.task=multilabel"
        )
    return of_labels([classes[i] for i in values.argmax(axis=1)], settings, task, source)


def _numbers(table: Table, column: str) -> np.ndarray:
    """float64 (n,). Raises FoldwiseError naming the rows that hold no finite number."""
    refuse_empty(table, column)
    texts = table.column(column)
    bad = [i for i, text in enumerate(texts) if not NUMBER.fullmatch(text.strip())]
    if not bad:
        values = np.array([float(text) for text in texts])
        bad = np.flatnonzero(~np.isfinite(values)).tolist()
    if bad:
        raise FoldwiseError(
            f"{shown(table.path)} {table.rows(bad)}: column '{column}' holds '{texts[bad[0]]}', "
            "which is no number: mend the row, or name the label column with "
            "competition.columns.label"
        )
    return values


def _classes(labels: Sequence[str], settings: Competition, source: str, task: str) -> list[str]:
    found = sorted_classes(labels)
    if settings.classes:
        given = list(settings.classes)
        if len(set(given)) < len(given):
            raise UsageError("competition.classes names a class twice: name each once")
        unknown = [name for name in found if name not in set(given)]
        if unknown:
            raise FoldwiseError(
                f"{source} has labels that competition.classes does not name: {first_few(unknown)}"
                f"{nearest(unknown[0], given)}: add them to competition.classes, or mend the rows"
            )
        found = given if task == "ordinal" else sorted_classes(given)
    if len(found) < 2 and (task != "multilabel" or not found):
        raise FoldwiseError(
            f"{source} has only one class, {first_few(found)}: there is nothing to tell apart; "
            "is competition.columns.label the right column?"
        )
    return found
