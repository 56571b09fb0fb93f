"""Weights on the simplex: at the bottom of the loss, as small steps around them show."""

import numpy as np
import pytest

from foldwise.competition.metrics import metric_of
from foldwise.config import Competition
from foldwise.ensemble.evidence import Oof, gather, logits
from foldwise.ensemble.optimize import optimize
from made_runs import Truth


@pytest.mark.parametrize(
    ("task", "metric", "space"),
    [("multiclass", "log_loss", "prob"), ("multiclass", "log_loss", "logit"),
     ("multilabel", "log_loss", "prob"), ("multilabel", "log_loss", "logit"),
     ("ordinal", "log_loss", "prob"), ("regression", "rmse", "prob"),
     ("regression", "mae", "prob"), ("regression", "mse", "prob")],
)  # fmt: skip
def test_no_small_step_is_better(task: str, metric: str, space: str) -> None:
    truth = Truth(task, rows=500)
    values = np.stack([truth.guesses(truth.train_targets, 0.8 + 0.3 * n, n).T for n in range(4)])
    fold = np.arange(500) // 250
    oof = Oof(values.shape, truth.train_targets, fold, lambda k, m: values[m][:, fold == k])
    settings = Competition(task=task, classes=truth.classes, metric=metric)
    weights = optimize(gather(oof, settings, space), settings, space, without=0)
    assert weights.sum() == pytest.approx(1) and (weights >= 0).all()
    rows, score = fold != 0, metric_of(metric, settings)

    def loss(w: np.ndarray) -> float:
        if space == "prob":
            return score(truth.train_targets[rows], np.tensordot(w, values, 1)[:, rows].T)
        z = np.tensordot(w, logits(values, task), 1)[:, rows]
        p = 1 / (1 + np.exp(-z)) if task == "multilabel" else np.exp(z) / np.exp(z).sum(axis=0)
        return score(truth.train_targets[rows], p.T)

    best = loss(weights)
    for i in range(4):
        for j in range(4):
            step = 0.02 * (np.eye(4)[i] - np.eye(4)[j])
            if i != j and (weights + step >= 0).all():
                assert loss(weights + step) > best - 1e-5
    assert best < min(loss(np.eye(4)[n]) for n in range(4)) + 1e-6
