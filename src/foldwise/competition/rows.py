"""Rows of a table with the images that belong to them."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from foldwise.competition.columns import (
    id_column,
    image_columns,
    label_column,
    named_column,
    other_id_column,
)
from foldwise.competition.imagefiles import ImageFiles, match
from foldwise.competition.tables import Table, refuse_doubled, refuse_empty
from foldwise.config import Config
from foldwise.errors import FoldwiseError, first_few
from foldwise.files import shown


def train_rows(
    table: Table, files: ImageFiles, hints: Sequence[str], config: Config
) -> tuple[pd.DataFrame, str]:
    """The train table as columns id, label, group (with folds.group), file; and its id column.

    ``file`` is '' where there is no image. ``hints`` are the columns of the sample, or else of the
    test table. Raises FoldwiseError for columns that cannot be told, empty cells and doubled ids.
    """
    columns = config.competition.columns
    ids = id_column(table, columns.id, hints)
    label = label_column(table, columns.label, ids, hints)
    if table.frame.empty:
        raise FoldwiseError(f"{shown(table.path)} has a header and no rows: fill the train table")
    refuse_empty(table, ids)
    refuse_empty(table, label)
    refuse_doubled(table, ids, "train")
    rows = pd.DataFrame({"id": table.column(ids), "label": table.column(label)})
    if config.folds.group:
        group = named_column(table, config.folds.group, "folds.group")
        refuse_empty(table, group)
        rows["group"] = table.column(group)
    if columns.path:
        named_column(table, columns.path, "competition.columns.path")
    rows["file"] = _files(table, ids, (ids, label), files, columns.path, "train")
    _refuse_shared(rows, table)
    return rows, ids


def _refuse_shared(rows: pd.DataFrame, table: Table) -> None:
    """One image in two rows could stand on both sides of a split."""
    there = rows[rows["file"] != ""]
    shared = there[there["file"].duplicated(keep=False)]
    if len(shared):
        first = shared[shared["file"] == shared["file"].iloc[0]]
        raise FoldwiseError(
            f"{shown(table.path)}: the ids {first_few(first['id'])} have one image, "
            f"{shown(Path(first['file'].iloc[0]))} ({len(shared)} rows share images): "
            "keep one row an image"
        )


def test_rows(table: Table, files: ImageFiles, train_id: str, config: Config) -> pd.DataFrame:
    """The ids of a test table or sample submission as columns id and file ('': no image).

    Raises FoldwiseError for empty ids and ids that come twice.
    """
    columns = config.competition.columns
    ids = checked_ids(table, train_id, config)
    path = columns.path if columns.path in table.frame.columns else ""
    found = _files(table, ids, (ids,), files, path, "test")
    return pd.DataFrame({"id": table.column(ids), "file": found})


def checked_ids(table: Table, train_id: str, config: Config) -> str:
    """The id column of a test table or sample, whose ids are all there and come once."""
    ids = other_id_column(table, (config.competition.columns.id, train_id))
    refuse_empty(table, ids)
    refuse_doubled(table, ids, "test")
    return ids


def folder_rows(files: ImageFiles) -> pd.DataFrame:
    """Columns id (the path below the folder) and file, for images without a table."""
    ids = [path[len(files.inside) :] for path in files.paths]
    return pd.DataFrame({"id": ids, "file": [files.absolute(path) for path in files.paths]})


def class_folder_rows(files: ImageFiles, config: Config) -> pd.DataFrame:
    """Columns id, label and file of images that lie in a folder a class.

    Raises FoldwiseError for images beside those folders, and with folds.group (no column).
    """
    if config.folds.group:
        raise FoldwiseError(
            f"folds.group={config.folds.group}: {files.place()} has a folder a class and no table, "
            "so no such column: write a train.csv (id, label and the group), or leave it out"
        )
    rows = folder_rows(files)
    loose = [name for name in rows["id"] if "/" not in name]
    if loose:
        raise FoldwiseError(
            f"{files.place()} has a folder a class, and {len(loose)} images in none of them "
            f"({first_few(loose)}): move them into a class's folder, or write a train.csv"
        )
    rows.insert(1, "label", [name.split("/", 1)[0] for name in rows["id"]])
    return rows


def _files(
    table: Table,
    ids: str,
    used: Sequence[str],
    files: ImageFiles,
    path_column: str,
    what: str,
) -> list[str]:
    """The image of each row: by the path column, else by id, else by a column that names images."""
    if path_column:
        refuse_empty(table, path_column)
        return match(table.column(path_column), files, what)
    doubt: FoldwiseError | None = None
    for name in (ids, *image_columns(table, but=used)):
        try:
            found = match(table.column(name), files, what)
        except FoldwiseError as error:  # numbers that fit many images; a path column may tell more
            doubt = doubt or error
        else:
            if any(found):
                return found
    if doubt:
        raise doubt
    return [""] * len(table.frame)
