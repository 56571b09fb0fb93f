"""submissions/log.csv: what was sent or graded, one row each, and what came of it."""

import contextlib
import csv
import fcntl
import io
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from foldwise.errors import FoldwiseError, first_few
from foldwise.files import home, shown, write_text

COLUMNS = (
    *("time", "competition", "run", "file_sha256", "recipe_hash", "cv", "public", "private"),
    *("status", "ref", "message"),
)
Entry = dict[
    str, str
]  # status: sending (it may have arrived), pending, complete, error: …, offline


def now() -> str:
    """The time in UTC, as the log has it: sortable, and the same for every reader."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def entries(competition: str = "") -> list[Entry]:
    """The rows of the log, oldest first; those of one competition, or all.

    Raises FoldwiseError where the file is no such log.
    """
    path = _path()
    if not path.is_file():
        return []
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise FoldwiseError(
            f"{shown(path)} cannot be read ({error}): restore or move it"
        ) from error
    absent = [name for name in COLUMNS if rows and name not in rows[0]]
    if absent:
        raise FoldwiseError(
            f"{shown(path)} has no column {first_few(absent)}: restore it, or move it away"
        )
    rows = [{name: row[name] or "" for name in COLUMNS} for row in rows]
    return [row for row in rows if competition in ("", row["competition"])]


def record(entry: Entry) -> None:
    """Add a row, or put it in the place of the one with the same run, file and message."""
    with _locked():
        rows = entries()
        same = [n for n, row in enumerate(rows) if _key(row) == _key(entry)]
        if same:
            rows[same[-1]] = entry
        else:
            rows.append(entry)
        _write(rows)


def forget(entry: Entry) -> None:
    """Remove a row: what it announced did not happen."""
    with _locked():
        _write([row for row in entries() if _key(row) != _key(entry)])


def _key(row: Entry) -> tuple[str, ...]:
    return row["competition"], row["run"], row["file_sha256"], row["message"]


def _write(rows: list[Entry]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(_path(), text.getvalue())


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Two commands that end at once do not lose each other's row."""
    folder = _path().parent
    folder.mkdir(parents=True, exist_ok=True)
    place = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


def _path() -> Path:
    return home() / "submissions" / "log.csv"
