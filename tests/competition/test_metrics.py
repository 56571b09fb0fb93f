"""Metrics agree with scikit-learn, and keep their heads where it raises or warns."""

from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as reference

from foldwise.competition.metrics import METRICS, automatic_metric, metric_of, watched
from foldwise.config import TASKS, Competition
from foldwise.errors import FoldwiseError, UsageError


def settings(classes, task="multiclass", **other):
    return Competition(task=task, classes=[f"c{i}" for i in range(classes)], **other)


def score(name, targets, predictions, task="multiclass", **other):
    return metric_of(name, settings(predictions.shape[1], task, **other))(targets, predictions)


def drawn(n=300, c=4, seed=0, dtype=np.float64):
    source = np.random.default_rng(seed)
    logits = source.normal(size=(n, c)) * 3
    labels = source.integers(0, c, n)
    logits[np.arange(n), labels] += 2
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return labels, probs.astype(dtype)


def drawn_multilabel(n=200, c=5, seed=0):
    source = np.random.default_rng(seed)
    probs = source.random((n, c))
    return (source.random((n, c)) < probs).astype(np.uint8), probs


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("seed", range(3))
def test_multiclass_as_scikit_learn(classes, seed):
    labels, probs = drawn(c=classes, seed=seed)
    names, said = list(range(classes)), probs.argmax(1)
    curve = (labels, probs[:, 1]) if classes == 2 else (labels, probs)
    flags = np.eye(classes)[labels]
    expected = {
        "accuracy": reference.accuracy_score(labels, said),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, said),
        "log_loss": reference.log_loss(labels, probs, labels=names),
        "f1_macro": reference.f1_score(labels, said, average="macro"),
        "f1_micro": reference.f1_score(labels, said, average="micro"),
        "f1_weighted": reference.f1_score(labels, said, average="weighted"),
        "recall:c1": reference.recall_score(labels, said, average=None)[1],
        "roc_auc": reference.roc_auc_score(*curve, multi_class="ovr", labels=names),
        "average_precision": reference.average_precision_score(
            *((labels, probs[:, 1]) if classes == 2 else (flags, probs)), average="macro"
        ),
        "quadratic_weighted_kappa": reference.cohen_kappa_score(labels, said, weights="quadratic"),
        "map1": reference.accuracy_score(labels, said),
        f"map{classes}": reference.label_ranking_average_precision_score(flags, probs),
    }
    if classes > 2:
        expected["top2"] = reference.top_k_accuracy_score(labels, probs, k=2)
    else:
        expected["f1"] = reference.f1_score(labels, said)
    for name, value in expected.items():
        assert score(name, labels, probs) == pytest.approx(value, abs=1e-12), name


@pytest.mark.parametrize("seed", range(3))
def test_multilabel_as_scikit_learn(seed):
    flags, probs = drawn_multilabel(seed=seed)
    said = probs >= 0.4
    f1 = {
        f"f1_{how}": reference.f1_score(flags, said, average=how, zero_division=0)
        for how in ("macro", "micro", "weighted", "samples")
    }
    expected = f1 | {
        "accuracy": reference.accuracy_score(flags, said),
        "recall:c2": reference.recall_score(flags, said, average=None)[2],
        "roc_auc": reference.roc_auc_score(flags, probs),
        "average_precision": reference.average_precision_score(flags, probs),
        "log_loss": np.mean(
            [reference.log_loss(flags[:, c], probs[:, c]) for c in range(probs.shape[1])]
        ),
    }
    for name, value in expected.items():
        found = score(name, flags, probs, "multilabel", threshold=0.4)
        assert found == pytest.approx(value, abs=1e-12), name


def test_numbers_as_scikit_learn():
    source = np.random.default_rng(0)
    true, said = source.normal(size=(50, 2)), source.normal(size=(50, 2))
    for name, function in {
        "rmse": reference.root_mean_squared_error,
        "mse": reference.mean_squared_error,
        "mae": reference.mean_absolute_error,
    }.items():
        assert score(name, true, said, "regression") == pytest.approx(function(true, said))


def test_ordinal_kappa_is_of_the_rounded_mean():
    labels, probs = drawn(c=5)
    said = np.floor(probs @ np.arange(5) + 0.5).astype(int)
    expected = reference.cohen_kappa_score(labels, said, weights="quadratic")
    found = score("quadratic_weighted_kappa", labels, probs, "ordinal")
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("task", TASKS)
def test_every_metric_tells_right_from_wrong(task):
    """In its own direction, for every task that it takes."""
    if task == "regression":
        true = np.random.default_rng(0).normal(size=(60, 3))
        right, wrong = true + 0.1, true + 1
    elif task == "multilabel":
        true, _ = drawn_multilabel()
        right, wrong = true * 0.9 + 0.05, 0.95 - true * 0.9
    else:
        true, _ = drawn()
        right, wrong = np.eye(4)[true] * 0.9 + 0.025, np.eye(4)[(true + 1) % 4] * 0.9 + 0.025
    written = {"top": "top2", "map": "map2", "recall:": "recall:c1"}
    took = 0
    for name, kind in METRICS.items():
        if task not in kind.tasks or name == "f1":
            continue
        metric = metric_of(
            written.get(name, name), settings(true.shape[1] if true.ndim == 2 else 4, task)
        )
        assert (metric(true, right) > metric(true, wrong)) == metric.greater_is_better, name
        took += 1
    assert took > 2


def test_order_of_rows_changes_nothing():
    labels, probs = drawn()
    order = np.random.default_rng(1).permutation(len(labels))
    for name in ("accuracy", "log_loss", "roc_auc", "f1_macro", "map3", "quadratic_weighted_kappa"):
        assert score(name, labels[order], probs[order]) == pytest.approx(score(name, labels, probs))


def test_float32_rows_are_renormalised():
    labels, probs = drawn(dtype=np.float32)
    wide = probs.astype(np.float64)
    exact = score("log_loss", labels, wide / wide.sum(1, keepdims=True))
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
    assert np.isnan(score("quadratic_weighted_kappa", labels * 0, np.array([[1.0, 0]] * 300)))
    probs[3, 0] = np.nan
    assert all(np.isnan(score(name, labels, probs)) for name in ("accuracy", "f1", "roc_auc"))


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        ("acuracy", "multiclass", "no metric 'acuracy': .*module:function.*mean 'accuracy'"),
        ("top", "multiclass", "no metric 'top'.*mean 'top3'"),
        ("accuracy5", "multiclass", "no metric 'accuracy5'"),
        ("rmse", "multiclass", "rmse is no metric for a multiclass .*take one of accuracy"),
        ("f1_samples", "multiclass", "no metric for a multiclass"),
        ("top3", "multilabel", "no metric for a multilabel"),
        ("accuracy", "regression", "take one of rmse, mse, mae"),
        ("recall:c9", "multiclass", "no class 'c9'; the classes are c0, c1"),
        ("f1", "multiclass", "f1 is for two classes"),
    ],
)
def test_unfit_metric(name, task, message):
    with pytest.raises(UsageError, match=message):
        metric_of(name, settings(4, task))


def test_unknown_class_among_the_thresholds():
    with pytest.raises(UsageError, match="thresholds: there is no class 'c7'; the classes are c0"):
        score("f1_macro", *drawn_multilabel(), "multilabel", thresholds={"c7": 0.2})


def test_shapes_that_do_not_belong_together():
    labels, probs = drawn()
    with pytest.raises(ValueError, match="do not fit"):
        score("accuracy", labels[:-1], probs)


def test_watched_recall_is_of_each_class():
    labels, probs = drawn(c=3)
    how = settings(3, metrics=["recall", "log_loss", "accuracy"], metric="accuracy")
    metrics = {metric.name: metric(labels, probs) for metric in watched(how)}
    assert list(metrics) == ["recall:c0", "recall:c1", "recall:c2", "log_loss"]
    recalls = reference.recall_score(labels, probs.argmax(1), average=None)
    assert list(metrics.values())[:3] == pytest.approx(recalls)


def test_automatic_metric_fits_its_task():
    for task in TASKS:
        for sample_is_labels in (True, False):
            metric_of(automatic_metric(task, sample_is_labels), settings(3, task))


OWN = """
def brier(targets, predictions):
    return float(((predictions[range(len(targets)), targets] - 1) ** 2).mean())
brier.greater_is_better = False

def broken(targets, predictions):
    return 1 / 0
"""


def test_a_metric_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "my_own_metric.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    labels, probs = drawn()
    metric = metric_of("my_own_metric:brier", settings(4))
    assert not metric.greater_is_better
    expected = ((probs[np.arange(len(labels)), labels] - 1) ** 2).mean()
    assert metric(labels, probs) == pytest.approx(expected)
    with pytest.raises(FoldwiseError, match=r"my_own_metric:broken failed \(ZeroDivisionError"):
        score("my_own_metric:broken", labels, probs)
    with pytest.raises(UsageError, match=r"cannot be used \(AttributeError.*write a function brie"):
        score("my_own_metric:brie", labels, probs)
    with pytest.raises(UsageError, match=r"write a function f.* into not_there\.py"):
        score("not_there:f", labels, probs)
