"""Post-steps: what they learn is worked into the probabilities that the common rule decides on."""

import numpy as np
import pytest

from foldwise.competition.metrics import decide_labels, metric_of
from foldwise.config import Competition
from foldwise.ensemble.post import apply_post, decided_post, fit_post, neutral
from made_runs import Truth


def case(task: str, classes: list[str] | None = None, skill: float = 1.0):  # type: ignore[no-untyped-def]
    truth = Truth(task, rows=2000, classes=classes or [])
    p = truth.guesses(truth.train_targets, skill, 1).T
    return truth, Competition(task=task, classes=truth.classes), p


@pytest.mark.parametrize(
    ("kind", "task", "classes"),
    [("temperature", "multiclass", None), ("temperature", "multilabel", None),
     ("priors", "multiclass", None), ("thresholds", "multilabel", None),
     ("thresholds", "multiclass", ["no", "yes"]), ("cutoffs", "ordinal", None)],
)  # fmt: skip
def test_neutral_parameters_change_nothing(kind: str, task: str, classes: list[str] | None) -> None:
    _, settings, p = case(task, classes)
    after = apply_post(kind, settings, neutral(kind, settings), p)
    np.testing.assert_allclose(after, p, atol=2e-3)
    np.testing.assert_array_equal(decide_labels(after.T, settings), decide_labels(p.T, settings))


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_the_temperature_calibrates(task: str) -> None:
    truth, settings, p = case(task)
    sharp = apply_post("temperature", settings, np.array([0.25]), p)  # too sure by four
    found = fit_post("temperature", settings, sharp, truth.train_targets)
    plain = fit_post("temperature", settings, p, truth.train_targets)
    assert found[0] == pytest.approx(4 * plain[0], rel=0.02)
    back = apply_post("temperature", settings, found, sharp)
    loss = metric_of("log_loss", settings)
    assert loss(truth.train_targets, back.T) < loss(truth.train_targets, sharp.T)


def test_thresholds_find_what_was_moved() -> None:
    """Probabilities that were lowered: half of them is no longer the place to cut."""
    truth, settings, p = case("multilabel")
    settings.metric = "f1_macro"
    score = metric_of("f1_macro", settings)
    found = fit_post("thresholds", settings, p**3, truth.train_targets)
    after = apply_post("thresholds", settings, found, p**3)
    assert (found < 0.3).all()
    assert score(truth.train_targets, after.T) > score(truth.train_targets, p.T) - 1e-3
    said = decide_labels(after.T, settings)
    np.testing.assert_array_equal(said, (p**3 >= found[:, None]).T)


def test_the_threshold_of_two_classes_keeps_the_settings_one() -> None:
    truth, settings, p = case("multiclass", ["no", "yes"])
    settings.metric, settings.threshold = "f1", 0.3
    found = fit_post("thresholds", settings, p, truth.train_targets)
    after = apply_post("thresholds", settings, found, p)
    said = decide_labels(after.T, settings)
    np.testing.assert_array_equal(said, p[1] >= found[1])
    score = metric_of("f1", settings)
    assert score(truth.train_targets, after.T) >= score(truth.train_targets, p.T)


def test_cutoffs_are_where_the_rounded_mean_changes() -> None:
    truth, settings, p = case("ordinal")
    settings.metric = "quadratic_weighted_kappa"
    found = fit_post("cutoffs", settings, p, truth.train_targets)
    after = apply_post("cutoffs", settings, found, p)
    grades = np.arange(4) @ p / p.sum(axis=0)
    far = np.abs(grades - found[:, None]).min(axis=0) > 1e-3
    said = decide_labels(after.T, settings)
    np.testing.assert_array_equal(said[far], np.searchsorted(found, grades, "right")[far])
    np.testing.assert_allclose(after.sum(axis=0), 1, atol=1e-5)
    score = metric_of("quadratic_weighted_kappa", settings)
    assert score(truth.train_targets, after.T) > score(truth.train_targets, p.T)


def test_priors_help_a_balanced_metric_of_uneven_classes() -> None:
    random = np.random.default_rng(0)
    targets = random.choice(3, 3000, p=[0.85, 0.1, 0.05])
    z = np.eye(3)[targets] + random.normal(0, 1, (3000, 3)) + np.log([0.85, 0.1, 0.05])
    p = (np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)).astype(np.float32).T
    settings = Competition(task="multiclass", classes=["a", "b", "c"], metric="balanced_accuracy")
    score = metric_of("balanced_accuracy", settings)
    found = fit_post("priors", settings, p, targets)
    after = apply_post("priors", settings, found, p)
    assert found[0] < found[1] and found[0] < found[2]
    assert score(targets, after.T) > score(targets, p.T) + 0.1


@pytest.mark.parametrize(
    ("task", "metric", "kind"),
    [("multiclass", "log_loss", "temperature"), ("multiclass", "accuracy", "none"),
     ("multiclass", "f1_macro", "priors"), ("multiclass", "roc_auc", "none"),
     ("multilabel", "f1_micro", "thresholds"), ("multilabel", "roc_auc", "none"),
     ("ordinal", "quadratic_weighted_kappa", "cutoffs"), ("regression", "rmse", "none")],
)  # fmt: skip
def test_auto_is_what_the_metric_wants(task: str, metric: str, kind: str) -> None:
    settings = Competition(task=task, classes=["0", "1", "2"], metric=metric)
    assert decided_post("auto", settings) == kind
