"""Ways to find weights that bench_blend.py sets side by side: ours, AutoGluon's, hillclimbers'."""

import contextlib
import io
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from foldwise.competition.metrics import metric_of
from foldwise.config import Blend, Competition
from foldwise.ensemble.evidence import Oof, gather
from foldwise.ensemble.hillclimb import hillclimb
from foldwise.ensemble.optimize import optimize

STEPS = 25
Found = tuple[np.ndarray, float]  # weights (members,) and the seconds that it took to find them
Fit = Callable[[np.ndarray, np.ndarray, Competition], Found]


def mean(values: np.ndarray, targets: np.ndarray, settings: Competition) -> Found:
    return np.full(len(values), 1 / len(values)), 0.0


def ours(values: np.ndarray, targets: np.ndarray, settings: Competition, **how: object) -> Found:
    """Of values (members, classes, rows) float32."""
    began = time.perf_counter()
    evidence = gather(_in_memory(values, targets), settings)
    blend = Blend(method="hillclimb", **how)  # type: ignore[arg-type]
    return hillclimb(evidence, blend, None), time.perf_counter() - began


def on_the_simplex(values: np.ndarray, targets: np.ndarray, settings: Competition) -> Found:
    began = time.perf_counter()
    evidence = gather(_in_memory(values, targets), settings)
    return optimize(evidence, settings, "prob", None), time.perf_counter() - began


def _in_memory(values: np.ndarray, targets: np.ndarray) -> Oof:
    one_fold = np.zeros(len(targets), int)
    return Oof(values.shape, targets, one_fold, lambda fold, member: values[member], values)  # type: ignore[arg-type]


def autogluon(values: np.ndarray, targets: np.ndarray, settings: Competition) -> Found:
    """It takes (rows, classes) of each member; the copies to that are not timed."""
    from autogluon.core import metrics
    from autogluon.core.models.greedy_ensemble.ensemble_selection import EnsembleSelection

    listed = [np.ascontiguousarray(value.T) for value in values]
    metric = getattr(metrics, settings.metric)
    began = time.perf_counter()
    fitted = EnsembleSelection(STEPS, "multiclass", metric).fit(listed, targets)
    return np.asarray(fitted.weights_), time.perf_counter() - began


def hillclimbers(values: np.ndarray, targets: np.ndarray, settings: Competition) -> Found:
    """It blends one number a row: for the log loss that of the true class, otherwise each class's.

    Its weights show in what it returns for "test predictions" that are the identity.
    """
    from hillclimbers import climb_hill
    from hillclimbers import partial as partial_of

    members, classes, rows = values.shape
    metric = metric_of(settings.metric, settings)
    if settings.metric == "log_loss":
        columns = [value[targets, np.arange(rows)] for value in values]
    else:
        columns = [value.T.ravel() for value in values]

    def score(_: pd.Series, blend: pd.Series) -> float:
        if settings.metric == "log_loss":
            return -float(np.log(np.clip(blend.to_numpy(), 1e-15, 1)).mean())
        return metric(targets, blend.to_numpy().reshape(rows, classes))

    names = [f"m{n}" for n in range(members)]
    flat = pd.DataFrame(dict(zip(names, columns, strict=True)))
    identity = pd.DataFrame(np.eye(members), columns=names)
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        weights = climb_hill(
            train=pd.DataFrame({"t": np.zeros(len(flat))}), oof_pred_df=flat,
            test_pred_df=identity, target="t",
            objective="maximize" if metric.greater_is_better else "minimize",
            eval_metric=partial_of(score), plot_hill=False,
        )  # fmt: skip
    return np.asarray(weights), time.perf_counter() - began


FITS: dict[str, Fit] = {
    "hillclimb": ours,
    "hillclimb steps=25 stop=0": partial(ours, steps=STEPS, stop=0.0),
    "hillclimb bags=10": partial(ours, bags=10),
    "optimize": on_the_simplex,
    "mean": mean,
    "AutoGluon, 25 steps": autogluon,
    "hillclimbers": hillclimbers,
}
OTHERS = ("AutoGluon, 25 steps", "hillclimbers")
