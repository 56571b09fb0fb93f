"""What rounds of pseudo-labels gain, and whether their OOF score can be believed: docs/pseudo.md.

    .venv/bin/python tests/benchmarks/bench_pseudo.py input/cifar10 --part 0/2
    .venv/bin/python tests/benchmarks/bench_pseudo.py input/cifar10 --part 1/2

CIFAR-10's labelled rows are dealt out: 10,000 that are trained on, in 3 folds; 30,000 whose labels
nobody sees; 10,000 that are scored and never in the pool, as a test set of which no score enters
anything. A small network is trained on the first, then in two rounds on its own labels of the
second too, by the main job, in a run store of its own (--home). All can be broken off and goes on;
scores do not depend on the machine's load. The two commands (each with OMP_NUM_THREADS=1) share the
folds, which know nothing of each other; whichever ends last writes the table. A fold's row of
docs/pseudo/rounds.csv is written when all rounds of the fold are there.
"""

import argparse
import contextlib
import os
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

import numpy as np
import pandas as pd
from figures import DOCS, Figures, into_page, markdown

from foldwise.compose import compose
from foldwise.files import write_text
from foldwise.provenance import prediction_columns, targets_of
from foldwise.runs import Run
from foldwise.training.train import train
from foldwise.verbs.pseudo import rounds

KEPT, PAGE = DOCS / "pseudo" / "rounds.csv", DOCS / "pseudo.md"
FOLDS, ROUNDS, SLUG = 3, 2, "cifar10-rounds"
BASE = (
    *(f"competition={SLUG}", f"folds.k={FOLDS}", "images.size=32", "train.eval_every=0"),
    *("model.name=inception_fsd", "model.drop_rate=auto", "optimizer.lr=1e-3"),
    *("train.batch_size=32", "train.ema=0.99", "schedule.warmup_epochs=0.5"),
    *("augment.hflip=0.5", "augment.shift=0.1", "augment.cutout=0.5"),
)


@dataclass(frozen=True)
class Sizes:
    labelled: int
    pool: int
    scored: int


def lay_out(source: Path, home: Path, sizes: Sizes) -> pd.Series:
    """input/cifar10-rounds and pool/ as links to the images of ``source``; the truth by id."""
    table = pd.read_csv(source / "train.csv", dtype=str)
    table = table.iloc[np.random.default_rng(0).permutation(len(table))]
    files = {path.stem: path.resolve() for path in (source / "train").iterdir()}
    folder, pool = home / "input" / SLUG, home / "pool"
    ends = np.cumsum([0, sizes.labelled, sizes.pool, sizes.scored])
    parts = [table.iloc[start:end] for start, end in pairwise(ends)]
    for place, part in zip((folder / "train", pool, folder / "test"), parts, strict=True):
        place.mkdir(parents=True, exist_ok=True)
        there = {path.name for path in place.iterdir()}
        for file in part["id"].map(files):
            if file.name not in there:
                with contextlib.suppress(FileExistsError):  # the other process was faster
                    (place / file.name).symlink_to(file)
    sample = parts[2].assign(label=parts[0]["label"].iloc[0])
    for name, rows in (("train", parts[0]), ("sample_submission", sample)):
        write_text(folder / f"{name}.csv", rows.to_csv(index=False))
    return table.set_index("id")["label"]


def name_of(number: int) -> str:
    return f"rounds-p{number}" if number else "rounds"


def measure(home: Path, folds: list[int], epochs: int, options: argparse.Namespace) -> None:
    """Train these folds and their rounds, as far as they are not there."""
    fold = "fold=" + ",".join(map(str, folds))
    words = [*BASE, f"train.epochs={epochs}", fold]
    train(compose([*words, "run=rounds"]))
    wishes = {"run": "rounds", "rounds": str(ROUNDS), "pool": str(home / "pool")}
    wishes |= {"threshold": str(options.threshold), "labels": options.labels}
    rounds(wishes, [fold])


def right(run: Run, fold: int, part: str, truth: pd.Series) -> np.ndarray:
    """bool (n,): the rows of a table whose likeliest class is the true one."""
    table = run.predictions(fold, part)[0]
    columns = prediction_columns(run.config().competition)
    said = np.array(run.config().competition.classes)[table[columns].to_numpy().argmax(axis=1)]
    return np.asarray(said == truth[table["id"]].to_numpy())


def keep(found: Figures, number: int, fold: int, truth: pd.Series) -> None:
    run = Run(name_of(number))
    if found.have(round=number, fold=fold):
        return
    oof, _ = run.predictions(fold, "oof")
    p = oof[prediction_columns(run.config().competition)].to_numpy()
    taken, correct = 0, float("nan")
    if number:
        labels = run.predictions(fold, "pseudo")[0]
        taken = len(labels)
        if "label" in labels:
            said = labels["label"].to_numpy()
        else:
            classes = np.array(run.config().competition.classes)
            said = classes[labels.drop(columns="id").to_numpy().argmax(axis=1)]
        correct = float((said == truth[stems(labels["id"])].to_numpy()).mean())
    seconds = run.metrics(fold)
    assert seconds is not None
    found.add(
        round=number, fold=fold,
        oof=round(float((p.argmax(1) == targets_of(run.config().competition, oof)).mean()), 4),
        scored=round(float(right(run, fold, "test", truth).mean()), 4),
        taken=taken, taken_right=round(correct, 4), seconds=round(seconds["seconds"].sum()),
    )  # fmt: skip


def stems(ids: pd.Series) -> pd.Series:
    """A pool's ids are paths."""
    return ids.str.rpartition(".")[0]


def table(rows: list[dict[str, str]], truth: pd.Series) -> str:
    """A line a round, each beside the one before, by all folds."""
    lines, before = [], np.float64(0)
    for number in range(ROUNDS + 1):
        run, mine = Run(name_of(number)), [row for row in rows if row["round"] == str(number)]
        settings = run.config().competition
        oof = run.oof_table()[0]
        p = oof[prediction_columns(settings)].to_numpy()
        own = p.argmax(axis=1) == targets_of(settings, oof)
        each = np.mean([right(run, k, "test", truth) for k in range(FOLDS)], axis=0)
        whole, _ = run.test_table()
        classes = np.array(settings.classes)
        said = classes[whole[prediction_columns(settings)].to_numpy().argmax(axis=1)]
        together = float((said == truth[whole["id"]].to_numpy()).mean())
        gap, wide = own.mean() - each.mean(), np.hypot(error(own), error(each))
        change = each - before
        gain = f"{100 * change.mean():+.2f} ± {100 * error(change):.2f}"
        taken = np.mean([int(row["taken"]) for row in mine])
        correct = np.mean([float(row["taken_right"]) for row in mine])
        lines.append([
            str(number), f"{100 * own.mean():.2f}", f"{100 * each.mean():.2f}",
            f"{100 * gap:+.2f} ({100 * (gap - 1.96 * wide):+.2f} to "
            f"{100 * (gap + 1.96 * wide):+.2f})",
            gain if number else "", f"{100 * together:.2f}",
            f"{taken:,.0f}" if number else "", f"{100 * correct:.1f}" if number else "",
        ])  # fmt: skip
        before = each
    head = ["round", "OOF, %", "each fold's model on the scored, %", "difference (95 %)", "gain"]
    return markdown([*head, "ensemble on the scored, %", "images taken", "of them right, %"], lines)


def error(values: np.ndarray) -> float:
    """The standard error of a mean."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a competition: input/cifar10")
    parser.add_argument("--part", default="0/1", help="0/2 and 1/2: two processes share the folds")
    parser.add_argument("--labelled", type=int, default=10_000)
    parser.add_argument("--pool", type=int, default=30_000)
    parser.add_argument("--scored", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--threshold", type=float, default=0.7)
    parser.add_argument("--labels", default="soft")
    parser.add_argument("--home", type=Path, default=Path("rounds"), help="its run store")
    parser.add_argument("--kept", type=Path, default=KEPT, help="where a trial puts its figures")
    options = parser.parse_args()
    home = options.home.resolve()
    os.environ["FOLDWISE_HOME"] = str(home)
    sizes = Sizes(options.labelled, options.pool, options.scored)
    truth = lay_out(options.folder.resolve(), home, sizes)
    part, parts = (int(number) for number in options.part.split("/"))
    mine = [k for k in range(FOLDS) if k % parts == part]
    measure(home, mine, options.epochs, options)
    found = Figures(options.kept)
    for number in range(ROUNDS + 1):
        for fold in mine:
            keep(found, number, fold, truth)
    if len(found.rows()) < FOLDS * (ROUNDS + 1):
        print("the other folds are not there yet: whoever ends last writes the table")
        return
    text = table(found.rows(), truth)
    print(text)
    if options.kept == KEPT:
        into_page(PAGE, {"rounds": text})


if __name__ == "__main__":
    main()
