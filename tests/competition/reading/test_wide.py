"""Tables with their images inside: text stays text, pixels are pixels, and bad rows are named."""

import numpy as np
import pandas as pd
import pytest

from foldwise import containers
from foldwise.competition.reading.pixels import pixel_columns
from foldwise.competition.reading.tables import IMAGE
from foldwise.competition.reading.wide import open_table
from foldwise.errors import FoldwiseError

PIXELS = np.random.RandomState(0).randint(0, 256, (5, 36)).astype(np.uint8)
NAMES = [f"pixel{i}" for i in range(36)]


def written(tmp_path, change=lambda frame: frame, name="train.csv", **how):
    frame = pd.DataFrame(PIXELS, columns=NAMES)
    frame.insert(0, "id", ["001", "NA", "", "x,y", "é"])
    frame = change(frame)
    path = tmp_path / name
    frame.to_parquet(path) if name.endswith("parquet") else frame.to_csv(path, index=False, **how)
    return path


def pixels_in(table):
    return np.stack([containers.read(name) for name in table.column(IMAGE)])


@pytest.mark.parametrize("name", ["train.csv", "train.parquet"])
def test_text_verbatim_and_pixels_exact(tmp_path, name):
    table = open_table(written(tmp_path, name=name), "")
    assert table.names == ["id"] and table.column("id") == ["001", "NA", "", "x,y", "é"]
    assert (pixels_in(table) == PIXELS.reshape(5, 6, 6)).all()


@pytest.mark.parametrize("how", [{"sep": ";"}, {"sep": "\t"}, {"encoding": "utf-8-sig"},
                                 {"lineterminator": "\r\n"}])  # fmt: skip
def test_every_usual_csv(tmp_path, how):
    table = open_table(written(tmp_path, **how), "")
    assert table.column("id")[0] == "001" and (pixels_in(table).reshape(5, 36) == PIXELS).all()


def test_pixels_written_as_floats(tmp_path):
    table = open_table(written(tmp_path, lambda f: f.astype(dict.fromkeys(NAMES, float))), "")
    assert (pixels_in(table).reshape(5, 36) == PIXELS).all()


def test_the_order_of_columns_is_the_tables(tmp_path):
    table = open_table(written(tmp_path, lambda f: f[[*NAMES[:10], "id", *NAMES[10:]]]), "")
    assert (pixels_in(table).reshape(5, 36) == PIXELS).all()


def changed(row, column, value):
    def change(frame):
        frame = frame.astype({column: object})
        frame.loc[row, column] = value
        return frame

    return change


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", r"row 4: pixel column 'pixel7' is empty"),
        ("x", r"cannot be read as a table of pixels .*'x'"),
        ("300.5", None),
        ("-1", "has pixels from -1 to"),
        ("nan", r"row 4: pixel column .pixel7. is empty"),
    ],
)
def test_bad_pixels(tmp_path, value, message):
    path = written(tmp_path, changed(2, "pixel7", value))
    if message is None:  # 0..65535 is a scale of its own
        assert pixels_in(open_table(path, "")).max() <= 255
        return
    with pytest.raises(FoldwiseError, match=message):
        open_table(path, "")


@pytest.mark.parametrize(
    ("header", "count"),
    [
        (["label", *(f"pixel{i}" for i in range(784))], 784),
        ([*(f"pixel_{i}" for i in range(1, 65)), "label"], 64),
        ([str(i) for i in range(100)], 100),
        ([f"{r}x{c}" for r in range(1, 7) for c in range(1, 7)], 36),
        (["id", *(f"feature{i}" for i in range(100))], 0),
        (["id", *(f"pixel{i}" for i in range(10))], 0),  # too few
        (["id", *(f"pixel{2 * i}" for i in range(50))], 0),  # gaps
        (["id", "label"], 0),
    ],
)
def test_what_looks_like_pixels(header, count):
    assert len(pixel_columns(header)) == count


def test_a_column_a_class_is_no_pixel(tmp_path):
    """A hundred classes called 0 … 99, one-hot."""
    frame = pd.DataFrame(np.eye(100, dtype=int), columns=map(str, range(100)))
    frame.insert(0, "id", [f"i{n}" for n in range(100)])
    frame.to_csv(tmp_path / "train.csv", index=False)
    table = open_table(tmp_path / "train.csv", "")
    assert IMAGE not in table.frame and len(table.names) == 101


def test_parquet_cells_as_text(tmp_path):
    frame = pd.DataFrame(
        {"whole": [1.0, None], "real": [0.5, 2.0], "many": [["a", "b"], []], "yes": [True, False]}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    table = open_table(tmp_path / "t.parquet", "")
    assert {name: table.column(name) for name in table.names} == {
        "whole": ["1", ""],
        "real": ["0.5", "2.0"],
        "many": ["a|b", ""],
        "yes": ["1", "0"],
    }


def test_cells_of_pixels_must_be_as_long(tmp_path):
    rows = [" ".join(["7"] * n) for n in (64, 63)]
    pd.DataFrame({"emotion": [0, 1], "pixels": rows}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(
        FoldwiseError, match="row 3: column 'pixels' has 63 pixels and 64 in the fi"
    ):
        open_table(tmp_path / "t.csv", "")
