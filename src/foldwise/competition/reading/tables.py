"""Kaggle's tables as text, and which file of a competition is which table."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from foldwise.config import Competition
from foldwise.errors import FoldwiseError, first_few, nearest
from foldwise.files import shown

TABLES = (".csv", ".tsv", ".parquet")

# Compared without case and separators: trainLabels.csv, train-labels.csv and Train_Labels.csv are
# one name. The first of a list that is there is taken.
TRAIN_NAMES = [
    *("train", "trainlabels", "traininglabels", "training", "traindata", "trainset", "traindf"),
    *("trainmetadata", "traininfo", "trainimages", "trainmeta", "trainingdata", "trainingset"),
    *("labels", "label", "trainfinal", "trainids", "imagelabels", "classes"),
]
TEST_NAMES = [
    *("test", "testids", "testing", "testdata", "testset", "testdf", "testmetadata", "testinfo"),
    *("testimages", "testmeta", "testimageids", "testingdata", "testingset"),
]
# Never a train table: made by us, or an answer.
NOT_TRAIN = re.compile(r"folds|corrections|doubtful|.*submission.*|samplesub.*|solution.*|test.*")
IMAGE = "\0image"  # a column of names of images inside the file; no header can have this name
SAMPLE_TIERS = [r"samplesubmission", r".*sample.*sub.*|.*sub.*sample.*", r".*submission.*"]


@dataclass(frozen=True)
class Table:
    """A table as text; the frame's index is the row number that a spreadsheet shows."""

    path: Path
    frame: pd.DataFrame

    @property
    def names(self) -> list[str]:
        """The columns that a person would see."""
        return [name for name in self.frame.columns if name != IMAGE]

    def column(self, name: str) -> list[str]:
        return self.frame[name].tolist()

    def rows(self, positions: list[int]) -> str:
        """``row 7`` or ``rows 7, 9``, as a spreadsheet numbers them."""
        numbers = [self.frame.index[i] for i in positions]
        return ("row " if len(numbers) == 1 else "rows ") + first_few(numbers)


@dataclass(frozen=True)
class TablePaths:
    """The files that were recognised; None where there is none."""

    train: Path | None
    test: Path | None
    sample: Path | None
    others: list[Path]  # tables that might be the train table, if nothing better is there


def plain(name: str) -> str:
    """A name without case and separators, for comparing."""
    return re.sub(r"[\W_]+", "", name.casefold())


def read_table(path: Path) -> Table:
    """A table in which every cell is text, verbatim (``NA``, ``0001``); UTF-8 with or without BOM.

    The separator is the comma, or where the header has none: tab, semicolon or bar. Blank lines
    are skipped. Raises FoldwiseError naming the row where the file cannot be read.
    """
    text = _text(path)
    head = text.lstrip("\r\n").split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator_of(head), strict=True)
    header: list[str] | None = None
    rows: list[list[str]] = []
    numbers: list[int] = []
    number = 0
    try:
        for number, row in enumerate(reader, start=1):
            if not row or (len(row) == 1 and not row[0].strip()):
                continue
            if header is None:
                header = row
                continue
            if len(row) != len(header):
                row = _fitted(path, number, row, header)
            rows.append(row)
            numbers.append(number)
    except csv.Error as error:
        raise FoldwiseError(
            f"{shown(path)} row {number + 1} cannot be read as a table ({error}): repair that row"
        ) from error
    if header is None:
        raise FoldwiseError(f"{shown(path)} is empty: put the competition's table there")
    _refuse_doubled(path, header)
    return Table(path, pd.DataFrame(rows, columns=header, index=numbers, dtype=str))


PART_COLUMNS = ("usage", "split", "set", "subset", "partition", "phase", "datasplit")
TEST_PARTS = ("test", "testing", "publictest", "privatetest", "public", "private")


def training_part(table: Table) -> tuple[Table, str]:
    """The rows that a column such as Usage does not call test rows, and a remark on the others."""
    for name in table.names:
        if plain(name) not in PART_COLUMNS:
            continue
        parts = [plain(cell) for cell in table.column(name)]
        kept = [part not in TEST_PARTS for part in parts]
        if any(part.startswith("train") for part in parts) and not all(kept):
            left = f" ({kept.count(False):,} more, test rows by '{name}', are left out)"
            return Table(table.path, table.frame[kept]), left
    return table, ""


def separator_of(header: str) -> str:
    """The comma, or what a header without one has instead."""
    return next((s for s in ",\t;|" if s in header), ",")


def refuse_empty(table: Table, column: str) -> None:
    """Raises FoldwiseError naming the rows whose cell in ``column`` is empty."""
    empty = [i for i, text in enumerate(table.column(column)) if not text.strip()]
    if empty:
        raise FoldwiseError(
            f"{shown(table.path)} {table.rows(empty)}: column '{column}' is empty: "
            "fill it in or delete the row"
        )


def refuse_doubled(table: Table, column: str, what: str) -> None:
    """Raises FoldwiseError naming the ids that more than one row has, with their rows."""
    texts = table.column(column)
    if len(set(texts)) == len(texts):
        return
    places: dict[str, list[int]] = {}
    for i, text in enumerate(texts):
        places.setdefault(text, []).append(i)
    doubled = [f"'{text}' ({table.rows(at)})" for text, at in places.items() if len(at) > 1]
    raise FoldwiseError(
        f"{shown(table.path)} has {len(doubled)} {what} ids more than once: "
        f"{first_few(doubled)}: keep one row an id"
    )


def find_tables(folder: Path, settings: Competition) -> TablePaths:
    """Which files are the train table, the test table and the sample submission.

    By ``competition.train``, ``.test`` and ``.sample``, otherwise by name. Raises FoldwiseError
    when a named one is not there or when two could be the sample.
    """
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in TABLES)
    tables = [path for path in tables if path.is_file() and not path.name.startswith(".")]
    train = _named(folder, "train", settings.train, tables)
    test = _named(folder, "test", settings.test, tables)
    sample = _named(folder, "sample", settings.sample, tables)
    free = [path for path in tables if path not in (train, test, sample)]
    sample = sample or _sample(free)
    free = [path for path in free if path != sample]
    test = test or _first(free, TEST_NAMES) or _only(free, "test")
    free = [path for path in free if path != test]
    others = [path for path in free if not NOT_TRAIN.fullmatch(plain(path.stem))]
    train = train or _first(others, TRAIN_NAMES) or _only(others, "train")
    return TablePaths(train, test, sample, others)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FoldwiseError(
            f"{shown(path)} cannot be read ({error.strerror}): put a readable table there"
        ) from error
    try:
        text = data.decode("utf-8-sig")
        wrong = data.find(b"\0")  # UTF-16 without a mark passes for UTF-8, but for its zeros
    except UnicodeDecodeError as error:
        wrong = error.start
    if wrong >= 0:
        row = data.count(b"\n", 0, wrong) + 1
        raise FoldwiseError(
            f"{shown(path)} row {row} is not UTF-8 text: save the table as CSV in UTF-8"
        )
    return text


def _fitted(path: Path, number: int, row: list[str], header: list[str]) -> list[str]:
    """Short rows are filled with empty cells, as a spreadsheet does; longer ones are refused."""
    if any(row[len(header) :]):
        raise FoldwiseError(
            f"{shown(path)} row {number} has {len(row)} cells where the header has {len(header)}: "
            "repair that row (a cell with a comma belongs in quotes)"
        )
    return row[: len(header)] + [""] * (len(header) - len(row))


def _refuse_doubled(path: Path, header: list[str]) -> None:
    doubled = sorted({name for name in header if header.count(name) > 1})
    if doubled:
        raise FoldwiseError(
            f"{shown(path)} has more than one column named '{doubled[0]}': rename or delete one"
        )


def _named(folder: Path, what: str, setting: str, tables: list[Path]) -> Path | None:
    if not setting:
        return None
    path = folder / setting
    if not path.is_file():
        names = [table.name for table in tables]
        there = f"the tables there are {first_few(names, 10)}" if names else "there is no table"
        raise FoldwiseError(
            f"competition.{what}={setting}: no such file in {shown(folder)} "
            f"({there}){nearest(setting, names)}"
        )
    return path


def _only(tables: list[Path], word: str) -> Path | None:
    """The only table with the word in its name: fashion-mnist_train.csv. Test labels are none."""
    found = [path for path in tables if word in plain(path.stem)]
    found = [path for path in found if word == "train" or "label" not in plain(path.stem)]
    return found[0] if len(found) == 1 else None


def _first(tables: list[Path], names: list[str]) -> Path | None:
    found = [path for path in tables if plain(path.stem) in names]
    return min(found, key=lambda path: names.index(plain(path.stem)), default=None)


def _sample(tables: list[Path]) -> Path | None:
    for pattern in SAMPLE_TIERS:
        found = [path for path in tables if re.fullmatch(pattern, plain(path.stem))]
        if len(found) > 1:
            raise FoldwiseError(
                f"{shown(found[0])} and {found[1].name} could both be the sample submission: "
                f"say which with competition.sample={found[0].name}"
            )
        if found:
            return found[0]
    return None
