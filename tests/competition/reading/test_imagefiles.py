"""Image files are indexed once and found by id, strictly before loosely, and fast."""

from pathlib import Path

import pytest

from foldwise.competition.reading.imagefiles import (
    ImageFiles,
    images_of,
    index_images,
    match,
    named_root,
)
from foldwise.errors import FoldwiseError


def files(*paths, inside="", folder="/c"):
    return ImageFiles(folder, inside, sorted(paths))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("1", "train/1.png"),
        ("1.png", "train/1.png"),
        ("train/1", "train/1.png"),
        ("train\\1.png", "train/1.png"),
        ("./1.png", "train/1.png"),
        ("/kaggle/input/c/train/1.png", "train/1.png"),
        ("../input/train/1.png", "train/1.png"),
        ("a.b", "train/a.b.jpg"),
        ("deep", "train/x/y/deep.jpg"),
        ("y/deep.jpg", "train/x/y/deep.jpg"),
        ("DEEP.JPG", "train/x/y/deep.jpg"),
        (" 1", "train/1.png"),
        ("1.jpg", "train/1.png"),
        ("ñ", "train/Ñ.png"),
        ("2", ""),
        ("z/1", ""),
        ("z/deep", ""),
        ("1.png.png", ""),
        ("", ""),
        ("/", ""),
        ("png", ""),
    ],
)
def test_match(name, path):
    images = files(
        "train/1.png", "train/a.b.jpg", "train/x/y/deep.jpg", "train/Ñ.png", inside="train/"
    )
    assert match([name], images, "train") == ([f"/c/{path}"] if path else [""])


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("1", "train/1.png"),
        ("masks/1", "train/masks/1.png"),
        ("A", "train/A.png"),
        ("a", "train/a.png"),
    ],
)
def test_the_stricter_fit_wins(name, path):
    images = files(
        "train/1.png", "train/masks/1.png", "train/A.png", "train/a.png", inside="train/"
    )
    assert match([name], images, "train") == [f"/c/{path}"]


def test_two_that_fit():
    with pytest.raises(
        FoldwiseError,
        match=r"test id .* fits two images, a/1.png and b/1.jpg .*competition.test_images=FOLDER",
    ):
        match(["1"], files("a/1.png", "b/1.jpg"), "test")


@pytest.mark.parametrize(
    ("paths", "root"),
    [
        (["train/1.png"], "train/"),
        (["Train_Images/1.png", "train_masks/1.png"], "Train_Images/"),
        (["train/1.png", "train_images/1.png"], "train/"),
        (["images/train/1.png", "images/test/1.png"], "images/train/"),
        (["masks/train/1.png", "images/train/1.png"], "images/train/"),
        (["a/train/1.png", "b/train/1.png"], None),
        (["x/train/1.png", "x/test/1.png"], "x/train/"),
        (["train/train/1.png"], "train/train/"),
        (["train/images/1.png"], "train/images/"),
        (["train/cat/1.png"], "train/"),
        (["a/b/train/1.png"], None),
        (["trainers/1.png", "1.png"], None),
    ],
)
def test_named_root(paths, root):
    assert named_root("train", files(*paths)) == root


def test_train_and_test_keep_apart():
    images = files("test/1.png", "photos/1.png", "photos/2.png")
    assert images_of("train", images, "").paths == ["photos/1.png", "photos/2.png"]
    assert images_of("test", images, "").paths == ["test/1.png"]


def test_index_takes_images_only(tmp_path):
    names = [
        "a.PNG",
        "b/c.jpeg",
        "b/.hidden.png",
        ".ipynb_checkpoints/a.png",
        "__MACOSX/a.png",
        "x.txt",
        "y.webp/z.gif",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert index_images(tmp_path).paths == ["a.PNG", "b/c.jpeg", "y.webp/z.gif"]


def test_50_000_ids_are_found_whatever_way_leads_to_them():
    paths = [f"train/{i % 100}/{i}/image.jpg" for i in range(50_000)]
    images = files(*paths, inside="train/")
    for ids in (
        paths,
        [f"{Path(p).parent.name}\\IMAGE" for p in paths],
        [f"/kaggle/input/c/{p}" for p in paths],
    ):
        assert all(match(ids, images, "train"))
