"""A competition as Kaggle gives it, read without being told: tables of ids, labels and images."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from foldwise.competition.digits import write_digits
from foldwise.competition.folder import existing_folder, folder_of, inner_folder
from foldwise.competition.reading.imagefiles import (
    NO_CLASS,
    ImageFiles,
    images_of,
    index_images,
    named_root,
    words_of,
)
from foldwise.competition.reading.packed import packed_table
from foldwise.competition.reading.patterns import pattern_rows
from foldwise.competition.reading.rows import (
    Rows,
    checked_ids,
    class_folder_rows,
    folder_rows,
    numbered_as,
    test_rows,
    train_rows,
)
from foldwise.competition.reading.tables import (
    IMAGE,
    Table,
    TablePaths,
    find_tables,
    read_table,
    training_part,
)
from foldwise.competition.reading.wide import open_table
from foldwise.competition.targets import Targets
from foldwise.config import Config
from foldwise.errors import FoldwiseError, first_few
from foldwise.files import shown


@dataclass(frozen=True)
class CompetitionData:
    """What a competition's folder holds, as text and names of images.

    train: columns id, label, file and, with folds.group, group, with data.weights, weight; one row
    an image (or the images of a row, joined), in the train table's order, index 0..n-1. ``file`` is
    an absolute path, or what `foldwise.containers` makes of a row of an array. targets: of these
    rows. test: id and file, which is '' for a missing image with images.missing=drop; None where
    there is no test set. sample: the sample submission, verbatim. dropped: ids of train rows that
    were left out for want of an image. said: two lines on what was recognised.
    others: what else the train table has, as text, a row a train row; None where there is no such
    table.
    """

    folder: Path
    train: pd.DataFrame
    targets: Targets
    test: pd.DataFrame | None
    sample: pd.DataFrame | None
    dropped: list[str]
    said: list[str]
    others: pd.DataFrame | None = None

    @property
    def task(self) -> str:
        return self.targets.task

    @property
    def classes(self) -> list[str]:
        return self.targets.classes


def load(config: Config) -> CompetitionData:
    """Reads a competition; ``digits`` is written first where it is not there.

    Raises FoldwiseError (one line: file, row or ids, and what to do) for whatever is wrong with
    the tables or missing among the images. Every image file is looked for, none is opened.
    """
    settings = config.competition
    if settings.slug == "digits" and not folder_of("digits").exists():
        write_digits(folder_of("digits"))
    folder = inner_folder(existing_folder(settings.slug))
    files = index_images(folder)
    paths = find_tables(folder, settings)
    sample = read_table(paths.sample) if paths.sample else None
    test_table = open_table(paths.test, settings.pixels) if paths.test else None

    rows, targets, source = _train(files, paths, sample, test_table, config)
    train, dropped = _with_images(rows.frame, source, rows.place, config.images.missing)
    others = rows.others
    if dropped:
        there = (rows.frame["file"] != "").to_numpy()
        targets = replace(targets, values=targets.values[there])
        others = None if others is None else others[there].reset_index(drop=True)
    test, line = _test(test_table, sample, rows.id_column, files, paths, config)
    verbatim = sample.frame.reset_index(drop=True) if sample else None
    names = "" if targets.task == "regression" else f" ({first_few(targets.classes)})"
    lines = [
        f"train: {len(train):,} rows of {source}, {rows.images}{_left_out(files)}; "
        f"{targets.task}, {targets.said}{names}",
        line,
    ]
    prefix = re.escape(f"{shown(folder)}/")
    said = [re.sub(f"{prefix}(?=[,; ]|$)", "its folder", line) for line in lines]
    said = [re.sub(prefix, "", line) for line in said]
    return CompetitionData(folder, train, targets, test, verbatim, dropped, said, others)


def _train(
    files: ImageFiles,
    paths: TablePaths,
    sample: Table | None,
    test_table: Table | None,
    config: Config,
) -> tuple[Rows, Targets, str]:
    """The train rows, their targets, and the name of what they come from."""
    images = images_of("train", files, config.competition.train_images)
    if config.competition.pattern:
        found = pattern_rows(images, config)
    elif paths.train is None and _are_classes(images, files, paths, config):
        found = class_folder_rows(images, config)
    else:
        table, packed = _train_table(paths, config), None
        if table is None or (IMAGE not in table.frame and not images.paths):
            packed = packed_table(files, paths, "train", config.competition)
        table = table or packed
        if table is not None:
            table, left_out = training_part(table)
            other = sample or test_table
            hints = other.names if other else []
            rows, targets = train_rows(table, images, packed, hints, sample, config)
            return rows, targets, f"{shown(table.path)}{left_out}"
        found = pattern_rows(images, config) if images.paths and not paths.others else None
    if found is None:
        raise _no_train_table(Path(files.folder), paths)
    return *found, images.place()


def _left_out(files: ImageFiles) -> str:
    """A folder for validation beside the others: nobody trains on it unless it is moved."""
    for name in files.children()[0]:
        if words_of(name) & {"val", "valid", "validation"}:
            return f" ({name}/ with {len(files.below(f'{name}/').paths):,} images is left out)"
    return ""


def _are_classes(images: ImageFiles, files: ImageFiles, paths: TablePaths, config: Config) -> bool:
    """Whether the train images lie in a folder a class.

    Where a table of another name might be the train table, only a folder named for training with
    nothing but classes in it counts.
    """
    columns = config.competition.columns
    if columns.id or columns.label or columns.path:
        return False
    classes, beside = images.children()
    if not images.inside and any(words_of(name) & NO_CLASS for name in classes):
        return False
    if paths.others:
        named = config.competition.train_images or named_root("train", files)
        return bool(named) and beside == 0 and len(classes) > 1
    return bool(classes)


def _train_table(paths: TablePaths, config: Config) -> Table | None:
    """The train table: by its name, or the only table that could be it."""
    path = paths.train
    if path is None and len(paths.others) == 1:
        path = paths.others[0]
    return open_table(path, config.competition.pixels) if path else None


def _no_train_table(folder: Path, paths: TablePaths) -> FoldwiseError:
    if paths.others:
        return FoldwiseError(
            f"{shown(folder)} has no train.csv; the tables there are "
            f"{first_few([path.name for path in paths.others], 10)}: "
            f"say which one with competition.train={paths.others[0].name}"
        )
    packed = sorted(path.name for path in folder.glob("*.zip"))
    if packed:
        return FoldwiseError(
            f"{shown(folder)} has no train table, but {first_few(packed)}: unzip that there first"
        )
    return FoldwiseError(
        f"{shown(folder)} has no train table, no arrays and no folder a class: put a train.csv "
        "(id,label) or train/CLASS/FILE there, name the table with competition.train=FILE, or say "
        "how file names hold labels with competition.pattern="
    )


def _with_images(
    train: pd.DataFrame, source: str, place: str, missing: str
) -> tuple[pd.DataFrame, list[str]]:
    """The rows that have an image, and the ids of the others (images.missing=drop)."""
    there = train["file"] != ""
    lost = list(train["id"][~there])
    if lost and (missing == "error" or len(lost) == len(train)):
        raise _missing(lost, len(train), "train", place, source)
    return train[there].reset_index(drop=True), lost


def _test(
    table: Table | None,
    sample: Table | None,
    train_id: str,
    files: ImageFiles,
    paths: TablePaths,
    config: Config,
) -> tuple[pd.DataFrame | None, str]:
    """The test rows: of the test table, else of the sample, else of the test images; or None.

    And a line on what they are.
    """
    settings = config.competition
    images = images_of("test", files, settings.test_images)
    packed = None
    if (table is None or IMAGE not in table.frame) and not images.paths:
        packed = packed_table(files, paths, "test", settings)
    source = table or sample or packed
    as_sample = f"; submission as {sample.path.name}" if sample else "; submission"
    if source is None:
        named = settings.test_images or named_root("test", files)
        if not named:
            return None, "test: none"
        rows = folder_rows(images)
        return rows.frame, f"test: {len(rows.frame):,} {rows.images}{as_sample}"
    rows = test_rows(source, images, packed, train_id, config)
    if sample and source is not sample:
        column = checked_ids(sample, train_id, config)
        if rows.id_column:
            _refuse_other_ids(source, list(rows.frame["id"]), sample, column)
        else:
            rows = numbered_as(rows, sample, column)
    test = rows.frame
    lost = list(test["id"][test["file"] == ""])
    if lost and config.images.missing == "error":
        raise _missing(lost, len(test), "test", rows.place, shown(source.path))
    line = f"test: {len(test):,} rows of {shown(source.path)}, {rows.images}{as_sample}"
    return test, line


def _refuse_other_ids(table: Table, ids: list[str], sample: Table, column: str) -> None:
    wanted = sample.column(column)
    only_sample = sorted(set(wanted) - set(ids))
    only_test = sorted(set(ids) - set(wanted))
    if only_sample or only_test:
        where, some = (sample, only_sample) if only_sample else (table, only_test)
        raise FoldwiseError(
            f"{shown(table.path)} and {sample.path.name} have different ids: "
            f"{len(some)} are only in {where.path.name} ({first_few(some)}): use the two files of "
            "one download, or name the right ones with competition.test= and competition.sample="
        )


def _missing(lost: list[str], rows: int, what: str, place: str, source: str) -> FoldwiseError:
    if len(lost) == rows:
        return FoldwiseError(
            f"{source}: none of the {rows} {what} ids has an image in {place}, the first is "
            f"'{lost[0]}': put the images there, or say where they are with "
            f"competition.{what}_images=FOLDER or competition.columns.path=COLUMN"
        )
    drop = "leaves these rows out" if what == "train" else "gives these rows the class prior"
    return FoldwiseError(
        f"{source}: {len(lost)} of {rows} {what} ids have no image in {place}: "
        f"{first_few(lost)}: add the images, or images.missing=drop {drop}"
    )
