"""A competition's test set, several times as large, as the hidden one of a rerun may be."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from foldwise.competition.layout import CompetitionData
from foldwise.competition.reading.tables import find_tables, read_table
from foldwise.config import Competition
from foldwise.errors import FoldwiseError
from foldwise.kaggle.lookalike import competition_entries

TIMES = 3


def enlarge(data: CompetitionData, settings: Competition, folder: Path) -> str:
    """Fill ``folder`` with the competition and a test set TIMES as large, its last image broken.

    Returns '', or why this cannot be done for the competition's layout.
    """
    assert data.test is not None
    files = [Path(name) for name in data.test["file"] if name]
    if not files or not all(path.is_file() and path.is_relative_to(data.folder) for path in files):
        return "its test images are no files of their own"
    try:
        tables = find_tables(data.folder, settings)
    except FoldwiseError as error:
        return str(error)
    paths = [path for path in (tables.test, tables.sample) if path]
    if any(path.suffix.lower() != ".csv" for path in paths):
        return "its test table is no CSV"
    tops = {path.relative_to(data.folder).parts[0] for path in files}
    for name, path in competition_entries(data.folder).items():
        if name not in tops and path not in paths:
            (folder / name).symlink_to(path)
    renamed = _copied(data, folder)
    for path in paths:
        table = read_table(path)
        with (folder / path.name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(table.names)
            for names in [{}, *renamed]:
                for row in table.frame[table.names].itertuples(index=False):
                    writer.writerow([names.get(cell, cell) for cell in row])
    return ""


def _copied(data: CompetitionData, folder: Path) -> list[dict[str, str]]:
    """Lay the test images out, and copies of other names; for each round, what cells become."""
    assert data.test is not None
    rows = [(name, Path(file)) for name, file in data.test.itertuples(index=False) if file]
    fresh = _numbers([name for name, _ in rows])
    renamed: list[dict[str, str]] = []
    for turn in range(TIMES):
        names: dict[str, str] = {}
        for name, file in rows:
            inner = PurePosixPath(file.relative_to(data.folder).as_posix())
            other = name
            if turn:
                other = next(fresh) if fresh else _other(name, turn)
                stem = PurePosixPath(name).stem
                new = PurePosixPath(other).stem
                replaced = inner.stem.replace(stem, new) if stem in inner.stem else ""
                moved = inner.with_name((replaced or f"{inner.stem}x{turn}") + inner.suffix)
                names |= {name: other, inner.name: moved.name, str(inner): str(moved)}
                names |= {inner.stem: moved.stem} if inner.stem != name else {}
                inner = moved
            target = folder / inner
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(file)
        renamed += [names] if turn else []
    data_of_last = target.read_bytes()
    target.unlink()
    target.write_bytes(data_of_last[: len(data_of_last) // 2])
    return renamed


def _other(name: str, turn: int) -> str:
    path = PurePosixPath(name)
    return f"{path.stem}x{turn}{path.suffix}"


def _numbers(names: list[str]) -> Iterator[str] | None:
    """Ids that go on where numbers end; None where ids are no numbers."""
    if not all(re.fullmatch(r"\d+", name) for name in names):
        return None
    width, last = max(map(len, names)), max(map(int, names))
    return (str(n).zfill(width) for n in range(last + 1, last + 1 + TIMES * len(names)))
