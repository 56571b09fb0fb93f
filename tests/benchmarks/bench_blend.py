"""Blends beside AutoGluon's EnsembleSelection and the package hillclimbers, on the same arrays.

    pip install --no-deps --target OTHERS autogluon.core autogluon.common autogluon.features \
        hillclimbers plotly colorama narwhals boto3 botocore s3transfer
    python tests/benchmarks/bench_blend.py synthetic --others OTHERS
    python tests/benchmarks/bench_blend.py real 'digits-*' --others OTHERS
    python tests/benchmarks/bench_blend.py million FOLDER

synthetic: 50 members, 100,000 rows, 10 classes, 25 steps; weights are scored on as many fresh rows,
memory is what NumPy holds beside the arrays at its peak. real: the OOF predictions of runs; weights
are fitted on all folds but one and scored on that one. million: three runs of 1,000,000 rows and
100 classes, blended by the command in a process of its own.
"""

import argparse
import contextlib
import io
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise import compose
from foldwise.competition.metrics import metric_of
from foldwise.config import Blend, Competition, Config
from foldwise.ensemble.checks import named
from foldwise.ensemble.evidence import Oof, gather
from foldwise.ensemble.hillclimb import hillclimb
from foldwise.ensemble.members import Members
from foldwise.ensemble.optimize import optimize
from foldwise.provenance import Provenance
from foldwise.runs import Run

MEMBERS, ROWS, CLASSES, STEPS = 50, 100_000, 10, 25
Fit = Callable[[np.ndarray, np.ndarray, Competition], np.ndarray]


def ours(
    values: np.ndarray, targets: np.ndarray, settings: Competition, **how: object
) -> np.ndarray:
    """Weights (m,) of values (m, c, n)."""
    blend = Blend(method="hillclimb", **how)  # type: ignore[arg-type]
    return hillclimb(gather(in_memory(values, targets), settings), blend, None)


def on_the_simplex(values: np.ndarray, targets: np.ndarray, settings: Competition) -> np.ndarray:
    return optimize(gather(in_memory(values, targets), settings), settings, "prob", None)


def in_memory(values: np.ndarray, targets: np.ndarray) -> Oof:
    one_fold = np.zeros(len(targets), int)
    return Oof(values.shape, targets, one_fold, lambda fold, member: values[member], values)  # type: ignore[arg-type]


def autogluon(values: np.ndarray, targets: np.ndarray, settings: Competition) -> np.ndarray:
    from autogluon.core import metrics
    from autogluon.core.models.greedy_ensemble.ensemble_selection import EnsembleSelection

    listed = [np.ascontiguousarray(value.T) for value in values]
    metric = getattr(metrics, settings.metric)
    began = time.perf_counter()
    fitted = EnsembleSelection(STEPS, "multiclass", metric).fit(listed, targets)
    TIMES.append(time.perf_counter() - began)  # without the copy to its layout
    return np.asarray(fitted.weights_)


def climber(values: np.ndarray, targets: np.ndarray, settings: Competition) -> np.ndarray:
    """hillclimbers takes one number a row: here each class of each row, put together to score.

    Its weights show in what it returns for "test predictions" that are the members' own numbers.
    """
    from hillclimbers import climb_hill
    from hillclimbers import partial as partial_of

    members, classes, rows = values.shape
    names = [f"m{n}" for n in range(members)]
    flat = pd.DataFrame({name: value.T.ravel() for name, value in zip(names, values, strict=True)})
    metric = metric_of(settings.metric, settings)

    def score(_: pd.Series, predictions: pd.Series) -> float:
        return metric(targets, predictions.to_numpy().reshape(rows, classes))

    identity = pd.DataFrame(np.eye(members), columns=names)
    with contextlib.redirect_stdout(io.StringIO()):
        return np.asarray(
            climb_hill(
                train=pd.DataFrame({"t": np.zeros(len(flat))}), oof_pred_df=flat,
                test_pred_df=identity, target="t",
                objective="maximize" if metric.greater_is_better else "minimize",
                eval_metric=partial_of(score), plot_hill=False,
            )
        )  # fmt: skip


TIMES: list[float] = []  # that a fit measures itself


def timed(fit: Fit, *args: object) -> tuple[np.ndarray, float]:
    TIMES.clear()
    began = time.perf_counter()
    weights = fit(*args)  # type: ignore[arg-type]
    return weights, TIMES[-1] if TIMES else time.perf_counter() - began


def library(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Members (m, c, n) that share what is hard in the images and have noise of their own."""
    random = np.random.default_rng(seed)
    skills = np.random.default_rng(0).uniform(0.6, 1.6, MEMBERS)
    targets = random.integers(0, CLASSES, rows)
    shared = random.normal(0, 1, (CLASSES, rows)).astype(np.float32)
    shared[targets, np.arange(rows)] += 2.5
    values = np.empty((MEMBERS, CLASSES, rows), np.float32)
    for value, noise in zip(values, skills, strict=True):
        z = 1.5 * shared + random.normal(0, noise, (CLASSES, rows)).astype(np.float32)
        np.exp(z - z.max(axis=0), out=value)
        value /= value.sum(axis=0)
    return values, targets


def synthetic(others: bool) -> None:
    values, targets = library(1, ROWS)
    fresh, truth = library(2, ROWS)
    fits: dict[str, Fit] = {
        "hillclimb, 25 steps": partial(ours, steps=STEPS, stop=0.0),
        "hillclimb, defaults": ours,
        "hillclimb, 10 bags": partial(ours, steps=STEPS, bags=10),
        "optimize": on_the_simplex,
    }
    if others:
        fits["AutoGluon, 25 steps"] = autogluon
    for name in ("accuracy", "log_loss"):
        settings = Competition(
            task="multiclass", classes=[str(c) for c in range(CLASSES)], metric=name
        )
        metric = metric_of(name, settings)
        own = [metric(truth, value.T) for value in fresh]
        best = max(own) if metric.greater_is_better else min(own)
        print(f"\n{name}: best member {best:.5f}, mean {metric(truth, fresh.mean(axis=0).T):.5f}")
        for title, fit in fits.items():
            if title == "optimize" and name != "log_loss":
                continue
            weights, seconds = timed(fit, values, targets, settings)
            blend = np.tensordot(weights.astype(np.float32), fresh, 1)
            memory = peak(fit, values, targets, settings) / values.nbytes
            print(
                f"{title:<22} {seconds:8.2f} s  fresh rows {metric(truth, blend.T):.5f}  "
                f"{np.count_nonzero(weights):>3} members  peak {1 + memory:.2f} x the arrays",
                flush=True,
            )


def peak(fit: Fit, *args: object) -> int:
    """Bytes beside what is there before, at most."""
    if "autogluon" in getattr(fit, "__name__", ""):
        return 0  # not measured: it would take minutes more
    tracemalloc.start()
    fit(*args)  # type: ignore[arg-type]
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def real(pattern: str, others: bool) -> None:
    members = Members(named([pattern], ""), 4.0)
    rows = {k: members.rows[k] for k in members.folds}
    values = np.stack([members.whole(n) for n in range(len(members.names))])
    fits: dict[str, Fit] = {"mean": lambda v, t, s: np.full(len(v), 1 / len(v)), "hillclimb": ours,
                            "optimize": on_the_simplex}  # fmt: skip
    if others:
        fits |= {"AutoGluon, 25 steps": autogluon, "hillclimbers": climber}
    for name in ("accuracy", "log_loss"):
        settings = replace(members.settings, metric=name)
        metric = metric_of(name, settings)
        own = [metric(members.targets, value.T) for value in values]
        best = max(own) if metric.greater_is_better else min(own)
        print(f"\n{pattern}, {len(values)} runs, {len(members.targets)} rows, {name}: "
              f"best member {best:.5f}")  # fmt: skip
        for title, fit in fits.items():
            if title == "optimize" and name != "log_loss":
                continue
            honest, total = np.empty_like(values[0]), 0.0
            for held in rows.values():
                rest = np.setdiff1d(np.arange(len(members.targets)), held)
                library = np.ascontiguousarray(values[:, :, rest])
                weights, seconds = timed(fit, library, members.targets[rest], settings)
                total += seconds
                part = np.tensordot(weights.astype(np.float32), values[:, :, held], 1)
                honest[:, held] = part
            score = metric(members.targets, honest.T)
            print(f"{title:<22} {total:8.2f} s  honest {score:.5f}", flush=True)


def million(folder: Path, rows: int = 1_000_000, classes: int = 100) -> None:
    os.environ["FOLDWISE_HOME"] = str(folder)
    for seed in range(3):
        if not (folder / "oof" / f"wide{seed}" / "oof.parquet").is_file():
            print(f"making run {seed}", flush=True)
            make_wide(f"wide{seed}", seed, rows, classes)
    size = 3 * rows * classes * 4 / 2**20
    for method in ("method=mean", "method=hillclimb", "method=hillclimb metric=log_loss",
                   "method=optimize"):  # fmt: skip
        words = ["blend", "runs=wide*", "run=all", "overwrite=true", *method.split()]
        began = time.perf_counter()
        command = [sys.executable, "-c", MEASURED, *words]
        done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - began
        line = next(line for line in done.stdout.splitlines() if line.startswith("all:"))
        print(f"{method}: {seconds:.0f} s, peak {done.stdout.splitlines()[-1]} MB "
              f"(the OOF arrays: {size:,.0f} MB); {line}", flush=True)  # fmt: skip


MEASURED = (
    "import resource, sys; from foldwise.cli import main; code = main(sys.argv[1:]); "
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024); sys.exit(code)"
)


def make_wide(name: str, seed: int, rows: int, classes: int) -> None:
    """A run of five folds and a tenth as many test rows, as training leaves it."""
    names = [f"c{n:03d}" for n in range(classes)]
    config = Config(run=name, seed=seed)
    config.competition = Competition(
        slug="wide", task="multiclass", classes=names, metric="accuracy"
    )
    run, columns = Run(name), [f"prob_{c}" for c in names]
    run.begin(config, "split", list(range(5)))
    targets = np.random.default_rng(9).integers(0, classes, rows)
    labels, ids = np.array(names, object)[targets], np.array([f"{i:07d}" for i in range(rows)])
    for fold in range(5):
        origin = Provenance(fold, compose.recipe_hash(config), "split", [fold])
        here = np.arange(fold, rows, 5)
        table = guesses(targets[here], classes, seed, fold, columns)
        for place, (column, cells) in enumerate(
            {"id": ids[here], "fold": np.full(len(here), fold), "label": labels[here]}.items()
        ):
            table.insert(place, column, cells)
        run.write_predictions(fold, "oof", table, origin)
        test = guesses(targets[: rows // 10], classes, seed, 10 + fold, columns)
        test.insert(0, "id", [f"t{i:07d}" for i in range(rows // 10)])
        run.write_predictions(fold, "test", test, origin)
        run.write_model(fold, {}, origin)
    run.combine(ids.tolist())


def guesses(
    targets: np.ndarray, classes: int, seed: int, part: int, columns: list[str]
) -> pd.DataFrame:
    own, shared = np.random.default_rng([seed, part]), np.random.default_rng([77, part])
    z = shared.normal(0, 1, (len(targets), classes)).astype(np.float32)
    z += own.standard_normal((len(targets), classes), np.float32)
    z[np.arange(len(targets)), targets] += 4
    e = np.exp(2 * z)
    return pd.DataFrame(e / e.sum(axis=1, keepdims=True), columns=columns)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("synthetic", "real", "million"))
    parser.add_argument("where", nargs="?", default="*", help="runs, or a folder for the million")
    parser.add_argument("--others", default="", help="folder with the other packages")
    said = parser.parse_args()
    if said.others:
        sys.path.append(said.others)
    if said.what == "synthetic":
        synthetic(bool(said.others))
    elif said.what == "real":
        real(said.where, bool(said.others))
    else:
        million(Path(said.where).absolute())


if __name__ == "__main__":
    main()
