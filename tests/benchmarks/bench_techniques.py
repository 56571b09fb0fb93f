"""What each technique gains: docs/training.md's table, from one command that can be broken off.

    .venv/bin/python tests/benchmarks/bench_techniques.py input/cifar10 [--seeds 3] [--only NAME,…]

Fold 0 of CIFAR-10 with a fifth of the training rows (`data.fraction=0.2`), a small network, a
baseline, and the baseline with one thing changed. Each is trained with every seed by the main job,
in a run store of its own (--home); what is finished there is not trained again. The gain is paired:
of each seed, the score beside the baseline's with that seed; its spread is the standard error over
the seeds. Rows of docs/training/techniques.csv are written as they come. Scores do not depend on
the machine's load, so several of these commands may run at once, each with OMP_NUM_THREADS=1: what
one of them trains the others leave out.
"""

import argparse
import contextlib
import fcntl
import io
import math
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from figures import DOCS, Figures, into_page, markdown

from foldwise.compose import compose
from foldwise.files import read_json
from foldwise.training.train import train

KEPT, PAGE = DOCS / "training" / "techniques.csv", DOCS / "training.md"
BASE = (
    *("fold=0", "data.fraction=0.2", "train.epochs=6", "train.batch_size=64"),
    *("train.eval_every=0", "train.ema=0", "images.size=32", "model.name=small_resnet7x7"),
    *("model.args={width: 0.5}", "model.drop_rate=auto", "optimizer.lr=2e-3", "optimizer.clip=0"),
    *("augment.hflip=0.5", "augment.shift=0.1", "schedule.warmup_epochs=0.5"),
    "loss.smoothing=0.1",
)
TECHNIQUES: dict[str, tuple[str, ...]] = {
    "baseline": (),
    "no augmentation": ("augment.hflip=0", "augment.shift=0"),
    "EMA 0.99": ("train.ema=0.99",),
    "no label smoothing": ("loss.smoothing=0",),
    "CutMix 1, half of the batches": ("augment.cutmix=1", "augment.mix_prob=0.5"),
    "cutout": ("augment.cutout=0.5",),
    "RandAugment 2": ("augment.randaugment=2",),
    "dropout 0.3": ("model.drop_rate=0.3",),
    "SGD with Nesterov momentum": (
        *("optimizer.name=sgd", "optimizer.lr=0.05", "optimizer.weight_decay=5e-4"),
    ),
    "Lion": ("optimizer.name=lion", "optimizer.lr=3e-4"),
    "Muon": ("optimizer.name=muon", "optimizer.lr=1e-2"),
    "distillation from EMA 0.99": ("distill.run=techniques-EMA-0.99-s{seed}",),
    "EMA, CutMix and test-time flip": (
        *("train.ema=0.99", "augment.cutmix=1", "augment.mix_prob=0.5", "tta=flip"),
    ),
}  # fmt: skip


def run_name(name: str, seed: int) -> str:
    kept = "".join(c if c.isalnum() or c == "." else "-" for c in name)
    return f"techniques-{kept}-s{seed}"


@contextlib.contextmanager
def claimed(run: str) -> Iterator[bool]:
    """Whether no other command is at the run; as long as it is ours, it is no other's."""
    folder = Path(os.environ["FOLDWISE_HOME"])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{run}.lock").open("w") as file:
        free = True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            free = False
        yield free


def measure(folder: Path, name: str, seed: int) -> None:
    """Train a technique with a seed, and keep its score and the seconds that its training took."""
    found, run = Figures(KEPT), run_name(name, seed)
    words = [word.replace("{seed}", str(seed)) for word in TECHNIQUES[name]]
    slug = folder.resolve()
    began = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        train(compose([f"competition={slug}", *BASE, *words, f"run={run}", f"seed={seed}"]))
    oof = Path(os.environ["FOLDWISE_HOME"]) / "oof"
    score = read_json(oof / run / "scores.json")["folds"]["0"]
    found.add(
        technique=name, seed=seed, accuracy=round(score, 4),
        cpu_seconds=round(time.process_time() - began),
    )  # fmt: skip


def table(rows: list[dict[str, str]]) -> str:
    scores = {(row["technique"], row["seed"]): 100 * float(row["accuracy"]) for row in rows}
    seeds = sorted({row["seed"] for row in rows})
    lines = []
    for name in TECHNIQUES:
        mine = [scores[name, s] for s in seeds if (name, s) in scores]
        gains = [
            scores[name, s] - scores["baseline", s]
            for s in seeds
            if (name, s) in scores and ("baseline", s) in scores
        ]
        if not gains:
            continue
        error = statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else math.nan
        gain = "" if name == "baseline" else f"{statistics.mean(gains):+.2f} ± {error:.2f}"
        lines.append((statistics.mean(gains), [name, f"{statistics.mean(mine):.2f}", gain]))
    ordered = [line for _, line in sorted(lines, key=lambda line: -line[0])]
    return markdown(["technique", "accuracy, %", f"gain ({len(seeds)} seeds)"], ordered)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a competition: input/cifar10")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="techniques, by commas, as the table names them")
    parser.add_argument("--home", type=Path, default=Path("techniques"), help="its run store")
    options = parser.parse_args()
    os.environ["FOLDWISE_HOME"] = str(options.home.resolve())
    names = options.only.split(",") if options.only else list(TECHNIQUES)
    for name in names:
        if name not in TECHNIQUES:
            parser.error(f"--only {name} is none of {', '.join(TECHNIQUES)}")
    for seed in range(options.seeds):
        for name in names:
            with claimed(run_name(name, seed)) as ours:
                if ours and not Figures(KEPT).have(technique=name, seed=seed):
                    measure(options.folder, name, seed)
    into_page(PAGE, {"techniques": table(Figures(KEPT).rows())})


if __name__ == "__main__":
    main()
