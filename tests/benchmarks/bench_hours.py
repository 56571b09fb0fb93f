"""How much of `train.hours` is used: whole commands on digits, with real time.

    .venv/bin/python tests/benchmarks/bench_hours.py [--seconds 40,90,180] [--folds 2]

The table in docs/training.md: the time that was given and the share that the command took, with
the epochs that fitted. It must never be above 100 %.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from figures import DOCS, into_page, markdown

from foldwise.runs import Run


def measure(seconds: float, folds: int) -> list[str]:
    with tempfile.TemporaryDirectory() as home:
        os.environ["FOLDWISE_HOME"] = home
        words = [f"fold=0..{folds - 1}", "run=r", f"train.hours={seconds / 3600}"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src")}
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "foldwise", *words], env=environment, check=True)
        taken = time.monotonic() - began
        epochs = [len(Run("r").metrics(k)) for k in range(folds)]  # type: ignore[arg-type]
        score = Run("r").scores()["oof"]
    return [
        f"{seconds:g} s", f"{taken:.1f} s", f"{100 * taken / seconds:.1f} %",
        ", ".join(map(str, epochs)), f"{score:.4f}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", default="40,90,180", help="the budgets, by commas")
    parser.add_argument("--folds", type=int, default=2)
    options = parser.parse_args()
    rows = [measure(float(text), options.folds) for text in options.seconds.split(",")]
    head = ["`train.hours`", "taken", "share", "epochs of each fold", "OOF"]
    into_page(DOCS / "training.md", {"hours": markdown(head, rows)})


if __name__ == "__main__":
    main()
