"""Tables are text, verbatim, with the row numbers of a spreadsheet."""

import pytest

from foldwise.competition.reading.tables import find_tables, read_table
from foldwise.config import Competition
from foldwise.errors import FoldwiseError


@pytest.fixture
def table(tmp_path):
    def read(data: bytes):
        (tmp_path / "t.csv").write_bytes(data)
        return read_table(tmp_path / "t.csv")

    return read


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_cells_are_verbatim(table, end, bom):
    read = table(bom + end.join([b"id,label", b'0001,"a,b"', b"NA, x ", b'"say ""hi""",', b""]))
    assert list(read.frame.columns) == ["id", "label"]
    assert read.frame.to_numpy().tolist() == [["0001", "a,b"], ["NA", " x "], ['say "hi"', ""]]


@pytest.mark.parametrize("separator", [b",", b";", b"\t", b"|"])
def test_separators(table, separator):
    assert table(b"id,label\n1,2\n".replace(b",", separator)).column("label") == ["2"]


def test_rows_are_numbered_as_in_a_spreadsheet(table):
    read = table(b'id,label\n\n1,a\n"2\nx",b\n\n3,c\n')
    assert read.frame.index.tolist() == [3, 4, 6]
    assert read.rows([1]) == "row 4" and read.rows([0, 2]) == "rows 3, 6"


def test_empty_cells_behind_the_last_column_are_nothing(table):
    assert table(b"id,label\n1,2,,\n").column("label") == ["2"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "t.csv is empty"),
        (b"\xef\xbb\xbf", "t.csv is empty"),
        (b"id,label\n1,2,3\n", "row 2 has 3 cells where the header has 2"),
        (b"id,label\n1,\xff\n", "row 2 is not UTF-8"),
        ("id,label\n1,2\n".encode("utf-16"), "row 1 is not UTF-8"),
        ("id,label\n1,2\n".encode("utf-16-le"), "row 1 is not UTF-8"),
        (b"id,label\n1," + b"x" * 200_000, r"row 2 cannot be read as a table \(field larger"),
    ],
)
def test_unreadable(table, data, message):
    with pytest.raises(FoldwiseError, match=message) as caught:
        table(data)
    assert "\n" not in str(caught.value)


def test_absent(tmp_path):
    with pytest.raises(FoldwiseError, match=r"no.csv cannot be read"):
        read_table(tmp_path / "no.csv")


@pytest.mark.parametrize(
    ("names", "train", "test", "sample"),
    [
        (
            ["train.csv", "test.csv", "sample_submission.csv"],
            "train.csv",
            "test.csv",
            "sample_submission.csv",
        ),
        (["labels.csv", "train.csv"], "train.csv", None, None),
        (["Train_Labels.CSV", "folds.csv", "corrections.csv"], "Train_Labels.CSV", None, None),
        (
            ["trainLabels.csv", "SampleSubmission.csv"],
            "trainLabels.csv",
            None,
            "SampleSubmission.csv",
        ),
        (["train.csv", "gender_submission.csv"], "train.csv", None, "gender_submission.csv"),
        (
            ["train.csv", "sample_submission.csv", "submission.csv"],
            "train.csv",
            None,
            "sample_submission.csv",
        ),
        (["folds.csv", "solution.csv", "test_labels.csv", "corrections.csv"], None, None, None),
    ],
)
def test_found_by_name(tmp_path, names, train, test, sample):
    for name in names:
        (tmp_path / name).write_text("id\n")
    found = find_tables(tmp_path, Competition())
    assert [path and path.name for path in (found.train, found.test, found.sample)] == [
        train,
        test,
        sample,
    ]
    assert {path.name for path in found.others} <= {train, "labels.csv"}
