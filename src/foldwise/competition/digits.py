"""The embedded competition: scikit-learn's handwritten digits as a folder of Kaggle's kind."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

from foldwise.files import atomic_folder

SEED = 0
TEST_SHARE = 0.2


def write_digits(folder: Path) -> None:
    """Writes the 1,797 digits (8x8, gray) as train/, test/ and tables, unless they are there.

    The folder appears complete or not at all, and is the same on every machine: the random numbers
    are NumPy's legacy ones, which are frozen, and not those of a version of scikit-learn.
    """
    digits = load_digits()
    random = np.random.RandomState(SEED)
    order = random.permutation(len(digits.target))
    pixels = np.rint(digits.images[order] * (255 / 16)).astype(np.uint8)
    labels = digits.target[order]
    part = _parts(labels, random)
    rows = pd.DataFrame(
        {"id": [f"{i:04d}" for i in range(1, len(labels) + 1)], "label": labels, "Usage": part}
    )
    try:
        with atomic_folder(folder) as new:
            _write_images(new, pixels, rows)
            _write_tables(new, rows)
    except FileExistsError:  # another process was faster, with the same bytes
        if not folder.is_dir():
            raise


def _parts(labels: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Train, Public or Private for each row: a fifth of every class is test, half of it public."""
    part = np.full(len(labels), "Train", dtype=object)
    for digit in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == digit))
        test = rows[: round(TEST_SHARE * len(rows))]
        part[test[::2]] = "Public"
        part[test[1::2]] = "Private"
    return part


def _write_images(folder: Path, pixels: np.ndarray, rows: pd.DataFrame) -> None:
    for name in ("train", "test"):
        (folder / name).mkdir()
    for image, name, part in zip(pixels, rows["id"], rows["Usage"], strict=True):
        data = cv2.imencode(".png", image)[1].tobytes()
        (folder / ("train" if part == "Train" else "test") / f"{name}.png").write_bytes(data)


def _write_tables(folder: Path, rows: pd.DataFrame) -> None:
    train = rows[rows["Usage"] == "Train"]
    test = rows[rows["Usage"] != "Train"]
    train[["id", "label"]].to_csv(folder / "train.csv", index=False)
    test[["id"]].to_csv(folder / "test.csv", index=False)
    test[["id"]].assign(label=0).to_csv(folder / "sample_submission.csv", index=False)
    test.to_csv(folder / "solution.csv", index=False)
