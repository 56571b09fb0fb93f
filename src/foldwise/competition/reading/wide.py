"""Tables that hold their images themselves: pixels in columns, pixels in a cell, encoded bytes."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from foldwise import containers
from foldwise.competition.reading.pixels import as_bytes, as_images, pixel_columns
from foldwise.competition.reading.tables import IMAGE, Table, plain, read_table, separator_of
from foldwise.errors import FoldwiseError
from foldwise.files import shown

CELL_NAMES = ("pixels", "image", "img", "pixelvalues")  # a column with all pixels of a row


class Encoded(Sequence[bytes]):
    """A column of encoded images, as arrow holds it: no copy is made before one is asked for."""

    def __init__(self, column: Any) -> None:
        self.column = column

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, row: Any) -> Any:
        return self.column[row].as_py() or b""


def open_table(path: Path, shape: str) -> Table:
    """Any table of a competition; images in it become names in the column IMAGE.

    ``shape`` is competition.pixels. Raises FoldwiseError naming the row where the file cannot be
    read.
    """
    if path.suffix.lower() == ".parquet":
        return _parquet(path, shape)
    header = _header(path)
    columns = pixel_columns(header)
    if columns and len(set(header)) == len(header):
        return _pixel_csv(path, header, columns, shape)
    table = read_table(path)
    cell = next((name for name in table.frame if plain(str(name)) in CELL_NAMES), None)
    if cell is not None and len(table.frame) and len(table.column(cell)[0].split()) > 35:
        return _with_images(table, _cells(table, cell), shape, without=[cell])
    return table


def _header(path: Path) -> list[str]:
    """The cells of the first line, of a file that may be long; [] where it has none."""
    try:
        with path.open("rb") as file:
            head = file.read(2**20)
    except OSError:
        return []  # read_table says why
    text = head.decode("utf-8-sig", "replace").lstrip("\r\n")
    line = text.splitlines()[0] if text else ""
    return next(csv.reader([line], delimiter=separator_of(line)), [])


def _pixel_csv(path: Path, header: list[str], columns: list[str], shape: str) -> Table:
    """By arrow: these tables have tens of millions of cells."""
    _check_shape(path, columns, shape)
    others = [name for name in header if name not in set(columns)]
    text = {name: pa.string() for name in others}
    try:
        try:
            table = _read_csv(path, text | dict.fromkeys(columns, pa.uint8()))
        except pa.ArrowInvalid:  # 0.0, 1e2, or no number at all
            table = _read_csv(path, text | dict.fromkeys(columns, pa.float32()))
    except pa.ArrowException as error:
        raise FoldwiseError(
            f"{shown(path)} cannot be read as a table of pixels ({_line(error)}): every pixel is a "
            "number, and every row as long as the header; repair that row"
        ) from error
    flat = _pixels(path, table, columns)
    if flat.max(initial=0) <= 1 and not plain(columns[0]).startswith("p"):
        return read_table(path)  # a column a class, and the classes are numbers
    cells = {name: table.column(name).to_pylist() for name in others}
    frame = pd.DataFrame(cells, index=range(2, table.num_rows + 2), dtype=object)
    return _with_images(Table(path, frame), flat, shape)


def _check_shape(path: Path, columns: list[str], shape: str) -> None:
    """Refuses pixels of an unknown shape before millions of cells are read."""
    as_images(np.empty((0, len(columns)), np.uint8), shape, shown(path))


def _read_csv(path: Path, types: dict[str, Any]) -> Any:
    with path.open("rb") as file:
        separator = separator_of(file.readline().decode("utf-8", "replace"))
    return pyarrow.csv.read_csv(
        path,
        parse_options=pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=False),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=types, include_columns=list(types), strings_can_be_null=False
        ),
    )


def _pixels(path: Path, table: Any, columns: list[str]) -> np.ndarray:
    """uint8 (rows, pixels) of an arrow table's columns. Raises FoldwiseError for empty cells."""
    first = table.column(columns[0]).type.to_pandas_dtype()
    flat = np.empty((table.num_rows, len(columns)), np.uint8 if first is np.uint8 else np.float32)
    for i, name in enumerate(columns):
        column = table.column(name)
        if column.null_count:
            row = column.is_null().to_numpy().argmax() + 2
            raise FoldwiseError(
                f"{shown(path)} row {row}: pixel column '{name}' is empty: fill it in, or delete "
                "the row"
            )
        flat[:, i] = column.to_numpy()
    return as_bytes(flat, shown(path))


def _parquet(path: Path, shape: str) -> Table:
    try:
        if columns := pixel_columns(pq.read_schema(path).names):
            _check_shape(path, columns, shape)
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise FoldwiseError(
            f"{shown(path)} cannot be read as parquet ({_line(error)}): put a whole copy there"
        ) from error
    names = [str(name) for name in table.column_names]
    if len(set(names)) < len(names):
        raise FoldwiseError(f"{shown(path)} has two columns of one name: rename or delete one")
    image = next((name for name in names if _has_bytes(table.schema.field(name).type)), None)
    columns = [] if image else pixel_columns(names)
    others = [name for name in names if name != image and name not in set(columns)]
    cells = {name: _texts(table.column(name)) for name in others}
    frame = pd.DataFrame(cells, index=range(1, table.num_rows + 1), dtype=object)
    if image:
        column = table.column(image).combine_chunks()
        if pa.types.is_struct(table.schema.field(image).type):
            column = pa.chunked_array([column]).combine_chunks().field("bytes")
        return _with_names(Table(path, frame), containers.keep(path, "", Encoded(column)))
    if columns:
        return _with_images(Table(path, frame), _pixels(path, table, columns), shape)
    return Table(path, frame)


def _has_bytes(kind: Any) -> bool:
    """Encoded images: a column of bytes, or of structs with bytes in them."""
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _has_bytes(field.type) for field in kind)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _texts(column: Any) -> list[str]:
    """Cells as text: whole numbers without a fraction, lists with ``|`` between, '' for none."""
    if pa.types.is_dictionary(column.type):
        column = column.combine_chunks().dictionary_decode()
    values = column.to_pylist()
    floats = [v for v in values if isinstance(v, float)]
    whole = all(v.is_integer() for v in floats)

    def text(value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, list):
            return "|".join(map(text, value))
        if isinstance(value, bool) or (isinstance(value, float) and whole):
            return str(int(value))
        return str(value)

    return [text(value) for value in values]


def _cells(table: Table, column: str) -> np.ndarray:
    """uint8 (rows, pixels) of a column whose cells hold all pixels, with blanks between."""
    rows = [np.array(cell.split(), dtype=object) for cell in table.column(column)]
    length = len(rows[0])
    for i, row in enumerate(rows):
        if len(row) != length:
            raise FoldwiseError(
                f"{shown(table.path)} {table.rows([i])}: column '{column}' has {len(row)} pixels "
                f"and {length} in the first row: repair that row"
            )
    try:
        return as_bytes(np.stack(rows).astype(np.float32), shown(table.path))
    except ValueError as error:
        raise FoldwiseError(
            f"{shown(table.path)}: column '{column}' has a pixel that is no number ({error})"
        ) from error


def _with_images(table: Table, flat: np.ndarray, shape: str, without: Sequence[str] = ()) -> Table:
    images = as_images(flat, shape, shown(table.path))
    kept = Table(table.path, table.frame.drop(columns=list(without)))
    return _with_names(kept, containers.keep(table.path, "", images))


def _with_names(table: Table, names: list[str]) -> Table:
    return Table(table.path, table.frame.assign(**{IMAGE: names}))


def _line(error: BaseException) -> str:
    """The reason alone: arrow puts the whole path before it."""
    return " ".join(str(error).split()).rpartition("': ")[2][:160]
