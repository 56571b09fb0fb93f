"""Labels in file names, and rows with several images."""

import pytest

from foldwise.containers import JOINED
from foldwise.errors import FoldwiseError, UsageError


def labels_of(data):
    return dict(zip(data.train["id"], data.train["label"], strict=True))


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["cat.0.png", "cat.1.png", "dog.0.png", "dog.1.png"], ["cat", "cat", "dog", "dog"]),
        (["Maine_Coon_1.png", "Maine_Coon_22.png", "pug_1.png", "pug_3.png"],
         ["Maine_Coon", "Maine_Coon", "pug", "pug"]),
        (["1_cat.png", "2_cat.png", "1-dog.png", "2-dog.png"], ["dog", "cat", "dog", "cat"]),
    ],
)  # fmt: skip
def test_labels_in_names(read, names, labels):
    data = read({}, [f"train/{name}" for name in names])
    found = labels_of(data)
    assert sorted(found.values()) == sorted(labels)
    assert all(label in name for name, label in found.items())


NUMBERS = [f"train/{a}_{b}.png" for a in range(2) for b in range(2)]


def test_two_numbers_can_be_read_in_two_ways(read):
    with pytest.raises(FoldwiseError, match=r"the first of two numbers .*or the last of two numbe"):
        read({}, NUMBERS)
    first = labels_of(read({}, NUMBERS, competition__pattern=r"^(?P<label>\d+)_"))
    assert all(name.startswith(label) for name, label in first.items())
    last = labels_of(read({}, NUMBERS, competition__pattern=r"_(?P<label>\d+)$"))
    assert all(name.endswith(f"_{label}.png") for name, label in last.items())


@pytest.mark.parametrize(
    ("pattern", "error", "message"),
    [
        ("(", UsageError, r"no regular expression with a group named label"),
        (r"\d+", UsageError, r"group named label"),
        ("(?P<label>x)", FoldwiseError, r"finds no label in 4 file names .*: 0_0, 0_1"),
    ],
)
def test_bad_patterns(read, pattern, error, message):
    with pytest.raises(error, match=message):
        read({}, NUMBERS, competition__pattern=pattern)


def test_names_without_a_label(read):
    with pytest.raises(FoldwiseError, match="no train table, no arrays and no folder a class"):
        read({}, [f"train/{n:04}.png" for n in range(6)])


def parts_of(data):
    return [[part.rsplit("/", 1)[-1] for part in file.split(JOINED)] for file in data.train["file"]]


TABLE = {"train.csv": "id,label\na,1\na_b,2\n"}


def test_endings_of_the_longest_id(read):
    images = [f"train/{name}_{end}.png" for name in ("a", "a_b") for end in ("red", "blue")]
    data = read(TABLE, images)
    assert parts_of(data) == [["a_blue.png", "a_red.png"], ["a_b_blue.png", "a_b_red.png"]]


def test_a_folder_a_row(read):
    images = [f"train/{name}/{end}.png" for name in ("a", "a_b") for end in ("left", "right")]
    assert parts_of(read(TABLE, images)) == [["left.png", "right.png"]] * 2


def test_rows_with_other_numbers_of_images(read):
    images = ["train/a/1.png", "train/a/2.png", "train/a_b/1.png"]
    with pytest.raises(FoldwiseError, match=r"id '.*' has the images .* most others have"):
        read(TABLE, images)


def test_columns_of_files(read):
    table = "id,l,r,label\n1,a.png,b.png,0\n2,c.png,d.png,1\n"
    data = read({"train.csv": table}, [f"pics/{n}.png" for n in "abcd"])
    assert parts_of(data) == [["a.png", "b.png"], ["c.png", "d.png"]]
    data = read({}, competition__columns__path="r,l")
    assert parts_of(data) == [["b.png", "a.png"], ["d.png", "c.png"]]
    data = read({}, competition__columns__path="l")
    assert parts_of(data) == [["a.png"], ["c.png"]]
