"""Rows of a table with the images that belong to them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from foldwise.competition.reading.columns import (
    id_column,
    image_columns,
    label_columns,
    named_column,
    other_id_column,
    unnamed_ids,
)
from foldwise.competition.reading.imagefiles import EXTENSION, ImageFiles, match, match_several
from foldwise.competition.reading.tables import IMAGE, Table, refuse_doubled, refuse_empty
from foldwise.competition.targets import NUMBER, Targets, of_labels, read_targets
from foldwise.config import Competition, Config
from foldwise.containers import JOINED
from foldwise.errors import FoldwiseError, UsageError, first_few
from foldwise.files import shown


@dataclass(frozen=True)
class Rows:
    """frame: columns id, file ('' where there is no image); of a train table label, group, weight.

    id_column: of the table, '' where rows are numbered. images, for people: how the images are
    given; place: where they were looked for. others: the table's other columns, row by row.
    """

    frame: pd.DataFrame
    id_column: str
    images: str
    place: str
    others: pd.DataFrame | None = None


def train_rows(
    table: Table,
    files: ImageFiles,
    packed: Table | None,
    hints: Sequence[str],
    sample: Table | None,
    config: Config,
) -> tuple[Rows, Targets]:
    """The rows of the train table, with their data.weights as ``weight``, and their targets.

    ``packed``: images in arrays, for a table whose ids have no image files. ``hints`` are the
    columns of the sample, or else of the test table. Raises FoldwiseError for columns that cannot
    be told, empty cells and doubled ids.
    """
    columns = config.competition.columns
    weights = _weights(table, config.data.weights) if config.data.weights else None
    if weights is not None:  # a column that has been read is no candidate for the labels
        table = replace(table, frame=table.frame.drop(columns=config.data.weights))
    ids = "" if unnamed_ids(table, columns.id) else id_column(table, columns.id, hints)
    values = sample.names if sample else []
    labels = label_columns(table, columns.label, ids, hints, values)
    if table.frame.empty:
        raise FoldwiseError(f"{shown(table.path)} has a header and no rows: fill the train table")
    names = _ids(table, ids, "train")
    single = [name for name in values if name not in (ids, columns.id)]
    cells = sample.column(single[-1]) if sample and single else []
    targets = read_targets(table, labels, config.competition, cells)
    frame = pd.DataFrame({"id": names, "label": targets.texts})
    group = config.folds.group
    if group and (group != "duplicates" or group in table.names):
        named_column(table, group, "folds.group")
        refuse_empty(table, group)
        frame["group"] = table.column(group)
    if weights is not None:
        frame["weight"] = weights
    used = (ids, *labels)
    found, said = _files(table, ids, used, files, packed, columns.path, "train")
    frame["file"] = found
    _refuse_shared(frame, table)
    others = table.frame[[name for name in table.names if name not in used]]
    return Rows(frame, ids, said, _place(files, packed), others.reset_index(drop=True)), targets


def _weights(table: Table, column: str) -> list[float]:
    """Raises FoldwiseError naming the rows that hold no number of at least 0."""
    named_column(table, column, "data.weights")
    refuse_empty(table, column)
    texts = [text.strip() for text in table.column(column)]
    weights = [float(text) if NUMBER.fullmatch(text) else math.nan for text in texts]
    bad = [i for i, weight in enumerate(weights) if not 0 <= weight < math.inf]
    if bad:
        raise FoldwiseError(
            f"{shown(table.path)} {table.rows(bad)}: data.weights={column} has '{texts[bad[0]]}', "
            "which is no number of at least 0: mend the row, or leave data.weights out"
        )
    return weights


def _ids(table: Table, column: str, what: str) -> list[str]:
    if not column:
        return [str(row) for row in range(len(table.frame))]
    refuse_empty(table, column)
    refuse_doubled(table, column, what)
    return table.column(column)


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


def test_rows(
    table: Table, files: ImageFiles, packed: Table | None, train_id: str, config: Config
) -> Rows:
    """The ids of a test table or sample submission, and their images.

    Raises FoldwiseError for empty ids and ids that come twice.
    """
    columns = config.competition.columns
    ids = "" if unnamed_ids(table, columns.id) else checked_ids(table, train_id, config)
    path = columns.path if set(_listed(columns.path)) <= set(table.names) else ""
    found, said = _files(table, ids, (ids,), files, packed, path, "test")
    frame = pd.DataFrame({"id": _ids(table, ids, "test"), "file": found})
    return Rows(frame, ids, said, _place(files, packed))


def _place(files: ImageFiles, packed: Table | None) -> str:
    return shown(packed.path) if packed else f"{files.place()} ({len(files.paths)} images)"


def numbered_as(rows: Rows, sample: Table, column: str) -> Rows:
    """Rows without ids get those of a sample of the same length, in its order."""
    names = sample.column(column)
    if len(names) != len(rows.frame):
        raise FoldwiseError(
            f"{shown(sample.path)} has {len(names):,} rows and the test set {len(rows.frame):,} "
            "images without ids: use the two files of one download"
        )
    return replace(rows, frame=rows.frame.assign(id=names), id_column=column)


def checked_ids(table: Table, train_id: str, config: Config) -> str:
    """The id column of a test table or sample, whose ids are all there and come once."""
    ids = other_id_column(table, (config.competition.columns.id, train_id))
    refuse_empty(table, ids)
    refuse_doubled(table, ids, "test")
    return ids


def folder_rows(files: ImageFiles) -> Rows:
    """The images of a folder without a table; an id is the path below the folder."""
    ids = [path[len(files.inside) :] for path in files.paths]
    frame = pd.DataFrame({"id": ids, "file": [files.absolute(path) for path in files.paths]})
    return Rows(frame, "", f"images of {files.place()}", _place(files, None))


def class_folder_rows(files: ImageFiles, config: Config) -> tuple[Rows, Targets]:
    """Images that lie in a folder a class.

    Raises FoldwiseError for images beside those folders, and with a setting that names a column.
    """
    refuse_columns(files, config)
    rows = folder_rows(files)
    loose = [name for name in rows.frame["id"] if "/" not in name]
    if loose:
        raise FoldwiseError(
            f"{files.place()} has a folder a class, and {len(loose)} images in none of them "
            f"({first_few(loose)}): move them into a class's folder, or write a train.csv"
        )
    labels = [name.split("/", 1)[0] for name in rows.frame["id"]]
    return labelled(rows, labels, "a folder a class", config.competition, files)


def labelled(
    rows: Rows, labels: list[str], how: str, settings: Competition, files: ImageFiles
) -> tuple[Rows, Targets]:
    """Rows whose labels are not in a table, and the targets that these are.

    ``how`` the labels were found, for people.
    """
    task = settings.task if settings.task != "auto" else "multiclass"
    if task in ("multilabel", "regression"):
        raise UsageError(f"competition.task={task} wants a train table with such labels")
    targets = of_labels(labels, settings, task, files.place())
    rows.frame.insert(1, "label", labels)
    return replace(rows, images=how), targets


def refuse_columns(files: ImageFiles, config: Config) -> None:
    """Raises FoldwiseError for settings that would name a column of a table."""
    group = config.folds.group if config.folds.group != "duplicates" else ""
    for key, column in (("folds.group", group), ("data.weights", config.data.weights)):
        if column:
            raise FoldwiseError(
                f"{key}={column}: {files.place()} has images without a table, so no such column: "
                f"write a train.csv (id, label and {column}), or leave it out"
            )


def _listed(setting: str) -> list[str]:
    return [name.strip() for name in setting.split(",")] if setting else []


def _files(
    table: Table,
    ids: str,
    used: Sequence[str],
    files: ImageFiles,
    packed: Table | None,
    path: str,
    what: str,
) -> tuple[list[str], str]:
    """The image or images of each row, and where they are, for people.

    In the table itself; by the path columns; else by id; else by columns that name images; else by
    ids that several file names begin with; else in ``packed``.
    """
    if IMAGE in table.frame:
        return table.column(IMAGE), "images in the file itself"
    if path:
        return _by_columns(table, [path] if path in table.names else _listed(path), files, what)
    names = [name for name in table.names if name not in used and _are_files(table, name)]
    doubt: FoldwiseError | None = None
    known = image_columns(table, but=used)
    for name in dict.fromkeys([ids, *known, *names]):
        try:
            found = match(table.column(name), files, what)
        except FoldwiseError as error:  # numbers that fit many images; a path column may tell more
            doubt = doubt or error
        else:
            if any(found) and name not in (ids, *known) and len(names) > 1:
                return _by_columns(table, names, files, what)
            if any(found):
                return found, f"an image a row in {files.place()}"
    if doubt:
        raise doubt
    several, endings = match_several(table.column(ids), files, what)
    if several:
        return several, f"{len(endings)} images a row in {files.place()} ({first_few(endings)})"
    if packed is not None:
        return _in_arrays(table, ids, packed, what), f"images in {shown(packed.path)}"
    return [""] * len(table.frame), "no images"


def _are_files(table: Table, column: str) -> bool:
    """Whether a column's cells look like names of image files."""
    cells = [cell.strip() for cell in table.column(column)[:20]]
    return bool(cells) and all(EXTENSION.search(cell) for cell in cells)


def _by_columns(
    table: Table, columns: Sequence[str], files: ImageFiles, what: str
) -> tuple[list[str], str]:
    found = []
    for name in columns:
        named_column(table, name, "competition.columns.path")
        refuse_empty(table, name)
        found.append(match(table.column(name), files, what))
    joined = [JOINED.join(parts) if all(parts) else "" for parts in zip(*found, strict=True)]
    images = "an image" if len(columns) == 1 else f"{len(columns)} images"
    return joined, f"{images} a row, named in {first_few(columns)}"


def _in_arrays(table: Table, ids: str, packed: Table, what: str) -> list[str]:
    """The packed image of each row: by id where the arrays have ids, otherwise by position."""
    wanted, names = table.column(ids), packed.column(IMAGE)
    for column in packed.names:
        place = dict(zip(packed.column(column), names, strict=True))
        if len(place) == len(names) and any(name in place for name in wanted):
            return [place.get(name, "") for name in wanted]
    if len(names) != len(wanted):
        raise FoldwiseError(
            f"{shown(table.path)} has {len(wanted):,} rows and {shown(packed.path)} {len(names):,} "
            f"{what} images without ids: they must be as many, in the same order"
        )
    return names
