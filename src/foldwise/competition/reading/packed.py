"""Images that have no file of their own, as tables: arrays joined to their labels and ids."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise import containers
from foldwise.competition.reading.arrays import Array, find_arrays, part_of
from foldwise.competition.reading.imagefiles import ImageFiles
from foldwise.competition.reading.pixels import as_bytes, as_images, channels_last
from foldwise.competition.reading.tables import IMAGE, Table, TablePaths, plain
from foldwise.competition.reading.wide import open_table
from foldwise.config import Competition
from foldwise.errors import FoldwiseError


def packed_table(
    files: ImageFiles, paths: TablePaths, part: str, settings: Competition
) -> Table | None:
    """The images of a part (train or test) in arrays or parquet files, with what is beside them.

    competition.train_images or .test_images names one as FILE or FILE:MEMBER. None where there is
    none. Raises FoldwiseError where two could be meant, and where images and labels differ in
    number.
    """
    folder = Path(files.folder)
    named = settings.train_images if part == "train" else settings.test_images
    used = {path for path in (paths.train, paths.test, paths.sample) if path}
    free = [path for path in (folder / name for name in files.others) if path not in used]
    tables = [path for path in free if path.suffix.lower() == ".parquet"]
    tables = [path for path in tables if part_of(plain(path.stem)) == part]
    opened = [open_table(path, settings.pixels) for path in sorted(tables)]
    opened = [table for table in opened if IMAGE in table.frame]
    if opened:
        frame = pd.concat([table.frame for table in opened], ignore_index=True)
        return Table(opened[0].path, frame)
    return _array_table(free, folder, part, named, settings.pixels)


def _array_table(free: list[Path], folder: Path, part: str, named: str, shape: str) -> Table | None:
    arrays = find_arrays(free)
    parts = {array.part for array in arrays if array.kind == "images"}
    wanted = {part} if part in parts or part != "train" else {""}
    mine = [array for array in arrays if array.part in wanted]
    images = _images(arrays if named else mine, named, folder, part)
    if not images:
        return None
    names = [name for array in images for name in _kept(array, shape)]
    columns = _columns(mine, images, len(names), part)
    frame = pd.DataFrame({**columns, IMAGE: names}, index=range(len(names)), dtype=object)
    return Table(images[0].path, frame)


def _images(arrays: list[Array], named: str, folder: Path, part: str) -> list[Array]:
    """The arrays that are the part's images: one, or the same one of numbered files."""
    if named:
        file, _, member = named.partition(":")
        arrays = [a for a in arrays if a.path == folder / file and member in ("", a.member)]
    found: dict[tuple[str, str], list[Array]] = {}
    for array in arrays:
        if array.kind == "images":
            family = re.sub(r"\d+", "#", str(array.path)), array.member
            found.setdefault(family, []).append(array)
    if len(found) > 1:
        one, other = (group[0] for group in list(found.values())[:2])
        say = str(one.path.relative_to(folder)) + (f":{one.member}" if one.member else "")
        raise FoldwiseError(
            f"{one.where} and {other.where} could both be the {part} images: say which with "
            f"competition.{part}_images={say}"
        )
    return next(iter(found.values()), [])


def _kept(array: Array, shape: str) -> list[str]:
    values = as_bytes(array.values, array.where)
    if values.ndim == 2:
        side = int(np.sqrt(values.shape[1] // 3))
        planes = array.planes and not shape and 3 * side * side == values.shape[1]
        values = as_images(values, f"3x{side}x{side}" if planes else shape, array.where)
    values = channels_last(values)
    if values.ndim == 4 and values.shape[3] not in (1, 3, 4):
        raise FoldwiseError(
            f"{array.where} has the shape {array.values.shape}: images are (n, height, width) or "
            "(n, height, width, channels) with 1, 3 or 4 channels"
        )
    return containers.keep(array.path, array.member, values)


def _columns(
    mine: list[Array], images: list[Array], count: int, part: str
) -> dict[str, Sequence[Any]]:
    """The labels and ids of the same files or of files beside them, as text, a column a name."""
    found: dict[str, list[Array]] = {}
    near = {array.path for array in images}
    for kind in ("labels", "ids"):
        own = [a for a in mine if a.kind == kind and a.path in near]
        for array in own or [a for a in mine if a.kind == kind]:
            plain_name = not array.member or re.fullmatch(r"arr_?\d*", array.member)
            found.setdefault(kind[:-1] if plain_name else array.member, []).append(array)
    columns: dict[str, Sequence[Any]] = {}
    for name, group in found.items():
        values = np.concatenate([_flat(array.values) for array in group])
        if len(values) != count:
            if part == "test":  # a test part without labels beside a train part that has them
                continue
            raise FoldwiseError(
                f"{group[0].where} has {len(values):,} rows and {images[0].where} {count:,} "
                "images: keep the labels and the images of one set"
            )
        if values.ndim == 1:
            columns[name] = as_text(values)
        else:
            columns |= {str(i): as_text(values[:, i]) for i in range(values.shape[1])}
    return columns


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1) if values.ndim == 2 and values.shape[1] == 1 else values


def as_text(values: np.ndarray) -> list[str]:
    """Whole numbers without a fraction (``3``, not ``3.0``), text as it is."""
    if values.dtype.kind == "f" and np.isfinite(values).all() and (values == np.rint(values)).all():
        values = values.astype(np.int64)
    if values.dtype.kind == "b":
        values = values.astype(np.int64)
    return [str(value) for value in values.tolist()]
