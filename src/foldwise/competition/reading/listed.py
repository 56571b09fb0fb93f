"""Images beside a competition: a file, a folder or a list of files, with labels or without."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from foldwise.competition.reading.columns import (
    id_column,
    image_columns,
    label_columns,
    named_column,
)
from foldwise.competition.reading.imagefiles import EXTENSION, index_images, match
from foldwise.competition.reading.tables import Table, read_table, refuse_empty
from foldwise.competition.targets import Targets, of_labels, read_targets
from foldwise.config import Competition
from foldwise.errors import FoldwiseError, UsageError, first_few, nearest
from foldwise.files import home, shown

LISTS = (".txt", ".csv", ".tsv")


@dataclass(frozen=True)
class Listed:
    """ids: what a table calls the images; files: their paths, '' where there is no image.

    table and column: of a list with a header, and its column of images.
    """

    ids: list[str]
    files: list[str]
    table: Table | None = None
    column: str = ""


def place_of(text: str) -> Path:
    """A path as a person says it: from the current folder, or from that of input/ and oof/."""
    path = Path(text).expanduser()
    return path if path.exists() or not (home() / path).exists() else home() / path


def listed(place: Path, columns: Sequence[str] = ()) -> Listed:
    """The images of a folder (ids: paths below it), of a list (ids: as it says), or one image.

    A list is a .txt file with a path a line, or a .csv or .tsv with a column of paths; they are
    relative to the list's folder, or to the current one. ``columns``: names that such a column may
    have before others. Raises FoldwiseError where there is no image, no such column, or not one of
    the listed images.
    """
    if place.is_dir():
        images = index_images(place)
        if not images.paths:
            raise FoldwiseError(f"{shown(place)} has no images: name a folder, a list or an image")
        return Listed(images.paths, [images.absolute(path) for path in images.paths])
    if not place.exists():
        raise FoldwiseError(f"{shown(place)} is not there: name a folder, a list or an image")
    if place.suffix.lower() not in LISTS:
        return Listed([place.name], [str(place)])
    if place.suffix.lower() == ".txt":
        try:
            lines = place.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, ValueError) as error:
            raise FoldwiseError(f"{shown(place)} cannot be read as text ({error})") from error
        found = Listed([line for line in lines if line.strip()], [])
    else:
        table = read_table(place)
        column = _path_column(table, columns)
        refuse_empty(table, column)
        found = Listed(table.column(column), [], table, column)
    if not found.ids:
        raise FoldwiseError(f"{shown(place)} lists no images: give it a path a line")
    files = [_found(text.strip(), place.parent) for text in found.ids]
    if not any(os.path.isfile(file) for file in files):  # noqa: PTH113
        raise FoldwiseError(
            f"not one of the {len(files):,} images of {shown(place)} is there, the first is "
            f"'{found.ids[0]}': a list needs their paths, with extensions, from its folder or the "
            "current one"
        )
    return replace(found, files=files)


def _path_column(table: Table, columns: Sequence[str]) -> str:
    """The column whose cells are image files: a named one, else the first that looks so."""
    known = [name for name in columns if name in table.names]
    names = [*known, *image_columns(table, but=known), *table.names]
    for name in names:
        cells = table.column(name)[:20]
        if cells and all(EXTENSION.search(cell.strip()) for cell in cells):
            return name
    if len(table.names) == 1:
        return table.names[0]
    raise FoldwiseError(
        f"{shown(table.path)} has no column of image files (the columns there are "
        f"{first_few(table.names)}): give one the paths, with their extensions"
    )


def _found(text: str, folder: Path) -> str:
    path = os.path.expanduser(text)  # noqa: PTH111  (100,000 of them: Path takes a second)
    beside = os.path.join(folder, path)  # noqa: PTH118
    return beside if os.path.exists(beside) else path  # noqa: PTH110


def labelled(place: Path, truth: Path | None, settings: Competition) -> tuple[Listed, Targets]:
    """A labelled set, and its targets in the classes of ``settings``, which are resolved.

    The labels: of ``truth``, a table of ids and labels, for the images in ``place``; else in the
    list ``place`` itself; else the names of the folders in ``place``. Raises FoldwiseError for
    labels that the classes do not have, and where there are none.
    """
    if truth is not None:
        return _by_table(place, truth, settings)
    wanted = settings.columns
    found = listed(place, [wanted.path, wanted.id])
    if found.table is not None:
        return found, _targets(found.table, found.column, settings)
    loose = [name for name in found.ids if "/" not in name]
    if loose:
        raise FoldwiseError(
            f"{shown(place)} has no labels ({first_few(loose)} is in no folder of a class): put "
            "images into a folder a class, list them with their labels in a .csv, or say "
            "truth=TABLE with id and label"
        )
    if settings.task in ("multilabel", "regression"):
        raise UsageError(f"folders have no labels of {settings.task}: say truth=TABLE")
    labels = [name.split("/", 1)[0] for name in found.ids]
    _refuse_unknown(labels, settings, shown(place))
    return found, of_labels(labels, settings, settings.task, shown(place))


def _by_table(place: Path, truth: Path, settings: Competition) -> tuple[Listed, Targets]:
    if not place.is_dir():
        raise UsageError(f"truth={truth} names images in a folder, and input={place} is none")
    table, wanted = read_table(truth), settings.columns
    ids = id_column(table, wanted.id if wanted.id in table.names else "")
    refuse_empty(table, ids)
    names = table.column(ids)
    files = match(names, index_images(place), "test")
    if not any(files):
        raise FoldwiseError(
            f"{shown(place)} has no image for any of the {len(names)} ids of {shown(truth)}, the "
            f"first is '{first_few(names, 1)}': name the folder with its images"
        )
    return Listed(names, files, table, ids), _targets(table, ids, settings)


def _targets(table: Table, ids: str, settings: Competition) -> Targets:
    own, classes = settings.columns.label, settings.classes
    told = own if own and all(n.strip() in table.names for n in own.split(",")) else ""
    columns = label_columns(table, told, ids, (), classes if not told else ())
    if len(columns) == 1 and settings.task in ("multiclass", "ordinal"):
        _refuse_unknown(table.column(columns[0]), settings, shown(table.path))
    if len(columns) > 1:
        for name in classes:
            named_column(table, name, "competition.classes")
        columns = list(classes)
    targets = read_targets(table, columns, settings)
    if len(targets.classes) != len(classes):
        raise FoldwiseError(
            f"{shown(table.path)}: {first_few(columns)} are {len(targets.classes)} columns, and "
            f"the run predicts {first_few(classes)}"
        )
    order = list(targets.classes)
    if set(order) == set(classes) and order != list(classes):  # columns a class are sorted anew
        places = [order.index(name) for name in classes]
        if targets.values.ndim == 2:
            return replace(targets, classes=list(classes), values=targets.values[:, places])
    return targets


def _refuse_unknown(labels: Sequence[str], settings: Competition, source: str) -> None:
    unknown = sorted(set(labels) - set(settings.classes))
    if unknown:
        raise FoldwiseError(
            f"{source} has labels that the run does not know: {first_few(unknown)}; its classes "
            f"are {first_few(settings.classes)}{nearest(unknown[0], settings.classes)}"
        )
