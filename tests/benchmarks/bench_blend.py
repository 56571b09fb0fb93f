"""Blends beside AutoGluon's EnsembleSelection and the package hillclimbers: docs/blending.md.

    pip install --no-deps --target OTHERS autogluon.core autogluon.common autogluon.features \
        hillclimbers plotly colorama narwhals boto3 botocore s3transfer
    .venv/bin/python tests/benchmarks/bench_blend.py synthetic --others OTHERS
    .venv/bin/python tests/benchmarks/bench_blend.py real 'cifar-*' --others OTHERS
    .venv/bin/python tests/benchmarks/bench_blend.py million FOLDER [--rows 1000000]

synthetic: 50 members, 100,000 rows, 10 classes; weights are scored on as many fresh rows.
real: OOF predictions of runs in the run store (FOLDWISE_HOME); weights are fitted on all folds but
one and scored on that one. million: three runs of a million rows and 100 classes, made in FOLDER
and blended by the command. Every measurement has a process of its own, whose peak memory is taken
beside the arrays. Of docs/blending/*.csv, real.csv is written anew; what stands in the others is
not measured again.
"""

import argparse
import multiprocessing
import os
import resource
import subprocess
import sys
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

import numpy as np
from blend_fits import FITS, OTHERS
from figures import DOCS, Figures, into_page, markdown
from wide_runs import make_wide

from foldwise.competition.bootstrap import resampled
from foldwise.competition.metrics import Metric, metric_of
from foldwise.config import Competition
from foldwise.ensemble.checks import named
from foldwise.ensemble.members import Members

MEMBERS, ROWS, CLASSES = 50, 100_000, 10
LIMIT = 100  # seconds that a way may take
METRICS = ("accuracy", "log_loss")
KEPT, PAGE = DOCS / "blending", DOCS / "blending.md"


def library(seed: int, rows: int, members: int = MEMBERS) -> tuple[np.ndarray, np.ndarray]:
    """Members (m, c, n) that share what is hard in the images and have noise of their own."""
    random = np.random.default_rng(seed)
    skills = np.random.default_rng(0).uniform(0.6, 1.6, members)
    targets = random.integers(0, CLASSES, rows)
    shared = random.standard_normal((CLASSES, rows), np.float32)
    shared[targets, np.arange(rows)] += 2.5
    values = np.empty((members, CLASSES, rows), np.float32)
    for value, noise in zip(values, skills, strict=True):
        random.standard_normal(out=value, dtype=np.float32)
        value *= np.float32(noise)
        value += np.float32(1.5) * shared
        value -= value.max(axis=0)
        np.exp(value, out=value)
        value /= value.sum(axis=0)
    return values, targets


def synthetic_settings(metric: str) -> Competition:
    classes = [str(c) for c in range(CLASSES)]
    return Competition(task="multiclass", classes=classes, metric=metric)


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def largest() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure_synthetic(said: Connection, fit: str, name: str) -> None:
    """Sends seconds, the share of the arrays that is taken at the peak, score, members."""
    settings = synthetic_settings(name)
    FITS[fit](*library(3, 100, 4), settings)  # whatever it imports is there
    before = resident()
    values, targets = library(1, ROWS)
    weights, seconds = FITS[fit](values, targets, settings)
    share = (largest() - before) / values.nbytes
    fresh, truth = library(2, ROWS)
    blend = np.tensordot(weights.astype(np.float32), fresh, 1)
    score = metric_of(name, settings)(truth, blend.T)
    said.send((seconds, share, score, np.count_nonzero(weights)))


def measure_real(said: Connection, fit: str, name: str, pattern: str) -> None:
    """Sends seconds, and the weights for each fold."""
    members = Members(named([pattern], ""), 4.0)
    settings = replace(members.settings, metric=name)
    values = np.stack([members.whole(n) for n in range(len(members.names))])
    FITS[fit](np.ascontiguousarray(values[:4, :, :100]), members.targets[:100], settings)
    total, found = 0.0, {}
    for fold, held in members.rows.items():
        rest = np.setdiff1d(np.arange(len(members.targets)), held)
        library = np.ascontiguousarray(values[:, :, rest])
        found[fold], seconds = FITS[fit](library, members.targets[rest], settings)
        total += seconds
    said.send((total, found))


def alone(what: object, *args: object) -> tuple | None:  # type: ignore[type-arg]
    """What a function sends, in a process of its own; None where it takes too long."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=what, args=(there, *args))  # type: ignore[arg-type]
    child.start()
    there.close()
    try:
        return here.recv() if here.poll(LIMIT) else None
    finally:
        child.kill()
        child.join()


def ways(name: str, others: bool) -> list[str]:
    chosen = [fit for fit in FITS if others or fit not in OTHERS]
    return [fit for fit in chosen if fit != "optimize" or name == "log_loss"]


def synthetic(others: bool) -> None:
    found = Figures(KEPT / "synthetic.csv")
    for name in METRICS:
        for fit in ways(name, others):
            if found.have(metric=name, way=fit):
                continue
            measured = alone(measure_synthetic, fit, name)
            seconds, share, score, count = measured or (np.nan, np.nan, np.nan, "")
            found.add(metric=name, way=fit, seconds=round(seconds, 2), score=round(score, 5),
                      members=count, memory=round(share, 2))  # fmt: skip


def real(pattern: str, others: bool) -> None:
    found = Figures(KEPT / "real.csv")
    found.path.unlink(missing_ok=True)
    members = Members(named([pattern], ""), 4.0)
    tables = [members.whole(n) for n in range(len(members.names))]
    for name in METRICS:
        settings = replace(members.settings, metric=name)
        metric, targets = metric_of(name, settings), members.targets
        own = [metric(targets, table.T) for table in tables]
        best = tables[int(np.argmax(own) if metric.greater_is_better else np.argmin(own))]
        climbed = None
        for fit in ways(name, others):
            seconds, weights = alone(measure_real, fit, name, pattern) or (np.nan, None)
            if not weights:
                row = dict.fromkeys(("honest", "gain", "error", "beside", "beside_error"), np.nan)
            else:
                honest = np.empty_like(best)
                for fold, held in members.rows.items():
                    rows = zip(weights[fold].astype(np.float32), tables, strict=True)
                    honest[:, held] = sum(weight * table[:, held] for weight, table in rows)
                climbed = honest if fit == "hillclimb" else climbed
                row = {"honest": metric(targets, honest.T)}
                row["gain"], row["error"] = gain_of(metric, settings, targets, honest, best)
                pair = gain_of(metric, settings, targets, honest, climbed)
                row["beside"], row["beside_error"] = pair
            found.add(
                runs=pattern, members=len(tables), rows=len(targets), metric=name, way=fit,
                seconds=round(seconds, 3), **{k: round(v, 5) for k, v in row.items()},
            )  # fmt: skip


def gain_of(
    metric: Metric, settings: Competition, targets: np.ndarray, one: np.ndarray, other: np.ndarray
) -> tuple[float, float]:
    """How much better the first predictions (c, n) score, and the standard error of that."""
    sign = 1 if metric.greater_is_better else -1
    samples = resampled(metric, settings, targets, (table.T for table in (one, other)))
    gain = sign * (metric(targets, one.T) - metric(targets, other.T))
    return gain, float((samples[0] - samples[1]).std())


def million(folder: Path, rows: int, classes: int = 100) -> None:
    found = Figures(KEPT / "million.csv")
    os.environ |= {"FOLDWISE_HOME": str(folder), "PYTHONPATH": sys.path[0]}
    for seed in range(3):
        if not (folder / "oof" / f"wide{seed}" / "oof.parquet").is_file():
            print(f"making run {seed}", flush=True)
            make_wide(f"wide{seed}", seed, rows, classes)
    size = 3 * rows * classes * 4
    for way in ("mean", "hillclimb metric=log_loss", "hillclimb", "optimize", "rank"):
        if found.have(rows=rows, way=way):
            continue
        words = ["blend", "runs=wide*", "run=all", "overwrite=true", *f"method={way}".split()]
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *words], env=os.environ, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        seconds, peak = map(float, done.stdout.splitlines()[-1].split())
        found.add(rows=rows, classes=classes, way=way, cpu_seconds=round(seconds),
                  peak_gb=round(peak / 1e9, 2), arrays_gb=round(size / 1e9, 2))  # fmt: skip


MEASURED = (
    "import resource, sys; from foldwise.cli import main; code = main(sys.argv[1:]); "
    "used = resource.getrusage(resource.RUSAGE_SELF); "
    "print(used.ru_utime + used.ru_stime, 1024 * used.ru_maxrss); sys.exit(code)"
)


def written() -> None:
    """The tables of the page."""
    tables = {}
    rows = Figures(KEPT / "synthetic.csv").rows()
    for name in METRICS:
        lines = [
            [row["way"], *([f"more than {LIMIT}", "", "", ""] if row["seconds"] == "nan" else
             [row["seconds"], row["score"], row["members"], row["memory"]])]
            for row in rows if row["metric"] == name
        ]  # fmt: skip
        head = ["way", "seconds", f"{name} of fresh rows", "members taken", "memory"]
        tables[f"synthetic {name}"] = markdown(head, lines)
    lines = []
    for row in Figures(KEPT / "real.csv").rows():
        cells = [row["seconds"], row["honest"], gap(row["gain"], row["error"]),
                 gap(row["beside"], row["beside_error"])]  # fmt: skip
        late = [f"more than {LIMIT}", "", "", ""]
        lines.append([row["way"], row["metric"], *(late if row["seconds"] == "nan" else cells)])
    head = ["way", "metric", "seconds, 5 folds", "honest score", "gain on the best member",
            "gain on hillclimb"]  # fmt: skip
    tables["real"] = markdown(head, lines)
    lines = [
        [row["way"], f"{int(row['rows']):,}", row["cpu_seconds"], row["peak_gb"], row["arrays_gb"]]
        for row in Figures(KEPT / "million.csv").rows()
    ]
    head = ["method", "rows", "CPU seconds", "peak, GB", "their OOF as float32, GB"]
    tables["million"] = markdown(head, lines)
    into_page(PAGE, tables)


def gap(gain: str, error: str) -> str:
    return f"{float(gain):+.4f} ± {float(error):.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("synthetic", "real", "million"))
    parser.add_argument("where", nargs="?", default="*", help="runs, or a folder for the million")
    parser.add_argument("--others", default="", help="folder with the other packages")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the million")
    said = parser.parse_args()
    if said.others:
        sys.path.append(str(Path(said.others).absolute()))  # spawned processes get it, too
    if said.what == "synthetic":
        synthetic(bool(said.others))
    elif said.what == "real":
        real(said.where, bool(said.others))
    else:
        million(Path(said.where).absolute(), said.rows)
    written()


if __name__ == "__main__":
    main()
