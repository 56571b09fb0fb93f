"""Metrics agree with scikit-learn, and keep their heads where it raises or warns."""

import numpy as np
import pytest
from sklearn import metrics as reference

from foldwise.competition.metrics import METRICS, score
from foldwise.errors import UsageError


def drawn(n=300, c=4, seed=0, dtype=np.float64):
    source = np.random.default_rng(seed)
    logits = source.normal(size=(n, c)) * 3
    labels = source.integers(0, c, n)
    logits[np.arange(n), labels] += 2
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return labels, probs.astype(dtype)


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("seed", range(3))
def test_as_scikit_learn(classes, seed):
    labels, probs = drawn(c=classes, seed=seed)
    names = list(range(classes))
    assert score("accuracy", labels, probs) == reference.accuracy_score(labels, probs.argmax(1))
    assert score("log_loss", labels, probs) == pytest.approx(
        reference.log_loss(labels, probs, labels=names)
    )
    assert score("f1_macro", labels, probs) == pytest.approx(
        reference.f1_score(labels, probs.argmax(1), average="macro")
    )
    expected = (
        reference.roc_auc_score(labels, probs[:, 1])
        if classes == 2
        else reference.roc_auc_score(labels, probs, multi_class="ovr", labels=names)
    )
    assert score("roc_auc", labels, probs) == pytest.approx(expected)


def test_directions():
    assert {name: metric.greater_is_better for name, metric in METRICS.items()} == {
        "accuracy": True,
        "log_loss": False,
        "f1_macro": True,
        "roc_auc": True,
    }
    labels, _ = drawn()
    right, wrong = np.eye(4)[labels] * 0.9 + 0.025, np.eye(4)[(labels + 1) % 4] * 0.9 + 0.025
    for name, metric in METRICS.items():
        better, worse = score(name, labels, right), score(name, labels, wrong)
        assert (better > worse) == metric.greater_is_better


def test_float32_rows_are_renormalised():
    labels, probs = drawn(dtype=np.float32)
    exact = score(
        "log_loss",
        labels,
        probs.astype(np.float64) / probs.astype(np.float64).sum(1, keepdims=True),
    )
    assert score("log_loss", labels, probs) == pytest.approx(exact, abs=1e-12)
    assert score("log_loss", labels, probs * 3) == pytest.approx(exact, abs=1e-6)


def test_log_loss_of_a_certain_mistake_is_finite():
    labels, probs = np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]])
    assert score("log_loss", labels, probs) == pytest.approx(reference.log_loss(labels, probs))


def test_classes_absent_from_the_labels():
    labels, probs = drawn(c=5)
    labels = labels % 3
    present = [reference.roc_auc_score(labels == c, probs[:, c]) for c in range(3)]
    assert score("roc_auc", labels, probs) == pytest.approx(np.mean(present))
    assert score("f1_macro", labels, probs) == pytest.approx(
        reference.f1_score(labels, probs.argmax(1), average="macro", zero_division=0)
    )
    names = list(range(5))
    assert score("log_loss", labels, probs) == pytest.approx(
        reference.log_loss(labels, probs, labels=names)
    )


@pytest.mark.filterwarnings("error")
def test_undefined_is_nan():
    labels, probs = drawn(c=2)
    assert np.isnan(score("roc_auc", np.zeros_like(labels), probs))
    assert np.isnan(score("accuracy", labels[:0], probs[:0]))
    probs[3, 0] = np.nan
    assert all(np.isnan(score(name, labels, probs)) for name in METRICS)


def test_unknown_metric():
    with pytest.raises(
        UsageError, match=r"unknown metric 'acuracy': one of accuracy.*did you mean 'accuracy'"
    ):
        score("acuracy", *drawn())


def test_shapes_that_do_not_belong_together():
    labels, probs = drawn()
    with pytest.raises(ValueError, match="do not belong"):
        score("accuracy", labels[:-1], probs)
