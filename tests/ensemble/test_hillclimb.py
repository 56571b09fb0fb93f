"""The climb that looks at few rows goes where one goes that computes the whole metric."""

from dataclasses import replace

import numpy as np
import pytest

from foldwise.competition.metrics import metric_of
from foldwise.config import Blend, Competition
from foldwise.ensemble import evidence as evidence_
from foldwise.ensemble.evidence import Oof, gather
from foldwise.ensemble.hillclimb import Climb, climb, hillclimb
from made_runs import Truth

MEMBERS = 6
CASES = [
    ("multiclass", "accuracy"),
    ("multiclass", "f1_macro"),
    ("multiclass", "balanced_accuracy"),
    ("multiclass", "log_loss"),
    ("multiclass", "map2"),
    ("multiclass", "roc_auc"),
    ("ordinal", "quadratic_weighted_kappa"),
    ("multilabel", "f1_macro"),
    ("multilabel", "log_loss"),
    ("regression", "rmse"),
]


def library(
    task: str, metric: str, rows: int = 300, classes: list[str] | None = None
) -> tuple[Oof, Competition, np.ndarray]:
    truth = Truth(task, rows=rows, classes=classes or [])
    values = np.stack(
        [truth.guesses(truth.train_targets, 0.5 + 0.2 * n, n).T for n in range(MEMBERS)]
    )
    values = np.ascontiguousarray(values)
    fold = np.arange(rows) * 3 // rows
    settings = Competition(task=task, classes=truth.classes, metric=metric)

    def read(number: int, member: int) -> np.ndarray:
        return values[member][:, fold == number]

    return Oof(values.shape, truth.train_targets, fold, read, values), settings, values


def plain_climb(
    values: np.ndarray, targets: np.ndarray, settings: Competition, steps: int
) -> list[float]:
    """The same by the book: every member's blend scored by the metric itself."""
    metric = metric_of(settings.metric, settings)
    sign = 1 if metric.greater_is_better else -1
    total, found = np.zeros(values.shape[1:], np.float32), []
    for step in range(steps):
        blends = [(total + value) / np.float32(step + 1) for value in values]
        scores = [sign * metric(targets, blend.T) for blend in blends]
        total = total + values[int(np.argmax(scores))]
        found.append(sign * max(scores))
    return found


@pytest.mark.parametrize(("task", "metric"), CASES)
@pytest.mark.parametrize("without", [None, 1])
def test_the_scores_are_those_of_the_metric(task: str, metric: str, without: int | None) -> None:
    oof, settings, values = library(task, metric)
    rows = oof.fold != (-1 if without is None else without)
    found = climb(gather(oof, settings), without, steps=8)
    wanted = plain_climb(values[:, :, rows], oof.targets[rows], settings, 8)
    np.testing.assert_allclose(found.scores, wanted, rtol=1e-5)


def test_looking_at_open_rows_alone_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from foldwise.ensemble import hillclimb as module

    for held in (True, False):  # without it, rows on which all agree are dropped
        oof, settings, _ = library("multiclass", "accuracy", rows=900)
        oof = oof if held else replace(oof, held=None)
        evidence = gather(oof, settings)
        assert held or len(evidence.targets) < 900
        paths = []
        for wide in (0.0, 2.0):
            monkeypatch.setattr(module, "WIDE", wide)
            for negative in (False, True):
                some = gather(oof, settings, negative=negative) if negative else evidence
                paths.append(climb(some, 2, steps=15, negative=negative))
        for one, other in ((0, 2), (1, 3)):
            np.testing.assert_array_equal(paths[one].counts, paths[other].counts)
            np.testing.assert_allclose(paths[one].errors, paths[other].errors)


@pytest.mark.parametrize(
    ("task", "metric"),
    [("multiclass", "accuracy"), ("multiclass", "log_loss"), ("multilabel", "log_loss")],
)
def test_logits_are_climbed(task: str, metric: str) -> None:
    oof, settings, values = library(task, metric)
    found = climb(gather(oof, settings, space="logit"), steps=4)
    logits = evidence_.logits(values, task)
    blend = np.tensordot(found.counts[-1] / 4, logits, 1)
    p = 1 / (1 + np.exp(-blend)) if task == "multilabel" else np.exp(blend)
    p = p if task == "multilabel" else p / p.sum(axis=0)
    score = metric_of(metric, settings)(oof.targets, p.T)
    assert found.scores[-1] == pytest.approx(score, rel=1e-5)


def test_negative_weights_subtract_what_others_share() -> None:
    random = np.random.default_rng(0)
    targets = random.normal(size=(400, 1))
    shared = random.normal(size=(400, 1))
    values = np.stack([targets + shared, targets + 2 * shared + random.normal(0, 0.1, (400, 1))])
    values = values.transpose(0, 2, 1).astype(np.float32)
    oof = Oof(values.shape, targets, np.zeros(400, int), lambda fold, member: values[member])
    settings = Competition(task="regression", classes=["y"], metric="rmse")
    plain = climb(gather(oof, settings), steps=20)
    negative = climb(gather(oof, settings, negative=True), steps=20, negative=True)
    assert negative.scores.min() < 0.5 * plain.scores.min()
    assert (negative.counts < 0).any()
    np.testing.assert_allclose(negative.counts.sum(axis=1), np.arange(1, 21))


def test_it_stops_where_more_is_noise() -> None:
    counts = np.cumsum(np.eye(4), axis=0)
    path = Climb(counts, np.array([0.7, 0.8, 0.81, 0.811]), np.array([0.02, 0.02, 0.02, 0]), True)
    assert [path.chosen(stop) for stop in (0, 0.1, 0.9, 9)] == [3, 2, 1, 0]
    worse = Climb(counts, -path.scores, path.errors, False)
    assert worse.chosen(0.9) == 1


def test_bags_average_climbs_over_halves_of_the_members() -> None:
    oof, settings, _ = library("multiclass", "log_loss")
    weights = hillclimb(gather(oof, settings), Blend(bags=8, steps=5), None, seed=1)
    assert weights.sum() == pytest.approx(1)
    one = hillclimb(gather(oof, settings), Blend(steps=5), None)
    assert np.count_nonzero(weights) > np.count_nonzero(one)
    again = hillclimb(gather(oof, settings), Blend(bags=8, steps=5), None, seed=1)
    np.testing.assert_array_equal(weights, again)


def test_many_classes_are_told_apart() -> None:
    oof, settings, values = library(
        "multiclass", "accuracy", rows=400, classes=[f"c{n:03d}" for n in range(300)]
    )
    found = climb(gather(oof, settings), steps=6)
    np.testing.assert_allclose(
        found.scores, plain_climb(values, oof.targets, settings, 6), rtol=1e-6
    )
