"""Sums give the scores of `competition.metrics`, of all rows and of any set of blocks."""

import numpy as np
import pytest

from foldwise.competition import metrics
from foldwise.competition.bootstrap import interval, probability_better, resampled
from foldwise.competition.sums import Blocks, summed
from foldwise.config import Competition

THREE, TWO, FOUR = ["a", "b", "c"], ["no", "yes"], ["0", "1", "2", "3"]
CASES = {
    "multiclass": (THREE, ["accuracy", "balanced_accuracy", "f1_macro", "f1_micro", "f1_weighted",
                           "recall:b", "log_loss", "top2", "map3"]),
    "two": (TWO, ["accuracy", "f1", "balanced_accuracy", "log_loss", "f1_macro"]),
    "ordinal": (FOUR, ["quadratic_weighted_kappa", "accuracy", "balanced_accuracy", "f1_macro"]),
    "multilabel": (THREE, ["accuracy", "f1_macro", "f1_micro", "f1_weighted", "f1_samples",
                           "recall:c", "log_loss"]),
    "regression": (["x", "y"], ["rmse", "mse", "mae"]),
}  # fmt: skip
ALL = [(task, name) for task, (_, names) in CASES.items() for name in names]


def case(task: str, rows: int, seed: int = 0) -> tuple[Competition, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    classes = CASES[task][0]
    kind = "multiclass" if task == "two" else task
    settings = Competition(task=kind, classes=classes)
    if task == "two":
        settings.threshold = 0.3
    if task == "multilabel":
        settings.thresholds, settings.unsure = {"b": 0.7}, "best"
    c = len(classes)
    if task == "regression":
        return settings, random.normal(size=(rows, c)), random.normal(size=(rows, c))
    if task == "multilabel":
        return settings, random.integers(0, 2, (rows, c)).astype(np.uint8), random.random((rows, c))
    predictions = random.dirichlet(np.ones(c), rows)
    predictions[: rows // 4] = predictions[: rows // 4].round(1)  # ties
    return settings, random.integers(0, c, rows), predictions


@pytest.mark.parametrize(("task", "name"), ALL)
def test_sums_give_the_metrics_score(task: str, name: str) -> None:
    settings, targets, predictions = case(task, 203)
    metric = metrics.metric_of(name, settings)
    form = summed(metric, settings)
    assert form is not None
    predictions = np.asfortranarray(predictions)
    score = form.score(form.sums(targets, predictions, None))
    np.testing.assert_allclose(score, [metric(targets, predictions)], rtol=1e-12)
    blocks = Blocks(np.arange(203) % 4, 4)
    sums = form.sums(targets, predictions, blocks)
    rows = blocks.of != 2
    np.testing.assert_allclose(
        form.score(sums[[0, 1, 3]].sum(axis=0)), metric(targets[rows], predictions[rows]), rtol=1e-9
    )
    if form.labels:
        np.testing.assert_array_equal(
            form.labels(predictions), metrics.decide_labels(predictions, settings)
        )


def test_undefined_scores_are_nan() -> None:
    settings = Competition(task="ordinal", classes=FOUR)
    same = np.eye(4)[[2, 2, 2]]
    for name, targets in (("quadratic_weighted_kappa", [2, 2, 2]), ("recall:0", [2, 2, 2])):
        metric = metrics.metric_of(name, settings)
        form = summed(metric, settings)
        assert form is not None
        assert np.isnan(metric(np.array(targets), same))
        assert np.isnan(form.score(form.sums(np.array(targets), same, None))).all()


def test_metrics_of_ranks_and_users_have_no_sums() -> None:
    settings = Competition(task="multiclass", classes=THREE)
    assert summed(metrics.metric_of("roc_auc", settings), settings) is None
    own = metrics.Metric("mine:score", True, True, lambda t, p: 0.0)
    assert summed(own, settings) is None


@pytest.mark.parametrize("name", ["accuracy", "roc_auc"])
def test_the_bootstrap_has_the_spread_that_theory_gives(name: str) -> None:
    settings = Competition(task="multiclass", classes=TWO)
    metric = metrics.metric_of(name, settings)
    random = np.random.default_rng(1)
    targets = random.integers(0, 2, 4000)
    p = np.clip(0.5 + 0.25 * (targets - 0.5) + random.normal(0, 0.2, 4000), 0, 1)
    predictions = np.stack([1 - p, p], axis=1)
    samples = resampled(metric, settings, targets, [predictions])[0]
    score = metric(targets, predictions)
    if name == "accuracy":
        error = np.sqrt(score * (1 - score) / 4000)
    else:  # Hanley and McNeil, 1982
        q1, q2, n = score / (2 - score), 2 * score**2 / (1 + score), 2000
        error = np.sqrt(
            (score * (1 - score) + (n - 1) * (q1 - score**2) + (n - 1) * (q2 - score**2)) / n**2
        )
    assert samples.std() == pytest.approx(error, rel=0.2)
    low, high = interval(samples) or (0, 0)
    assert low < score < high
    assert high - low == pytest.approx(3.92 * error, rel=0.2)


def test_the_better_of_two_is_told_with_its_probability() -> None:
    settings = Competition(task="multiclass", classes=THREE)
    metric = metrics.metric_of("accuracy", settings)
    targets = np.random.default_rng(0).integers(0, 3, 3000)
    random = np.random.default_rng(2)
    good, same, worse = (
        np.eye(3)[np.where(random.random(3000) < right, targets, (targets + 1) % 3)]
        for right in (0.9, 0.9, 0.86)
    )
    scores = resampled(metric, settings, targets, [good, same, worse, good])
    assert probability_better(scores[0], scores[2], True) > 0.99
    assert probability_better(scores[2], scores[0], True) < 0.01
    assert 0.02 < probability_better(scores[0], scores[1], True) < 0.98
    assert probability_better(scores[0], scores[3], True) == 0.5
    assert probability_better(scores[0], scores[2], False) < 0.01
