from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from foldwise.errors import FoldwiseError
from foldwise.images.load import JoinedImages, ResidentImages, StreamedImages, open_images
from foldwise.images.pack import Look

CPU = torch.device("cpu")


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    rng = np.random.default_rng(0)
    paths = [str(tmp_path / f"{n}.png") for n in range(50)]
    for path in paths:
        cv2.imwrite(path, rng.integers(0, 256, (10, 9, 3)).astype(np.uint8))
    return paths


def test_resident_and_streamed_images_are_the_same_bytes(files: list[str]) -> None:
    resident = open_images(files, Look(8, 3), CPU, 2, resident_gb=1.0)
    streamed = open_images(files, Look(8, 3), CPU, 2, resident_gb=0.0)
    assert isinstance(resident, ResidentImages)
    assert isinstance(streamed, StreamedImages)
    order = np.random.default_rng(1).permutation(50)
    parts = np.array_split(order, 7)
    for one, two in zip(resident.batches(parts), streamed.batches(parts), strict=True):
        assert one.shape[1:] == (8, 8, 3)
        assert torch.equal(one, two)


def test_the_number_of_threads_changes_nothing(files: list[str]) -> None:
    parts = [np.arange(50)[::-1].copy()]
    batches = [next(StreamedImages(files, Look(8, 1), CPU, n).batches(parts)) for n in (1, 5)]
    assert torch.equal(*batches)


def test_a_file_that_breaks_in_mid_training_is_named(files: list[str]) -> None:
    images = StreamedImages(files, Look(8, 3), CPU, 2)
    Path(files[7]).write_bytes(b"")
    with pytest.raises(FoldwiseError, match=r"7\.png is empty"):
        list(images.batches([np.arange(50)]))


def test_leaving_early_ends_the_threads(files: list[str]) -> None:
    import threading

    before = threading.active_count()
    batches = StreamedImages(files, Look(8, 3), CPU, 3).batches([np.arange(10)] * 5)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


@pytest.mark.parametrize("resident_gb", [0.0, 1.0])
def test_two_sets_are_one_in_any_order(files: list[str], resident_gb: float) -> None:
    whole = open_images(files, Look(8, 3), CPU, 2, resident_gb=1.0)
    places = np.random.default_rng(2).permutation(20)[:15]
    first = open_images(files[:30], Look(8, 3), CPU, 2, resident_gb=1.0)
    second = open_images(files[30:], Look(8, 3), CPU, 2, resident_gb)
    joined = JoinedImages(first, 30, second, places)
    order = np.random.default_rng(1).permutation(45)
    parts = [*np.array_split(order, 7), np.arange(5), np.arange(40, 45)]  # also of one set alone
    there = np.concatenate([np.arange(30), 30 + places])
    expected = whole.batches([there[part] for part in parts])
    for one, two in zip(joined.batches(parts), expected, strict=True):
        assert torch.equal(one, two)
