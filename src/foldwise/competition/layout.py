"""A competition as Kaggle gives it, read without being told: tables of ids, labels and images."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from foldwise.competition.digits import write_digits
from foldwise.competition.folder import existing_folder, folder_of
from foldwise.competition.imagefiles import ImageFiles, images_of, index_images, named_root
from foldwise.competition.rows import (
    checked_ids,
    class_folder_rows,
    folder_rows,
    test_rows,
    train_rows,
)
from foldwise.competition.tables import Table, TablePaths, find_tables, read_table
from foldwise.config import Config
from foldwise.errors import FoldwiseError, UsageError, first_few, nearest
from foldwise.files import shown


@dataclass(frozen=True)
class CompetitionData:
    """What a competition's folder holds, as text and paths.

    train: columns id, label, file (absolute path) and, with folds.group, group; one row an image,
    in the train table's order, index 0..n-1. test: id and file, which is '' for a missing image
    with images.missing=drop; None where there is no test set. sample: the sample submission,
    verbatim. dropped: ids of train rows that were left out for want of an image.
    """

    folder: Path
    train: pd.DataFrame
    test: pd.DataFrame | None
    sample: pd.DataFrame | None
    classes: list[str]
    dropped: list[str]


def load(config: Config) -> CompetitionData:
    """Reads a competition; ``digits`` is written first where it is not there.

    Raises FoldwiseError (one line: file, row or ids, and what to do) for whatever is wrong with
    the tables or missing among the images. Every image is looked for, none is opened.
    """
    settings = config.competition
    if settings.slug == "digits" and not folder_of("digits").exists():
        write_digits(folder_of("digits"))
    folder = existing_folder(settings.slug)
    files = index_images(folder)
    paths = find_tables(folder, settings)
    sample = read_table(paths.sample) if paths.sample else None
    test_table = read_table(paths.test) if paths.test else None
    other = sample or test_table
    hints = other.frame.columns.tolist() if other else []

    images = images_of("train", files, settings.train_images)
    if paths.train is None and _are_classes(images, files, paths, config):
        train, train_id, source = class_folder_rows(images, config), "", images.place()
    else:
        table = read_table(_train_path(folder, paths))
        train, train_id = train_rows(table, images, hints, config)
        source = shown(table.path)
    classes = _classes(train["label"], settings.classes, source)
    train, dropped = _with_images(train, images, config.images.missing, source)
    test = _test(test_table, sample, train_id, files, config)
    verbatim = sample.frame.reset_index(drop=True) if sample else None
    return CompetitionData(folder, train, test, verbatim, classes, dropped)


def sorted_classes(labels: Iterable[str]) -> list[str]:
    """The different labels in the order of every table: by number where all are integers."""
    classes = sorted(set(labels))
    if all(re.fullmatch(r"[+-]?[0-9]+", name) for name in classes):
        classes.sort(key=int)
    return classes


def _are_classes(images: ImageFiles, files: ImageFiles, paths: TablePaths, config: Config) -> bool:
    """Whether the train images lie in a folder a class.

    Where a table of another name might be the train table, only a folder named for training with
    nothing but classes in it counts.
    """
    columns = config.competition.columns
    if columns.id or columns.label or columns.path:
        return False
    classes, beside = images.children()
    if paths.others:
        named = config.competition.train_images or named_root("train", files)
        return bool(named) and beside == 0 and len(classes) > 1
    return bool(classes)


def _train_path(folder: Path, paths: TablePaths) -> Path:
    """The train table: by its name, or the only table that could be it."""
    if paths.train:
        return paths.train
    if len(paths.others) == 1:
        return paths.others[0]
    if paths.others:
        raise FoldwiseError(
            f"{shown(folder)} has no train.csv; the tables there are "
            f"{first_few([path.name for path in paths.others], 10)}: "
            f"say which one with competition.train={paths.others[0].name}"
        )
    packed = sorted(path.name for path in folder.glob("*.zip"))
    if packed:
        raise FoldwiseError(
            f"{shown(folder)} has no train table, but {first_few(packed)}: unzip that there first"
        )
    raise FoldwiseError(
        f"{shown(folder)} has no train table and no folder a class: put a train.csv (id,label) or "
        "train/CLASS/FILE there, or name the table with competition.train=FILE"
    )


def _classes(labels: pd.Series, given: Sequence[str], source: str) -> list[str]:
    found = sorted_classes(labels)
    if given:
        classes = sorted_classes(given)
        if len(classes) < len(given):
            raise UsageError("competition.classes names a class twice: name each once")
        unknown = [name for name in found if name not in set(classes)]
        if unknown:
            raise FoldwiseError(
                f"{source} has labels that competition.classes does not name: {first_few(unknown)}"
                f"{nearest(unknown[0], classes)}: add them to competition.classes, or mend the rows"
            )
        found = classes
    if len(found) < 2:
        raise FoldwiseError(
            f"{source} has only one class, {first_few(found)}: there is nothing to tell apart; "
            "is competition.columns.label the right column?"
        )
    return found


def _with_images(
    train: pd.DataFrame, images: ImageFiles, missing: str, source: str
) -> tuple[pd.DataFrame, list[str]]:
    """The rows that have an image, and the ids of the others (images.missing=drop)."""
    there = train["file"] != ""
    lost = list(train["id"][~there])
    if lost and (missing == "error" or len(lost) == len(train)):
        raise _missing(lost, len(train), "train", images, source)
    return train[there].reset_index(drop=True), lost


def _test(
    table: Table | None, sample: Table | None, train_id: str, files: ImageFiles, config: Config
) -> pd.DataFrame | None:
    """The test rows: of the test table, else of the sample, else of the test folder; or None."""
    images = images_of("test", files, config.competition.test_images)
    source = table or sample
    if source is None:
        named = config.competition.test_images or named_root("test", files)
        return folder_rows(images) if named else None
    test = test_rows(source, images, train_id, config)
    if table and sample:
        _refuse_other_ids(table, list(test["id"]), sample, checked_ids(sample, train_id, config))
    lost = list(test["id"][test["file"] == ""])
    if lost and config.images.missing == "error":
        raise _missing(lost, len(test), "test", images, shown(source.path))
    return test


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


def _missing(
    lost: list[str], rows: int, what: str, images: ImageFiles, source: str
) -> FoldwiseError:
    place = f"{images.place()} ({len(images.paths)} images)"
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
