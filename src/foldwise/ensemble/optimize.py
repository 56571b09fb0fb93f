"""Weights on the simplex that minimise a smooth loss of the blend."""

from collections.abc import Callable

import numpy as np

from foldwise.competition.sums import clipped
from foldwise.config import Competition
from foldwise.ensemble.evidence import Evidence
from foldwise.errors import FoldwiseError

Array = np.ndarray
SMOOTH = ("log_loss", "rmse", "mse", "mae")
LEAST = 1e-3  # weights under it are taken for none
Loss = Callable[[Array, Array], tuple[float, Array]]


def optimize(evidence: Evidence, settings: Competition, space: str, without: int | None) -> Array:
    """Weights >= 0 that sum to 1, float64 (m,), fitted on the rows of all folds but ``without``.

    By sequential quadratic programming (Kraft, 1988) from equal weights; the log loss of a mixture
    is convex in its weights.
    """
    from scipy.optimize import minimize

    rows = evidence.rows(without)
    values = evidence.values if len(rows) == len(evidence.fold) else evidence.values[:, :, rows]
    targets, loss = evidence.targets[rows], _loss(evidence, settings, space)
    members = len(values)

    def objective(weights: Array) -> tuple[float, Array]:
        blend = np.einsum("m,mdn->dn", weights.astype(np.float32), values)
        value, slope = loss(blend, targets)
        return value, np.einsum("mdn,dn->m", values, slope.astype(np.float32)).astype(np.float64)

    done = minimize(
        objective,
        np.full(members, 1 / members),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * members,
        constraints={
            "type": "eq",
            "fun": lambda w: w.sum() - 1,
            "jac": lambda w: np.ones(members),
        },
        options={"maxiter": 200, "ftol": 1e-9},
    )
    if not np.isfinite(done.x).all():
        raise FoldwiseError(f"no weights were found ({done.message}): try method=hillclimb")
    weights = np.where(done.x < LEAST, 0, done.x)
    return weights / weights.sum()


def _loss(evidence: Evidence, settings: Competition, space: str) -> Loss:
    """(blend (d, n), targets) -> the mean loss and its slope (d, n)."""
    name = evidence.metric.name
    if name != "log_loss":
        return {"rmse": _rmse, "mse": _mse, "mae": _mae}[name]
    if space == "logit":
        return _log_loss_of_odds if settings.task == "multilabel" else _log_loss_of_logits
    return _log_loss_of_labels if settings.task == "multilabel" else _log_loss_of_truth


def _log_loss_of_truth(true: Array, _: Array) -> tuple[float, Array]:
    p = clipped(true)
    return -float(np.log(p).mean(dtype=np.float64)), -1 / (p * p.shape[1])


def _log_loss_of_labels(p: Array, targets: Array) -> tuple[float, Array]:
    sign = np.where(targets.T == 1, np.float32(1), np.float32(-1))
    true = clipped(np.where(sign > 0, p, 1 - p))
    return -float(np.log(true).mean(dtype=np.float64)), -sign / (true * p.size)


def _log_loss_of_logits(z: Array, targets: Array) -> tuple[float, Array]:
    z = z - z.max(axis=0)
    e = np.exp(z)
    total, each = e.sum(axis=0), np.arange(z.shape[1])
    slope = e / total
    slope[targets, each] -= 1
    loss = np.log(total) - z[targets, each]
    return float(loss.mean(dtype=np.float64)), slope / z.shape[1]


def _log_loss_of_odds(z: Array, targets: Array) -> tuple[float, Array]:
    flags = targets.T.astype(np.float32)
    loss = np.logaddexp(0, z) - flags * z
    return float(loss.mean(dtype=np.float64)), (1 / (1 + np.exp(-z)) - flags) / z.size


def _mse(y: Array, targets: Array) -> tuple[float, Array]:
    error = y - targets.T
    return float((error**2).mean()), 2 * error / error.size


def _rmse(y: Array, targets: Array) -> tuple[float, Array]:
    error = y - targets.T
    each = np.sqrt((error**2).mean(axis=1, keepdims=True))
    return float(each.mean()), error / np.maximum(each, 1e-12) / error.size


def _mae(y: Array, targets: Array) -> tuple[float, Array]:
    error = y - targets.T
    return float(np.abs(error).mean()), np.sign(error) / error.size
