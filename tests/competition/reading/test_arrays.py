"""Arrays are read whole and harmless, or refused with the file's name."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from foldwise import containers
from foldwise.errors import FoldwiseError, UsageError

IMAGES = np.random.RandomState(0).randint(0, 256, (6, 8, 8, 3)).astype(np.uint8)
LABELS = np.arange(6) % 2


def pixels_of(data):
    return np.stack([containers.read(name) for name in data.train["file"]])


def saved(place, **arrays):
    folder = place({})
    np.savez(folder / "data.npz", **arrays)


def test_every_number_type_gives_the_same_pixels(read, place):
    for values in (IMAGES, IMAGES / 255, IMAGES.astype(np.int64), np.moveaxis(IMAGES, 3, 1)):
        saved(place, x_train=values, y_train=LABELS)
        assert (pixels_of(read({})) == IMAGES).all()
    saved(place, x_train=IMAGES.astype(np.uint16) * 257, y_train=LABELS)
    assert (pixels_of(read({})) == IMAGES).all()


def test_labels_of_every_shape(read, place):
    for labels in (LABELS, LABELS[:, None], LABELS.astype(float), LABELS.astype(str)):
        saved(place, x_train=IMAGES, y_train=labels)
        data = read({})
        assert data.train["label"].tolist() == ["0", "1"] * 3
    saved(place, x_train=IMAGES, y_train=np.eye(2, dtype=int)[LABELS])
    assert read({}).targets.values.tolist() == LABELS.tolist()


class Attack:
    def __reduce__(self):
        return os.system, ("touch pwned",)


@pytest.mark.parametrize("name", ["data_batch_1", "train.pkl"])
def test_no_pickle_is_run(read, place, home, name):
    content = pickle.dumps({"data": IMAGES, "labels": LABELS.tolist(), "x": Attack()})
    with pytest.raises(
        FoldwiseError, match=rf"{name} cannot be read as arrays .*run posix\.system"
    ):
        read({name: content})
    assert not list(home.rglob("pwned")) and not Path("pwned").exists()


def test_an_array_of_objects_is_not_loaded(read, place, home):
    np.save(place({}) / "train.npy", np.array([Attack()], dtype=object))
    with pytest.raises(FoldwiseError, match=r"train\.npy cannot be read as arrays"):
        read({})
    assert not list(home.rglob("pwned"))


def test_two_sets_of_labels_are_named(read, place):
    batch = {"data": IMAGES, "fine_labels": [3, 1] * 3, "coarse_labels": [0, 2, 2] * 2}
    content = {"train": pickle.dumps(batch)}
    with pytest.raises(
        FoldwiseError, match=r"fine_labels, coarse_labels: say competition\.columns\.label"
    ):
        read(content, competition__columns__label="")
    data = read(content, competition__columns__label="coarse_labels")
    assert data.targets.values.tolist() == [0, 1, 1] * 2


def test_two_test_sets_are_named(read, place):
    folder = place({})
    np.savez(folder / "train.npz", x=IMAGES, y=LABELS)
    for name in ("test_batch.pkl", "test_nolabel.pkl"):
        (folder / name).write_bytes(pickle.dumps({"data": IMAGES[:4]}))
    with pytest.raises(
        FoldwiseError, match=r"could both be the test images.*test_images=test_batch"
    ):
        read({})
    data = read({}, competition__test_images="test_nolabel.pkl")
    assert len(data.test) == 4 and "test_nolabel" in data.test["file"][0]


def test_as_many_labels_as_images(read, place):
    saved(place, x_train=IMAGES, y_train=LABELS[:5])
    with pytest.raises(FoldwiseError, match=r"y_train has 5 rows and .*x_train 6 images"):
        read({})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (IMAGES - 300.0, "pixels from -300 to"),
        (np.full((6, 8, 8), np.nan), "pixels from nan to nan"),
        (np.zeros((6, 8, 8, 5)), "has the shape .6, 8, 8, 5.: images are"),
    ],
)
def test_numbers_that_are_no_pixels(read, place, values, message):
    saved(place, x_train=values, y_train=LABELS)
    with pytest.raises(FoldwiseError, match=message):
        read({})


def flat_rows(pixels, rows=6):
    return np.random.RandomState(1).randint(0, 256, (rows, pixels)).astype(np.uint8)


def test_flat_colours_can_be_two_things(read, place):
    flat = flat_rows(192)
    saved(place, x_train=flat, y_train=LABELS)
    with pytest.raises(FoldwiseError, match=r"pixels=8x8x3 .* or competition.pixels=3x8x8"):
        read({})
    assert (pixels_of(read({}, competition__pixels="8x8x3")) == flat.reshape(6, 8, 8, 3)).all()
    planes = pixels_of(read({}, competition__pixels="3x8x8"))
    assert (planes == np.moveaxis(flat.reshape(6, 3, 8, 8), 1, 3)).all()


def test_rectangles_are_said(read, place):
    flat = flat_rows(60)
    saved(place, x_train=flat, y_train=LABELS)
    with pytest.raises(
        FoldwiseError, match=r"no square: say .* competition.pixels=HxW, such as 6x10"
    ):
        read({})
    assert (pixels_of(read({}, competition__pixels="10x6")) == flat.reshape(6, 10, 6)).all()
    for wrong in ("10x7", "10", "0x60", "axb"):
        with pytest.raises(UsageError, match=f"competition.pixels={wrong}"):
            read({}, competition__pixels=wrong)
