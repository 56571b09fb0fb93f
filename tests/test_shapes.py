"""Every layout and every task, from a folder of Kaggle's kind to a submission that is right."""

import pickle
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from foldwise.provenance import read_table
from helpers import Ended

SIDE, TRAIN, TEST = 8, 60, 15
CLASSES = ["cat", "dog", "owl"]
COLOURS = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200]])
WORDS = ("fold=0..1", "folds.k=2", "train.epochs=20", "train.batch_size=10", "train.ema=0",
         "optimizer.lr=0.01", "model.args={widths: [8]}", "images.size=8")  # fmt: skip


def pixels(labels: np.ndarray, seed: int) -> np.ndarray:
    """uint8 (n, 8, 8, 3): each class has a colour, under noise."""
    noise = np.random.default_rng(seed).normal(0, 25, (len(labels), SIDE, SIDE, 3))
    return (COLOURS[labels][:, None, None] + noise).clip(0, 255).astype(np.uint8)


LABELS, TRUTH = np.arange(TRAIN) % 3, (np.arange(TEST) * 2) % 3
IMAGES, TEST_IMAGES = pixels(LABELS, 0), pixels(TRUTH, 1)
GRAY, TEST_GRAY = (x[..., 1] // 2 + x[..., 2] // 4 for x in (IMAGES, TEST_IMAGES))


def png(image: np.ndarray) -> bytes:
    coded = image[..., ::-1] if image.ndim == 3 else image
    return cv2.imencode(".png", coded)[1].tobytes()


def sample(
    folder: Path, ids: list[str], cells: object = "0", names: tuple[str, str] = ("id", "label")
) -> None:
    table = pd.DataFrame({names[0]: ids, names[1]: cells})
    table.to_csv(folder / "sample_submission.csv", index=False)


def pixel_table(folder: Path) -> None:
    """The digit recognizer."""
    names = [f"pixel{i}" for i in range(SIDE * SIDE)]
    train = pd.DataFrame(GRAY.reshape(TRAIN, -1), columns=names)
    train.insert(0, "label", LABELS)
    train.to_csv(folder / "train.csv", index=False)
    pd.DataFrame(TEST_GRAY.reshape(TEST, -1), columns=names).to_csv(
        folder / "test.csv", index=False
    )
    sample(folder, [str(i + 1) for i in range(TEST)], names=("ImageId", "Label"))


def pixel_grid_with_ids(folder: Path) -> None:
    """Columns 1x1 … 8x8, and semicolons between."""
    names = [f"{r}x{c}" for r in range(1, 9) for c in range(1, 9)]
    for part, images, labels in (("train", GRAY, LABELS), ("test", TEST_GRAY, None)):
        table = pd.DataFrame(images.reshape(len(images), -1), columns=names)
        table.insert(0, "id", [f"{part}{i:03d}" for i in range(len(images))])
        if labels is not None:
            table.insert(1, "label", labels)
        table.to_csv(folder / f"{part}.csv", index=False, sep=";")


def pixel_cells(folder: Path) -> None:
    """The faces' emotions: all pixels in one cell."""
    rows = [" ".join(map(str, image.ravel())) for image in GRAY]
    pd.DataFrame({"emotion": LABELS, "pixels": rows}).to_csv(folder / "train.csv", index=False)
    rows = [" ".join(map(str, image.ravel())) for image in TEST_GRAY]
    pd.DataFrame({"id": range(TEST), "pixels": rows}).to_csv(folder / "test.csv", index=False)
    sample(folder, [str(i) for i in range(TEST)], names=("id", "emotion"))


def one_archive(folder: Path) -> None:
    np.savez(folder / "data.npz", x_train=IMAGES, y_train=LABELS[:, None], x_test=TEST_IMAGES)


def archive_of_floats(folder: Path) -> None:
    """0..1, channels first, in files of their own, as Kuzushiji's."""
    for part, images in (("train", IMAGES), ("test", TEST_IMAGES)):
        np.savez_compressed(folder / f"k-{part}-imgs.npz", np.moveaxis(images, 3, 1) / 255.0)
    np.savez_compressed(folder / "k-train-labels.npz", LABELS.astype(np.uint8))
    sample(folder, [str(i) for i in range(TEST)])


def arrays_beside_tables(folder: Path) -> None:
    np.save(folder / "train_images.npy", IMAGES)
    np.save(folder / "test_images.npy", TEST_IMAGES)
    ids = [f"a{i:02d}" for i in range(TRAIN)]
    pd.DataFrame({"id": ids, "label": LABELS}).to_csv(folder / "train.csv", index=False)
    sample(folder, [f"b{i:02d}" for i in range(TEST)])


def cifar_batches(folder: Path) -> None:
    """Python's pickles with planes of red, green and blue, and a test set without labels."""
    inside = folder / "cifar-10-batches-py"
    inside.mkdir()
    flat = np.moveaxis(IMAGES, 3, 1).reshape(TRAIN, -1)
    for number, rows in ((1, slice(0, 20)), (2, slice(20, 40)), (10, slice(40, 60))):
        names = [f"x_{i}.png".encode() for i in range(TRAIN)][rows]
        batch = {b"data": flat[rows], b"labels": LABELS[rows].tolist(), b"filenames": names}
        (inside / f"data_batch_{number}").write_bytes(pickle.dumps(batch, protocol=2))
    test = {b"data": TEST_IMAGES, b"ids": list(range(TEST))}
    (folder / "cifar_test_nolabel.pkl").write_bytes(pickle.dumps(test))
    sample(folder, [str(i) for i in range(TEST)], names=("ID", "Labels"))


def parquet_of_files(folder: Path) -> None:
    """Encoded images in structs, in two parts, as in many data sets of today."""
    (folder / "data").mkdir()
    rows = [
        {"image": {"bytes": png(i), "path": None}, "label": k}
        for i, k in zip(IMAGES, LABELS, strict=True)
    ]
    for number, part in enumerate((rows[:25], rows[25:])):
        pd.DataFrame(part).to_parquet(folder / "data" / f"train-0000{number}-of-00002.parquet")
    test = [
        {"id": f"t{i:02d}", "image": {"bytes": png(x), "path": None}}
        for i, x in enumerate(TEST_IMAGES)
    ]
    pd.DataFrame(test).to_parquet(folder / "data" / "test-00000-of-00001.parquet")


def parquet_of_pixels(folder: Path) -> None:
    """Bengali's: a table of labels, and pixels in parquet files that are joined by id."""
    ids = np.array([f"Train_{i}" for i in range(TRAIN)])
    order = np.random.default_rng(0).permutation(TRAIN)
    for number, rows in enumerate((order[:30], order[30:])):
        table = pd.DataFrame(
            GRAY[rows].reshape(len(rows), -1), columns=map(str, range(SIDE * SIDE))
        )
        table.insert(0, "image_id", ids[rows])
        table.to_parquet(folder / f"train_image_data_{number}.parquet")
    pd.DataFrame({"image_id": ids, "label": LABELS}).to_csv(folder / "train.csv", index=False)
    table = pd.DataFrame(TEST_GRAY.reshape(TEST, -1), columns=map(str, range(SIDE * SIDE)))
    table.insert(0, "image_id", [f"Test_{i}" for i in range(TEST)])
    table.to_parquet(folder / "test_image_data_0.parquet")
    sample(folder, [f"Test_{i}" for i in range(TEST)], names=("image_id", "label"))


def labels_in_names(folder: Path) -> None:
    """Cats and dogs: cat.12.png; the labels are words."""
    for part in ("train", "test1"):
        (folder / part).mkdir()
    for i, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True)):
        (folder / "train" / f"{CLASSES[label]}.{i}.png").write_bytes(png(image))
    for i, image in enumerate(TEST_IMAGES):
        (folder / "test1" / f"{i + 1}.png").write_bytes(png(image))
    sample(folder, [str(i + 1) for i in range(TEST)], "cat")


def an_image_a_channel(folder: Path) -> None:
    """The protein atlas: ID_blue.png, ID_green.png, ID_red.png, each gray."""
    for part, images in (("train", IMAGES), ("test", TEST_IMAGES)):
        (folder / part).mkdir()
        for i, image in enumerate(images):
            for channel, name in enumerate(("red", "green", "blue")):
                path = folder / part / f"{part}-{i:02d}_{name}.png"
                path.write_bytes(png(image[..., channel]))
    ids = [f"train-{i:02d}" for i in range(TRAIN)]
    pd.DataFrame({"Id": ids, "Target": LABELS}).to_csv(folder / "train.csv", index=False)
    sample(folder, [f"test-{i:02d}" for i in range(TEST)], names=("Id", "Predicted"))


def two_columns_of_files(folder: Path) -> None:
    """Two photographs a row, in colour, named in columns of the tables."""
    (folder / "photos").mkdir()
    for part, images, labels in (("train", IMAGES, LABELS), ("test", TEST_IMAGES, None)):
        rows = []
        for i, image in enumerate(images):
            names = [f"{part}{i}{side}.png" for side in "lr"]
            for name in names:
                (folder / "photos" / name).write_bytes(png(image))
            rows.append({"id": f"{part}_{i}", "left": names[0], "right": names[1]})
        table = pd.DataFrame(rows)
        if labels is not None:
            table["label"] = labels
        table.to_csv(folder / f"{part}.csv", index=False)


LAYOUTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "pixel table": (pixel_table, "images in the file itself"),
    "pixel grid": (pixel_grid_with_ids, "images in the file itself"),
    "pixel cells": (pixel_cells, "images in the file itself"),
    "npz": (one_archive, "60 rows of data.npz"),
    "npz of floats": (archive_of_floats, "60 rows of k-train-imgs.npz"),
    "npy": (arrays_beside_tables, "images in train_images.npy"),
    "pickles": (cifar_batches, "60 rows of cifar-10-batches-py/data_batch_1"),
    "parquet of files": (parquet_of_files, "60 rows of data/train-00000"),
    "parquet of pixels": (parquet_of_pixels, "images in train_image_data_0.parquet"),
    "file names": (labels_in_names, "labels in the file names (a word before a number)"),
    "an image a channel": (an_image_a_channel, "3 images a row in train/ (blue, green"),
    "two columns": (two_columns_of_files, "2 images a row, named in left, right"),
}


def shape(home: Path) -> Path:
    folder = home / "input" / "shape"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_from_folder_to_submission(
    name: str, home: Path, foldwise: Callable[..., Ended]
) -> None:
    write, said = LAYOUTS[name]
    write(shape(home))
    ended = foldwise("competition=shape", *WORDS)
    assert ended.code == 0, ended.err
    assert said in ended.err and "test: 15 " in ended.err
    submission = pd.read_csv(home / "submissions" / "shape-default.csv", dtype=str)
    truth = [CLASSES[k] if name == "file names" else str(k) for k in TRUTH]
    assert (submission.iloc[:, -1] == truth).mean() > 0.8, submission
    path = home / "input" / "shape" / "sample_submission.csv"
    if path.exists():
        wanted = pd.read_csv(path, dtype=str)
        assert list(submission.columns) == list(wanted.columns)
        assert submission.iloc[:, 0].equals(wanted.iloc[:, 0])


# Tasks --------------------------------------------------------------------------------------------


def photographs(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The images as files, and tables of their ids."""
    tables = []
    for part, images in (("train", IMAGES), ("test", TEST_IMAGES)):
        (folder / part).mkdir()
        ids = [f"{part}{i:02d}" for i in range(len(images))]
        for name, image in zip(ids, images, strict=True):
            (folder / part / f"{name}.png").write_bytes(png(image))
        tables.append(pd.DataFrame({"id": ids}))
    return tables[0], tables[1]


FLAGS, TRUE_FLAGS = (
    np.eye(3, dtype=int)[k] | (k == 2)[:, None] * [1, 0, 0] for k in (LABELS, TRUTH)
)


def labels_in_a_cell(folder: Path) -> Callable[[pd.DataFrame], float]:
    train, test = photographs(folder)
    cells = [" ".join(str(c) for c in np.flatnonzero(row)) for row in FLAGS]
    train.assign(Target=cells).to_csv(folder / "train.csv", index=False)
    test.assign(Predicted="0 2").to_csv(folder / "sample_submission.csv", index=False)
    truth = [" ".join(str(c) for c in np.flatnonzero(row)) for row in TRUE_FLAGS]
    return lambda table: float((table["Predicted"] == truth).mean())


def a_column_a_label(folder: Path) -> Callable[[pd.DataFrame], float]:
    train, test = photographs(folder)
    for i, name in enumerate(("rust", "healthy", "scab")):
        train[name], test[name] = FLAGS[:, i], 0.5
    train.to_csv(folder / "train.csv", index=False)
    test.to_csv(folder / "sample_submission.csv", index=False)
    return lambda table: float(
        ((table[["rust", "healthy", "scab"]].astype(float).to_numpy() > 0.5) == TRUE_FLAGS).mean()
    )


def a_column_a_class(folder: Path) -> Callable[[pd.DataFrame], float]:
    """One of the columns is 1: multiclass."""
    train, test = photographs(folder)
    for i, name in enumerate(CLASSES):
        train[name], test[name] = (i == LABELS).astype(int), 0.25
    train.to_csv(folder / "train.csv", index=False)
    test.to_csv(folder / "sample_submission.csv", index=False)
    return lambda table: float((table[CLASSES].astype(float).to_numpy().argmax(1) == TRUTH).mean())


def grades(folder: Path) -> Callable[[pd.DataFrame], float]:
    train, test = photographs(folder)
    train.assign(diagnosis=LABELS).to_csv(folder / "train.csv", index=False)
    test.assign(diagnosis=0).to_csv(folder / "sample_submission.csv", index=False)
    return lambda table: float((table["diagnosis"].astype(int) == TRUTH).mean())


def numbers(folder: Path) -> Callable[[pd.DataFrame], float]:
    train, test = photographs(folder)
    train.assign(score=LABELS * 30.5 + 100).to_csv(folder / "train.csv", index=False)
    test.assign(score=0).to_csv(folder / "sample_submission.csv", index=False)
    return lambda table: float(
        (abs(table["score"].astype(float) - (TRUTH * 30.5 + 100)) < 15).mean()
    )


def two_numbers(folder: Path) -> Callable[[pd.DataFrame], float]:
    train, test = photographs(folder)
    train.assign(x=LABELS * 2.5, y=-LABELS * 1000).to_csv(folder / "train.csv", index=False)
    test.assign(y=0, x=0).to_csv(folder / "sample_submission.csv", index=False)
    return lambda table: float(
        (abs(table["x"].astype(float) - TRUTH * 2.5) < 1.25).mean()
        * (abs(table["y"].astype(float) + TRUTH * 1000) < 500).mean()
    )


def two_classes(folder: Path) -> Callable[[pd.DataFrame], float]:
    train, test = photographs(folder)
    train.assign(has_cactus=(LABELS > 0).astype(int)).to_csv(folder / "train.csv", index=False)
    test.assign(has_cactus=0.5).to_csv(folder / "sample_submission.csv", index=False)
    return lambda table: float(((table["has_cactus"].astype(float) > 0.5) == (TRUTH > 0)).mean())


LOG_LOSS = "competition.metric=log_loss"
KAPPA = "quadratic_weighted_kappa"
SOFTMAX = ("competition.task=ordinal", "loss.name=cross_entropy")
TASK_RUNS = {
    "labels in a cell": (labels_in_a_cell, (), "multilabel", "f1_macro"),
    "a column a label": (a_column_a_label, (), "multilabel", "roc_auc"),
    "a column a class": (a_column_a_class, (LOG_LOSS,), "multiclass", "log_loss"),
    "grades": (grades, (f"competition.metric={KAPPA}",), "ordinal", KAPPA),
    "grades by cross-entropy": (grades, SOFTMAX, "ordinal", KAPPA),
    "a number": (numbers, (), "regression", "rmse"),
    "two numbers": (two_numbers, ("loss.name=smooth_l1", "train.ema=0.9"), "regression", "rmse"),
    "two classes": (two_classes, ("competition.metric=roc_auc",), "multiclass", "roc_auc"),
    "classes by bce": (grades, ("loss.name=bce",), "multiclass", "accuracy"),
}  # fmt: skip


@pytest.mark.parametrize("name", TASK_RUNS)
def test_task_from_folder_to_submission(
    name: str, home: Path, foldwise: Callable[..., Ended]
) -> None:
    write, words, task, metric = TASK_RUNS[name]
    right = write(shape(home))
    ended = foldwise("competition=shape", *WORDS, *words)
    assert ended.code == 0, ended.err
    assert f"; {task}, " in ended.err and metric in ended.out
    submission = pd.read_csv(
        home / "submissions" / "shape-default.csv", dtype=str, keep_default_na=False
    )
    wanted = pd.read_csv(home / "input" / "shape" / "sample_submission.csv", dtype=str)
    assert list(submission.columns) == list(wanted.columns)
    assert submission["id"].equals(wanted["id"])
    assert right(submission) > 0.8, submission
    oof, _ = read_table(home / "oof" / "shape-default" / "oof.parquet")
    prefix = "pred_" if task == "regression" else "prob_"
    values = oof[[c for c in oof if c.startswith(prefix)]].to_numpy()
    assert values.dtype == np.float32 and len(oof) == TRAIN
    if task == "multilabel":
        given = ["0", "1", "2"] if name == "labels in a cell" else ["rust", "healthy", "scab"]
        assert oof[[f"label_{c}" for c in given]].to_numpy().tolist() == FLAGS.tolist()
        assert ((values >= 0) & (values <= 1)).all()
    elif task != "regression":
        np.testing.assert_allclose(values.sum(1), 1, atol=1e-5)
    again = foldwise("submission", "run=shape-default")
    assert again.code == 0, again.err
    assert (home / "submissions" / "shape-default.csv").read_text() == submission.to_csv(
        index=False, lineterminator="\n"
    )


# Packs of real images beside the clone ------------------------------------------------------------

PACKS = Path(__file__).resolve().parents[2] / "shared" / "data"
ROWS = {"flowers12": (624, 336, 12), "signs": (1_341, 719, 10), "cifar10": (50_000, 10_000, 10)}


@pytest.mark.parametrize("name", ROWS)
def test_a_pack_by_its_path_alone(name: str, home: Path, foldwise: Callable[..., Ended]) -> None:
    """The zip as it was downloaded; two batches through a small network."""
    if not (PACKS / f"{name}.zip").is_file():
        pytest.skip(f"there is no {name}.zip in a folder shared/data beside the clone")
    small = ("model.name=convnet2", "model.args={widths: [4]}", "images.size=16", "debug=true")
    ended = foldwise(f"competition={PACKS / name}.zip", "fold=0", *small)
    assert ended.code == 0, ended.err
    train, test, classes = ROWS[name]
    assert f"train: {train:,} rows of train.csv, an image a row in train/" in ended.err
    assert f"multiclass, {classes} classes" in ended.err and f"test: {test:,} rows" in ended.err
    oof, _ = read_table(home / "oof" / f"{name}-default-debug" / "oof.parquet")
    assert len(oof) == pytest.approx(train / 5, abs=classes)
