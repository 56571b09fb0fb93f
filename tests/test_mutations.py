"""Damaged copies of small competitions: each works, or ends with one line and the right code.

Every case is a kind of competition and what happened to its files on somebody's machine.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers import Ended, write_competition

SIDE = 6


def table_and_images(folder: Path) -> None:
    write_competition(folder, rows=24, side=SIDE)
    pd.read_csv(folder / "sample_submission.csv")[["id"]].to_csv(folder / "test.csv", index=False)


def class_folders(folder: Path) -> None:
    write_competition(folder, rows=24, side=SIDE)
    for name, label in pd.read_csv(folder / "train.csv").itertuples(index=False):
        (folder / "train" / label).mkdir(exist_ok=True)
        (folder / "train" / f"{name}.png").rename(folder / "train" / label / f"{name}.png")
    (folder / "train.csv").unlink()


def pixel_tables(folder: Path) -> None:
    folder.mkdir(parents=True)
    source = np.random.default_rng(0)
    names = [f"pixel{i}" for i in range(SIDE * SIDE)]
    train = pd.DataFrame(source.integers(0, 256, (24, 36)), columns=names)
    train.insert(0, "label", np.arange(24) % 3)
    train.to_csv(folder / "train.csv", index=False)
    test = pd.DataFrame(source.integers(0, 256, (8, 36)), columns=names)
    test.to_csv(folder / "test.csv", index=False)
    sample = pd.DataFrame({"ImageId": range(1, 9), "Label": 0})
    sample.to_csv(folder / "sample_submission.csv", index=False)


def several_labels(folder: Path) -> None:
    write_competition(folder, rows=24, side=SIDE)
    train = pd.read_csv(folder / "train.csv")
    train["label"] = [
        " ".join(str(k) for k in range(3) if n >> k & 1) for n in [1, 2, 4, 5, 3, 7] * 4
    ]
    train.to_csv(folder / "train.csv", index=False)
    sample = pd.read_csv(folder / "sample_submission.csv").assign(label="0 1")
    sample.to_csv(folder / "sample_submission.csv", index=False)


def numbers(folder: Path) -> None:
    write_competition(folder, rows=24, side=SIDE)
    train = pd.read_csv(folder / "train.csv").assign(label=np.linspace(0.5, 9.7, 24).round(2))
    train.to_csv(folder / "train.csv", index=False)
    sample = pd.read_csv(folder / "sample_submission.csv").assign(label=0.0)
    sample.to_csv(folder / "sample_submission.csv", index=False)


def arrays(folder: Path) -> None:
    folder.mkdir(parents=True)
    source = np.random.default_rng(0)
    images = source.integers(0, 256, (32, SIDE, SIDE, 3)).astype(np.uint8)
    np.savez(
        folder / "data.npz", x_train=images[:24], y_train=np.arange(24) % 3, x_test=images[24:]
    )
    sample = pd.DataFrame({"id": range(8), "label": 0})
    sample.to_csv(folder / "sample_submission.csv", index=False)


KINDS = [table_and_images, class_folders, pixel_tables, several_labels, numbers, arrays]

# What happens to a table: its text before -> its bytes after.
Change = Callable[[str], str | bytes | None]


def rows_of(text: str) -> list[str]:
    return text.splitlines()


def cells(text: str, change: Callable[[int, list[str]], list[str]]) -> str:
    lines = [change(n, line.split(",")) for n, line in enumerate(rows_of(text))]
    return "\n".join(",".join(line) for line in lines) + "\n"


def at(row: int, column: int, cell: str) -> Change:
    """Another cell; row 0 is the header."""

    def change(text: str) -> str:
        def one(n: int, line: list[str]) -> list[str]:
            if n == row and len(line) > abs(column) - (column < 0):
                line[column] = cell
            return line

        return cells(text, one)

    return change


def every(column: int, change: Callable[[str], str]) -> Change:
    """Each cell of a column but the header."""
    return lambda text: cells(
        text,
        lambda n, x: (
            x if n == 0 else [change(c) if i == column % len(x) else c for i, c in enumerate(x)]
        ),
    )


TABLE_CHANGES: dict[str, Change] = {
    "first column gone": lambda t: cells(t, lambda n, x: x[1:]),
    "last column gone": lambda t: cells(t, lambda n, x: x[:-1]),
    "last column twice": lambda t: cells(t, lambda n, x: [*x, x[-1]]),
    "first column twice": lambda t: cells(t, lambda n, x: [x[0], *x]),
    "a column called fold": lambda t: cells(t, lambda n, x: [*x, "fold" if n == 0 else str(n % 2)]),
    "a column called prob_cat": lambda t: cells(
        t, lambda n, x: [*x, "prob_cat" if n == 0 else "1"]
    ),
    "a column without a name": lambda t: cells(t, lambda n, x: ["" if n == 0 else str(n), *x]),
    "label called fold": at(0, -1, "fold"),
    "id called Unnamed": at(0, 0, "Unnamed: 0"),
    "header in capitals": lambda t: t.replace(rows_of(t)[0], rows_of(t)[0].upper(), 1),
    "header with blanks": lambda t: t.replace(rows_of(t)[0], rows_of(t)[0].replace(",", " , "), 1),
    "no header": lambda t: "\n".join(rows_of(t)[1:]),
    "header alone": lambda t: rows_of(t)[0] + "\n",
    "nothing": lambda t: "",
    "blank lines alone": lambda t: "\n\n\n",
    "UTF-16": lambda t: t.encode("utf-16"),
    "UTF-16 without a mark": lambda t: t.encode("utf-16-le"),
    "UTF-8 with BOM": lambda t: t.encode("utf-8-sig"),
    "Latin-1": lambda t: at(2, -1, "café")(t).encode("latin-1"),
    "a zero byte": lambda t: t.encode()[:30] + b"\0" + t.encode()[30:],
    "semicolons": lambda t: t.replace(",", ";"),
    "tabs": lambda t: t.replace(",", "\t"),
    "bars": lambda t: t.replace(",", "|"),
    "blanks for commas": lambda t: t.replace(",", " "),
    "CRLF": lambda t: t.replace("\n", "\r\n"),
    "CR": lambda t: t.replace("\n", "\r"),
    "no end of line": lambda t: t.rstrip("\n"),
    "blank lines between": lambda t: t.replace("\n", "\n\n"),
    "a comma at each end": lambda t: t.replace("\n", ",\n"),
    "an empty first cell": at(2, 0, ""),
    "an empty last cell": at(2, -1, ""),
    "a last cell of blanks": at(3, -1, "  "),
    "NA": at(2, -1, "NA"),
    "nan": at(2, -1, "nan"),
    "an infinite number": at(2, -1, "inf"),
    "a label with a comma": at(2, -1, '"cat, black"'),
    "a comma that is not quoted": at(2, -1, "cat, black"),
    "an open quote": at(2, -1, '"cat'),
    "a line break in a cell": at(2, -1, '"cat\nblack"'),
    "an emoji": at(2, -1, "🐈"),
    "a very long cell": at(2, -1, "x" * 200_000),
    "ids with blanks": every(0, lambda c: f" {c} "),
    "ids in capitals": every(0, str.upper),
    "ids with an extension": every(0, lambda c: f"{c}.png"),
    "ids with a folder": every(0, lambda c: f"train/{c}"),
    "ids that climb": every(0, lambda c: f"../{c}"),
    "two ids that differ by case": lambda t: t + rows_of(t)[1].upper() + "\n",
    "a doubled row": lambda t: t + rows_of(t)[1] + "\n",
    "a row too many": lambda t: t + "zz" + rows_of(t)[1] + "\n",
    "a row too few": lambda t: "\n".join(rows_of(t)[:-1]),
    "a long row": lambda t: t + rows_of(t)[1] + ",1,2,3\n",
    "a short row": lambda t: t + rows_of(t)[1].split(",")[0] + "x\n",
    "one label": every(-1, lambda c: "same"),
    "all labels different": lambda t: cells(t, lambda n, x: x if n == 0 else [*x[:-1], f"c{n}"]),
    "decimals": every(-1, lambda c: "0.25"),
    "negative numbers": every(-1, lambda c: "-3"),
    "two rows": lambda t: "\n".join(rows_of(t)[:3]) + "\n",
    "rows reversed": lambda t: "\n".join([rows_of(t)[0], *rows_of(t)[:0:-1]]) + "\n",
    "gone": lambda t: None,
}


def to_folder(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()


def emptied(folder: Path, name: str) -> None:
    if (folder / name).is_dir():
        shutil.rmtree(folder / name)
        (folder / name).mkdir()


def as_file(folder: Path, name: str) -> None:
    if (folder / name).is_dir():
        shutil.rmtree(folder / name)
    (folder / name).write_text("")


def images(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.png"))


def each_image(folder: Path, change: Callable[[Path], object]) -> None:
    for path in images(folder):
        change(path)


FILE_CHANGES: dict[str, Callable[[Path], object]] = {
    "an empty folder": lambda f: (shutil.rmtree(f), f.mkdir()),
    "a file in place of the folder": lambda f: (shutil.rmtree(f), f.write_text("x")),
    "no train folder": lambda f: shutil.rmtree(f / "train", ignore_errors=True),
    "no test folder": lambda f: shutil.rmtree(f / "test", ignore_errors=True),
    "an empty train folder": lambda f: emptied(f, "train"),
    "a file called train": lambda f: as_file(f, "train"),
    "a file called test": lambda f: as_file(f, "test"),
    "an empty image": lambda f: [p.write_bytes(b"") for p in images(f)[:1]],
    "a text as image": lambda f: [p.write_text("no image") for p in images(f)[-1:]],
    "extensions in capitals": lambda f: each_image(f, lambda p: p.rename(p.with_suffix(".PNG"))),
    "no extensions": lambda f: each_image(f, lambda p: p.rename(p.with_suffix(""))),
    "blanks in names": lambda f: each_image(f, lambda p: p.rename(p.with_name(f"a {p.name}"))),
    "images of both in one folder": lambda f: each_image(f, lambda p: p.rename(f / p.name)),
    "an image twice": lambda f: [shutil.copy(p, p.with_suffix(".jpg")) for p in images(f)[:1]],
    "a folder like an image": lambda f: (f / "train" / "x.png").mkdir(parents=True),
    "a link to nowhere": lambda f: (f / "train.tsv").symlink_to("nowhere"),
    "a second train table": lambda f: (f / "train_labels.csv").write_text("id,label\nx,1\n"),
    "a second sample": lambda f: (f / "submission_sample.csv").write_text("id,label\nx,1\n"),
    "folds.csv is a folder": lambda f: (f / "folds.csv").mkdir(),
    "folds.csv of other ids": lambda f: (f / "folds.csv").write_text("id,fold\nx,0\ny,1\n"),
    "folds.json of nonsense": lambda f: (f / "folds.json").write_text("{"),
    "corrections of strange ids": lambda f: (f / "corrections.csv").write_text(
        "id,label\nx,drop\n"
    ),
    "corrections without a header": lambda f: (f / "corrections.csv").write_text("1,2\n"),
    "corrections is a folder": lambda f: (f / "corrections.csv").mkdir(),
    "an array of objects": lambda f: np.save(f / "train.npy", np.array([{}], dtype=object)),
    "a cut-off array": lambda f: (f / "train.npz").write_bytes(b"PK\3\4 and no more"),
    "a parquet of nothing": lambda f: (f / "train.parquet").write_bytes(b""),
    "a zip beside it": lambda f: (f / "train.zip").write_bytes(b"PK"),
}

TABLES = ("train.csv", "sample_submission.csv")
NAMES = list(TABLE_CHANGES)
CASES = [
    *((table_and_images, file, name) for file in TABLES for name in NAMES),
    *((k, TABLES[0], n) for k in (pixel_tables, several_labels, numbers) for n in NAMES[::2]),
    *((k, TABLES[1], n) for k in (pixel_tables, several_labels) for n in NAMES[1::3]),
    *((kind, "", name) for kind in KINDS for name in FILE_CHANGES),
]


def damage(folder: Path, file: str, name: str) -> None:
    if not file:
        FILE_CHANGES[name](folder)
        return
    after = TABLE_CHANGES[name]((folder / file).read_text())
    if after is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(after if isinstance(after, bytes) else after.encode())


def test_there_are_at_least_two_hundred() -> None:
    assert len(CASES) >= 200 and len(set(CASES)) == len(CASES)


@pytest.mark.parametrize(
    ("kind", "file", "name"), CASES, ids=[f"{k.__name__}-{f}-{n}" for k, f, n in CASES]
)
def test_damaged(
    kind: Callable[[Path], None], file: str, name: str, home: Path, foldwise: Callable[..., Ended]
) -> None:
    folder = home / "input" / "x"
    kind(folder)
    damage(folder, file, name)
    ended = foldwise("competition=x", "fold=0", "folds.k=2", "debug=true", "train.batch_size=4",
                     "images.size=6", "model.args={widths: [4]}", "folds.rare=allow")  # fmt: skip
    assert not (home / "error.log").exists(), (home / "error.log").read_text()
    assert "Traceback" not in ended.out + ended.err
    if ended.code == 0:
        assert (home / "oof" / "x-default-debug" / "scores.json").is_file()
        return
    lines = [line for line in ended.err.splitlines() if line.startswith("foldwise: ")]
    assert ended.code in (1, 2) and len(lines) == 1 and ended.err.endswith(lines[0] + "\n"), ended
    assert re.search(r": [^:]{8,}$", lines[0]) and len(lines[0]) < 700, lines[0]
    assert not list(home.rglob("*.tmp"))


def test_a_refused_competition_freezes_nothing(home: Path, foldwise: Callable[..., Ended]) -> None:
    folder = home / "input" / "x"
    table_and_images(folder)
    sample = folder / "sample_submission.csv"
    sample.write_text(sample.read_text().replace("cat", "cow"))
    ended = foldwise("competition=x", "fold=0", "train.epochs=1")
    assert ended.code == 1 and "which is no class" in ended.err
    assert not (folder / "folds.csv").exists() and not (folder / "folds.json").exists()
    sample.write_text(sample.read_text().replace("cow", "cat"))
    assert foldwise("competition=x", "fold=0", "debug=true").code == 0
    assert not (folder / "folds.csv").exists()  # a look whether all fits decides nothing
