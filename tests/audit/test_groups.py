"""folds.group=duplicates: near-duplicates never straddle folds."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from audit.conftest import drawing, jpeg
from foldwise.files import read_json
from helpers import QUICK, Ended

WORDS = ("competition=x", *QUICK, "fold=0", "folds.k=2", "images.size=8")


def written(folder: Path) -> None:
    """24 images, every third one recompressed under another id, as if it were a new one."""
    (folder / "train").mkdir(parents=True)
    rows = []
    for n in range(24):
        (folder / "train" / f"a{n:02d}.jpg").write_bytes(jpeg(drawing(n)))
        rows.append((f"a{n:02d}", "xy"[n % 2]))
        if n % 3 == 0:
            (folder / "train" / f"b{n:02d}.jpg").write_bytes(jpeg(drawing(n), 60))
            rows.append((f"b{n:02d}", "xy"[n % 2]))
    pd.DataFrame(rows, columns=["id", "label"]).to_csv(folder / "train.csv", index=False)


def test_duplicates_are_in_one_fold(home: Path, foldwise: Callable[..., Ended]) -> None:
    folder = home / "input" / "x"
    written(folder)
    ended = foldwise(*WORDS, "folds.group=duplicates")
    assert ended.code == 0, ended.err
    assert "looking for near-duplicates" in ended.err
    folds = pd.read_csv(folder / "folds.csv").set_index("id")["fold"]
    assert all(folds[f"a{n:02d}"] == folds[f"b{n:02d}"] for n in range(0, 24, 3))
    assert read_json(folder / "folds.json")["group"] == "duplicates"
    again = foldwise(*WORDS, "folds.group=duplicates", "run=again")
    assert again.code == 0 and "looking for" not in again.err  # frozen: nothing to look for
    plain = foldwise(*WORDS, "run=plain")
    assert plain.code == 0, plain.err  # what is left at its default takes what is frozen
    (folder / "folds.csv").unlink()
    assert foldwise(*WORDS, "folds.group=duplicates", "run=anew").code == 0
    assert (pd.read_csv(folder / "folds.csv").set_index("id")["fold"] == folds).all()


def test_a_column_of_that_name_goes_first(home: Path, foldwise: Callable[..., Ended]) -> None:
    folder = home / "input" / "x"
    written(folder)
    table = pd.read_csv(folder / "train.csv")
    table.assign(duplicates=[n // 2 for n in range(len(table))]).to_csv(
        folder / "train.csv", index=False
    )
    ended = foldwise(*WORDS, "folds.group=duplicates", "competition.columns.label=label")
    assert ended.code == 0 and "looking for" not in ended.err
