"""How long the pages take, and how large they are.

    .venv/bin/python tests/benchmarks/bench_report.py [--runs 10] [--rows 50000] [--classes 10]
        [--times 3]

Runs are drawn and written through `Run`, as the trainer writes them, and each row gets a 32x32 PNG
of noise (none of this is timed). Then `report` and `report run=…` run as
a person runs them, as whole processes: wall time (least, median, most), peak memory, the size of
the page, and whether torch was imported.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np
import pandas as pd

from report.made import make_run

ROOT = Path(__file__).resolve().parents[2]
CODE = """import sys
from foldwise.cli import main
code = main(sys.argv[1:])
sys.exit("torch was imported" if "torch" in sys.modules else code)"""


def draw(home: Path, runs: int, rows: int, classes: list[str]) -> None:
    for n in range(runs):
        skill = 2 + n / runs
        run = make_run(f"run{n:02d}", classes=classes, rows=rows, skill=skill, seed=n)
    frame, _ = run.oof_table()
    folder = home / "input" / "made"
    (folder / "train").mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in frame["id"]:
        pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / "train" / f"{name}.png"), pixels)
    camera = random.choice(["web", "scan", "phone"], len(frame))
    table = pd.DataFrame({"id": frame["id"], "label": frame["label"], "camera": camera})
    table.to_csv(folder / "train.csv", index=False)


def measure(home: Path, words: list[str], page: Path, times: int) -> None:
    environment = {**os.environ, "FOLDWISE_HOME": str(home), "PYTHONPATH": str(ROOT / "src")}
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        command = [sys.executable, "-P", "-c", CODE, *words]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10
    print(
        f"{' '.join(words)}: {min(seconds):.1f} s, {statistics.median(seconds):.1f} s, "
        f"{max(seconds):.1f} s; {page.stat().st_size / 1e6:.2f} MB; peak so far {peak:,.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ["FOLDWISE_HOME"] = folder
        classes = [f"class {n:04d}" for n in range(options.classes)]
        draw(home, options.runs, options.rows, classes)
        print(f"{options.runs} runs x {options.rows:,} rows x {options.classes} classes")
        one = home / "oof" / "run00" / "report" / "report.html"
        measure(home, ["report"], home / "oof" / "made.html", options.times)
        measure(home, ["report", "run=run00"], one, options.times)
        measure(home, ["runs"], one, options.times)


if __name__ == "__main__":
    main()
