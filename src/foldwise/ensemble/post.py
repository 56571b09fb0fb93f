"""The last step of a blend, which belongs to its metric: what it learns changes probabilities.

Thresholds, cut-offs and class priors are worked into the probabilities, so that the rule by which
labels are decided (`metrics.decide_labels`) finds them there, and whoever scores, submits or blends
the result needs to know nothing of them.
"""

from collections.abc import Callable

import numpy as np

from foldwise.competition.metrics import Metric, metric_of, thresholds
from foldwise.competition.sums import largest, summed
from foldwise.config import Competition
from foldwise.ensemble.evidence import SMALLEST, logits
from foldwise.errors import UsageError

Array = np.ndarray
KINDS = {
    "temperature": "classes",
    "thresholds": "several labels a row, or two classes",
    "cutoffs": "ordered classes",
    "priors": "one class a row",
}
ENTRIES = 2_000_000  # numbers that a step is fitted on: evenly spaced rows where there are more
STEPS = {"thresholds": 2.0, "priors": 1.0, "cutoffs": 0.4}  # the first, largest, of the search
HALVINGS = 6


def decided_post(kind: str, settings: Competition) -> str:
    """``auto`` as the step that the metric wants. Raises UsageError for one that does not fit."""
    fits = {
        "temperature": settings.task != "regression",
        "thresholds": settings.task == "multilabel" or _of_two(settings),
        "cutoffs": settings.task == "ordinal",
        "priors": settings.task in ("multiclass", "ordinal"),
    }
    if kind in fits and not fits[kind]:
        raise UsageError(
            f"post={kind} is for {KINDS[kind]}, and this is a {settings.task} competition of "
            f"{len(settings.classes)} classes: say post=auto or post=none"
        )
    if kind != "auto":
        return kind
    metric = metric_of(settings.metric, settings)
    if metric.name == "log_loss":
        return "temperature"
    if metric.wants_probabilities or metric.name == "accuracy" or not _decides(metric, settings):
        return "none"
    return next(name for name in ("cutoffs", "thresholds", "priors") if fits[name])


def _decides(metric: Metric, settings: Competition) -> bool:
    form = summed(metric, settings)
    return form.labels is not None if form else ":" in metric.name


def _of_two(settings: Competition) -> bool:
    return settings.task == "multiclass" and len(settings.classes) == 2


def fit_post(kind: str, settings: Competition, p: Array, targets: Array) -> Array:
    """The parameters, float64, of predictions (c, n) whose targets are known.

    One temperature; a threshold a class; the c - 1 cut-offs between grades; a log weight a class.
    """
    thin = slice(None, None, max(1, p.size // ENTRIES))
    p, targets = p[:, thin], targets[thin]
    if kind == "temperature":
        return _temperature(settings, p, targets)
    score = _score_of(kind, settings, p, targets)
    return _search(score, neutral(kind, settings), STEPS[kind], kind)


def neutral(kind: str, settings: Competition) -> Array:
    """The parameters that change nothing."""
    classes = len(settings.classes)
    if kind == "cutoffs":
        return np.arange(classes - 1) + 0.5
    return {"temperature": np.ones(1), "priors": np.zeros(classes)}.get(kind, thresholds(settings))


def apply_post(kind: str, settings: Competition, parameters: Array, p: Array) -> Array:
    """Predictions (c, n) after the step, float32 (c, n)."""
    if kind == "none":
        return p
    if kind == "cutoffs":
        return _tilted(p, _regraded(p, parameters)).astype(np.float32)
    if kind == "priors":
        return _normalised(np.log(np.maximum(p, SMALLEST)) + parameters[:, None])
    if kind == "temperature" and settings.task != "multilabel":
        return _normalised(logits(p, settings.task) / parameters)
    z = logits(p, "multilabel")
    if kind == "temperature":
        z = z / parameters
    else:
        z = z + (_log_odds(thresholds(settings)) - _log_odds(parameters))[:, None]
    if settings.task == "multilabel":
        return (1 / (1 + np.exp(-z))).astype(np.float32)
    second = 1 / (1 + np.exp(-z[1]))
    return np.stack([1 - second, second]).astype(np.float32)


def _log_odds(p: Array) -> Array:
    p = np.clip(p, SMALLEST, 1 - SMALLEST)
    return np.log(p / (1 - p))


def _normalised(z: Array) -> Array:
    e = np.exp(z - z.max(axis=0))
    return (e / e.sum(axis=0)).astype(np.float32)


def _temperature(settings: Competition, p: Array, targets: Array) -> Array:
    """By the log loss (Guo et al., 2017)."""
    from scipy.optimize import minimize_scalar

    metric = metric_of("log_loss", settings)

    def loss(log_t: float) -> float:
        return metric(targets, apply_post("temperature", settings, np.exp([log_t]), p).T)

    found = minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-3})
    return np.exp([found.x])


def _score_of(
    kind: str, settings: Competition, p: Array, targets: Array
) -> Callable[[Array], float]:
    """Parameters -> the metric, greater being better; where labels count, without probabilities."""
    metric = metric_of(settings.metric, settings)
    sign = 1 if metric.greater_is_better else -1
    form = summed(metric, settings, labels=lambda labels: labels)
    fast = form is not None and form.labels is not None and settings.unsure == "none"
    logs, grades = np.log(np.maximum(p, SMALLEST)), _grades(p)

    def score(parameters: Array) -> float:
        if not fast or form is None:
            return sign * metric(targets, apply_post(kind, settings, parameters, p).T)
        if kind == "priors" and settings.task == "multiclass":
            labels = largest(logs + parameters[:, None].astype(np.float32))
        elif kind == "cutoffs":
            labels = np.searchsorted(parameters, grades, side="right")
        elif settings.task == "multilabel":
            labels = (p >= parameters[:, None]).T
        elif kind == "thresholds":
            labels = (p[1] >= parameters[1]).astype(np.uint8)
        else:
            return sign * metric(targets, apply_post(kind, settings, parameters, p).T)
        return sign * float(form.score(form.sums(targets, labels, None))[0])

    return score


def _search(score: Callable[[Array], float], start: Array, step: float, kind: str) -> Array:
    """One parameter after another, in steps that are halved; ties stay where they are.

    Thresholds move on the scale of their odds.
    """
    odds = kind == "thresholds"
    best = _log_odds(start) if odds else start.copy()
    value = score(start)
    for _ in range(HALVINGS):
        for _ in range(2):
            before = value
            for i in range(len(best)):
                for move in (-2 * step, -step, step, 2 * step):
                    trial = best.copy()
                    trial[i] += move
                    if kind == "cutoffs" and (np.diff(trial) <= 0).any():
                        continue
                    found = score(1 / (1 + np.exp(-trial)) if odds else trial)
                    if found > value:
                        best, value = trial, found
            if value == before:
                break
        step /= 2
    return 1 / (1 + np.exp(-best)) if odds else best


def _grades(p: Array) -> Array:
    """The expected grade of each row, float64 (n,)."""
    return np.arange(len(p)) @ p.astype(np.float64) / p.sum(axis=0, dtype=np.float64)


def _regraded(p: Array, cutoffs: Array) -> Array:
    """Expected grades moved so that a cut-off lies half-way between its two grades."""
    top = len(p) - 1
    knots = np.concatenate([[min(0, cutoffs[0] - 1e-3)], cutoffs, [max(top, cutoffs[-1] + 1e-3)]])
    return np.interp(_grades(p), knots, [0, *np.arange(top) + 0.5, top])


def _tilted(p: Array, mean: Array) -> Array:
    """The distributions (c, n) with these means that are nearest to ``p`` (by relative entropy).

    They are p_c exp(t c), scaled: t is found by bisection.
    """
    grades = np.arange(len(p))[:, None]
    logs = np.log(np.maximum(p.astype(np.float64), SMALLEST))
    mean = np.clip(mean, 1e-3, len(p) - 1 - 1e-3)
    low, high = np.full(p.shape[1], -60.0), np.full(p.shape[1], 60.0)
    tilted = p
    for _ in range(50):
        tilt = (low + high) / 2
        tilted = np.exp((z := logs + tilt * grades) - z.max(axis=0))
        tilted /= tilted.sum(axis=0)
        above = (grades * tilted).sum(axis=0) > mean
        high, low = np.where(above, tilt, high), np.where(above, low, tilt)
    return tilted
