"""Predictions of any images as CSV, JSON or parquet, written row by row, whole or not at all."""

import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from foldwise.competition.metrics import decide_labels
from foldwise.config import Competition
from foldwise.errors import UsageError
from foldwise.files import atomic
from foldwise.provenance import prediction_columns

FORMATS = (".csv", ".json", ".parquet")
Write = Callable[[pd.DataFrame], None]


def table_of(
    settings: Competition,
    ids: Sequence[str],
    values: np.ndarray,
    members: Mapping[str, np.ndarray],
    broken: Mapping[int, str],
) -> pd.DataFrame:
    """id, predicted (what a submission of labels would say), broken ('': a fine image), values.

    values: float32 (n, c); then those of each member under ``<member>:prob_<class>``. A
    regression has no ``predicted``.
    """
    columns = prediction_columns(settings)
    known: dict[str, Any] = {"id": list(ids)}
    if settings.task != "regression":
        known["predicted"] = said(settings, values)
    known["broken"] = [broken.get(n, "") for n in range(len(ids))]
    tables = [pd.DataFrame(known, dtype=object), pd.DataFrame(values, columns=columns)]
    for name, part in members.items():
        tables.append(pd.DataFrame(part, columns=[f"{name}:{column}" for column in columns]))
    return pd.concat(tables, axis=1)


def said(settings: Competition, values: np.ndarray) -> list[str]:
    """The label of each row, several with the competition's separator (or a bar) between."""
    decided = decide_labels(values, settings)
    if decided.ndim == 1:
        return [settings.classes[int(place)] for place in decided]
    between = settings.separator or "|"
    return [between.join(settings.classes[i] for i in np.flatnonzero(row)) for row in decided]


def facts(
    settings: Competition, row: Mapping[str, Any], top: int, members: Sequence[str]
) -> dict[str, Any]:
    """A row of the table for JSON: predicted, the ``top`` classes, and all of it."""
    found: dict[str, Any] = {"id": row["id"], "broken": row["broken"] or None}
    if settings.task != "regression":
        found["predicted"] = row["predicted"]
        best = ranked(settings, row, top)
        found["top"] = [{"class": name, "probability": value} for name, value in best]
    kind = "values" if settings.task == "regression" else "probabilities"
    found[kind] = _of_classes(settings, row, "")
    if members:
        found["members"] = {name: _of_classes(settings, row, f"{name}:") for name in members}
    return found


def _of_classes(settings: Competition, row: Mapping[str, Any], prefix: str) -> dict[str, float]:
    numbers = (short(row[prefix + column]) for column in prediction_columns(settings))
    return dict(zip(settings.classes, numbers, strict=True))


def short(number: Any) -> float:
    """A float32 as the shortest number that is read back as it."""
    return float(str(np.float32(number)))


def ranked(settings: Competition, row: Mapping[str, Any], top: int) -> list[tuple[str, float]]:
    """The likeliest classes with their probabilities."""
    values = np.array([row[column] for column in prediction_columns(settings)], np.float32)
    order = np.argsort(-values, kind="stable")[:top]
    return [(settings.classes[int(i)], short(values[i])) for i in order]


def format_of(path: Path) -> str:
    """.csv, .json or .parquet. Raises UsageError for another ending."""
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise UsageError(f"out={path}: it ends with none of {', '.join(FORMATS)}")
    return kind


@contextmanager
def writer(
    path: Path, settings: Competition, top: int, members: Sequence[str], single: bool = False
) -> Iterator[Write]:
    """A function that takes table after table; the file is there when all are written.

    ``path``: ``-`` is JSON on the screen; ``single``: JSON of the one row alone, without a list.
    Raises FoldwiseError where it cannot be written.
    """

    def described(row: Mapping[str, Any]) -> dict[str, Any]:
        return facts(settings, row, top, members)

    if str(path) == "-":
        yield _json(sys.stdout.write, described, single)
        print("" if single else "\n]")
        return
    kind = format_of(path)
    with atomic(path) as file:
        if kind == ".parquet":
            with _parquet(file) as write:
                yield write
        elif kind == ".csv":
            yield _csv(file)
        else:
            yield _json(lambda text: file.write(text.encode()), described, single)
            file.write(b"\n" if single else b"\n]\n")


def _csv(file: BinaryIO) -> Write:
    first = True

    def write(table: pd.DataFrame) -> None:
        nonlocal first
        text = io.StringIO()
        table.to_csv(text, index=False, header=first, lineterminator="\n")
        file.write(text.getvalue().encode())
        first = False

    return write


def _json(
    put: Callable[[str], object], described: Callable[[Mapping[str, Any]], Any], single: bool
) -> Write:
    first = True

    def write(table: pd.DataFrame) -> None:
        nonlocal first
        for row in table.to_dict("records"):
            text = json.dumps(described(row), ensure_ascii=False)
            put(text if single else f"{'[' if first else ','}\n{text}")
            first = False

    return write


@contextmanager
def _parquet(file: BinaryIO) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out: list[Any] = []

    def write(table: pd.DataFrame) -> None:
        texts = ("id", "predicted", "broken")
        schema = pa.schema((c, pa.string() if c in texts else pa.float32()) for c in table)
        part = pa.Table.from_pandas(table, schema=schema, preserve_index=False)
        if not out:
            out.append(pq.ParquetWriter(file, part.schema.remove_metadata()))
        out[0].write_table(part.replace_schema_metadata())

    try:
        yield write
    finally:
        if out:
            out[0].close()
