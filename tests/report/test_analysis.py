"""analysis.json and the figures against the same numbers recomputed by scikit-learn and SciPy."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from foldwise.competition.metrics import metric_of
from foldwise.provenance import read_table, write_table
from foldwise.report.advice import advice
from foldwise.report.calibration import BINS
from foldwise.report.confusion import confusion
from foldwise.report.curves import curve_figures
from foldwise.report.matrices import classes_figure, confusion_figure
from foldwise.report.predictions import Predictions
from foldwise.report.reading import Reading, reading_of
from foldwise.report.reliability import reliability_figure
from foldwise.report.slices import slices
from foldwise.report.style import styled
from foldwise.report.together import corrected_t, correlation, disagreements, mcnemar, together
from foldwise.runs import Run
from report.made import make_run

CLASSES = ["ant", "bee", "cat", "dog"]


def table(run: Run) -> tuple[pd.DataFrame, np.ndarray]:
    """The OOF table as it is on disk, and its probabilities."""
    frame, _ = read_table(run.folder / "oof.parquet")
    return frame, frame[[f"prob_{name}" for name in CLASSES]].to_numpy()


def test_counts_and_class_figures_are_scikit_learns(home: Path) -> None:
    run = make_run("r", never=["bee"])
    analysis, (frame, probs) = reading_of(run).analysis, table(run)
    said = np.array(CLASSES)[probs.argmax(axis=1)]
    wanted = sk.confusion_matrix(frame["label"], said, labels=CLASSES)
    given = analysis["confusion"]["counts"]
    assert [[given[t].get(s, 0) for s in CLASSES] for t in CLASSES] == wanted.tolist()
    rates = sk.confusion_matrix(frame["label"], said, labels=CLASSES, normalize="true")
    for row, true in zip(rates, CLASSES, strict=True):
        got = [analysis["confusion"]["rates"][true].get(one, 0) for one in CLASSES]
        np.testing.assert_allclose(got, row)
    figures = sk.precision_recall_fscore_support(
        frame["label"], said, labels=CLASSES, zero_division=0
    )
    for key, values in zip(("precision", "recall", "f1", "support"), figures, strict=True):
        np.testing.assert_allclose([one[key] for one in analysis["classes"]], values)
    for kind in ("macro", "weighted"):
        means = sk.precision_recall_fscore_support(
            frame["label"], said, labels=CLASSES, average=kind, zero_division=0
        )
        for key, value in zip(("precision", "recall", "f1"), means, strict=False):
            assert analysis["averages"][f"{kind}_{key}"] == pytest.approx(value)
    assert analysis["averages"]["accuracy"] == pytest.approx((said == frame["label"]).mean())
    first, counts = analysis["pairs"][0], wanted - np.diag(np.diag(wanted))
    assert first["rows"] == counts.max()
    assert first["rows"] == counts[CLASSES.index(first["true"]), CLASSES.index(first["said"])]
    assert analysis["hardest"][0] == "bee"


def test_scores_are_those_of_the_folds(home: Path) -> None:
    run = make_run("r")
    analysis, (frame, probs) = reading_of(run).analysis, table(run)
    right = np.array(CLASSES)[probs.argmax(axis=1)] == frame["label"]
    folds = right.groupby(frame["fold"]).mean()
    scores = analysis["scores"]
    assert [one["score"] for one in scores["folds"].values()] == pytest.approx(folds.tolist())
    assert (scores["mean"], scores["std"]) == pytest.approx((folds.mean(), folds.std(ddof=1)))
    assert scores["oof"] == run.scores()["oof"]


def test_reliability_is_scikit_learns(home: Path) -> None:
    run = make_run("r", rows=3000)
    found, (frame, probs) = reading_of(run).analysis["calibration"], table(run)
    right = np.array(CLASSES)[probs.argmax(axis=1)] == frame["label"]
    accuracy, confidence = calibration_curve(right, probs.max(axis=1), n_bins=BINS)
    assert [one["accuracy"] for one in found["bins"]] == pytest.approx(accuracy.tolist())
    assert [one["confidence"] for one in found["bins"]] == pytest.approx(
        confidence.tolist(), rel=1e-6
    )
    rows = np.array([one["rows"] for one in found["bins"]])
    ece = (np.abs(accuracy - confidence) * rows).sum() / rows.sum()
    assert (rows.sum(), found["ece"]) == (3000, pytest.approx(ece, rel=1e-5))
    assert found["surest"][-1]["accuracy"] == pytest.approx(right.mean())


def test_multilabel_is_scikit_learns(home: Path) -> None:
    run = make_run("r", "multilabel")
    analysis, (frame, probs) = reading_of(run).analysis, table(run)
    true = frame[[f"label_{name}" for name in CLASSES]].to_numpy()
    figures = sk.precision_recall_fscore_support(true, probs >= 0.5)
    for key, values in zip(("precision", "recall", "f1", "support"), figures, strict=True):
        np.testing.assert_allclose([one[key] for one in analysis["classes"]], values)
    hits = sk.multilabel_confusion_matrix(true, probs >= 0.5)[:, 1, 1]
    counts = analysis["confusion"]["counts"]
    assert [counts[name][name] for name in CLASSES] == hits.tolist()
    missed = ((true == 1) & (probs < 0.5))[:, 0] & ((true == 0) & (probs >= 0.5))[:, 1]
    assert counts["ant"].get("bee", 0) == missed.sum()
    accuracy, _ = calibration_curve(true.ravel(), probs.ravel(), n_bins=BINS)
    assert [one["accuracy"] for one in analysis["calibration"]["bins"]] == pytest.approx(
        accuracy.tolist()
    )


def test_a_regression_is_scikit_learns(home: Path) -> None:
    run = make_run("r", "regression", classes=["x", "y"])
    analysis = reading_of(run).analysis
    frame, _ = read_table(run.folder / "oof.parquet")
    for one in analysis["numbers"]:
        true, said = frame[f"label_{one['number']}"], frame[f"pred_{one['number']}"]
        assert one["rmse"] == pytest.approx(sk.root_mean_squared_error(true, said))
        assert one["mae"] == pytest.approx(sk.mean_absolute_error(true, said))
        assert one["r2"] == pytest.approx(sk.r2_score(true, said))
        assert one["correlation"] == pytest.approx(stats.pearsonr(true, said).statistic)
        assert sum(group["rows"] for group in one["groups"]) == len(frame)
    errors = [one["error"] for one in analysis["mistakes"]]
    assert errors == sorted(errors, reverse=True)


def test_grades_count_how_far_they_are_off(home: Path) -> None:
    reading = reading_of(make_run("r", "ordinal", classes=["0", "1", "2"]))
    predictions, found = reading.predictions, reading.analysis["grades"]
    assert predictions is not None
    assert found["distance"] == pytest.approx(
        sk.mean_absolute_error(predictions.targets, predictions.decided)
    )
    assert sum(found["off_by"].values()) == 400


def test_the_worst_mistakes_are_wrong_and_least_likely(home: Path) -> None:
    run = make_run("r")
    analysis, (frame, probs) = reading_of(run).analysis, table(run)
    place = frame["label"].map({name: n for n, name in enumerate(CLASSES)}).to_numpy()
    truth = probs[np.arange(len(frame)), place]
    wrong = probs.argmax(axis=1) != place
    order = frame["id"][wrong].to_numpy()[np.argsort(truth[wrong], kind="stable")]
    assert [one["id"] for one in analysis["mistakes"]] == order[:48].tolist()
    assert all(one["true"] != one["said"] for one in analysis["mistakes"])


def read(run: Run) -> tuple[Reading, Predictions]:
    reading = reading_of(run)
    assert reading.predictions is not None
    return reading, reading.predictions


def test_the_figures_draw_these_numbers(home: Path) -> None:
    run = make_run("r")
    (reading, predictions), (frame, probs) = read(run), table(run)
    said = np.array(CLASSES)[probs.argmax(axis=1)]
    wanted = sk.confusion_matrix(frame["label"], said, labels=CLASSES)
    with styled():
        axes = confusion_figure(predictions, confusion(predictions)).axes[0]
        drawn = {text.get_position()[::-1]: int(text.get_text()) for text in axes.texts}
        cells = {(int(r), int(c)): int(wanted[r, c]) for r, c in np.argwhere(wanted)}
        assert drawn == cells
        bars = classes_figure(reading.analysis).axes[0].patches
        f1 = sk.f1_score(frame["label"], said, labels=CLASSES, average=None)
        assert [bar.get_width() for bar in bars] == pytest.approx(sorted(f1))
        line = reliability_figure(reading.analysis).axes[0].lines[1].get_xydata()
        accuracy, confidence = calibration_curve(
            said == frame["label"], probs.max(axis=1), n_bins=BINS
        )
        np.testing.assert_allclose(line, np.stack([confidence, accuracy], axis=1), rtol=1e-6)


def test_the_two_losses_are_never_compared(home: Path) -> None:
    """Each has an axis of its own, and findings go by the validation loss alone."""
    reading = reading_of(make_run("r"))
    assert reading.predictions is not None
    histories = {0: pd.DataFrame({"epoch": range(1, 11), "train_loss": 9.0, "val_loss": 0.5})}
    figure = curve_figures(histories, "accuracy", "log_loss")["loss"]
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "training objective", "validation log loss"
    ]  # fmt: skip
    for train in (9.0, 0.001):  # smoothing, or an easy training set: neither is a finding
        told = histories[0].assign(train_loss=train)
        found = advice(reading.analysis, reading.predictions, [told])
        assert not any("loss" in one.what or "overfitting" in one.what for one in found)
    risen = histories[0].assign(val_loss=np.linspace(0.4, 0.8, 10))
    found = advice(reading.analysis, reading.predictions, [risen])
    assert found[0].what.startswith("The validation loss is lowest after epoch 1 (0.400)")


def test_of_many_classes_the_matrix_shows_the_confused_ones(home: Path) -> None:
    _, predictions = read(make_run("r", classes=[f"c{n:03d}" for n in range(200)], rows=4000))
    counts = confusion(predictions)
    with styled():
        axes = confusion_figure(predictions, counts).axes[0]
        names = [label.get_text() for label in axes.get_yticklabels()]
        drawn = sum(int(text.get_text()) for text in axes.texts)
    assert (len(names), names[-1], drawn) == (21, "180 others", 4000)
    np.fill_diagonal(counts, 0)
    worst = np.unravel_index(counts.argmax(), counts.shape)
    assert {f"c{n:03d}" for n in worst} <= set(names)


def test_slices_find_the_planted_column(home: Path) -> None:
    _, predictions = read(make_run("r", rows=2000))
    right = predictions.good == 1
    random = np.random.default_rng(0)
    camera = np.where(random.random(2000) < np.where(right, 0.5, 0.1), "new", "old")
    others = pd.DataFrame(
        {
            "camera": camera,
            "year": random.integers(0, 500, 2000).astype(str),
            "file": predictions.ids,
            "same": "x",
        }
    )
    metric = metric_of("accuracy", predictions.settings)
    found, left_out = slices(predictions, others, metric)
    assert left_out == ["file", "same"]
    assert (found[0]["column"], found[0]["value"]) == ("camera", "old")
    inside, outside = predictions.good[camera == "old"], predictions.good[camera != "old"]
    welch = stats.ttest_ind(inside, outside, equal_var=False).statistic
    assert found[0]["z"] == pytest.approx(welch)
    assert found[0]["score"] == pytest.approx(inside.mean())
    years = [one for one in found if one["column"] == "year"]
    assert (len(years), sum(one["rows"] for one in years)) == (5, 2000)


def test_rows_without_a_finite_prediction_are_counted_and_left_out(home: Path) -> None:
    run = make_run("r")
    frame, origin = read_table(run.folder / "oof.parquet")
    frame.loc[3, "prob_ant"] = np.nan
    write_table(run.folder / "oof.parquet", frame, origin)
    analysis = reading_of(run).analysis
    assert (analysis["rows"], analysis["lost"]) == (399, 1)


def test_tests_of_two_runs() -> None:
    assert mcnemar(3, 2) == 1.0
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(0, 10) == pytest.approx(2 / 2**10)
    difference = np.array([0.02, 0.01, 0.03, 0.02, 0.015])
    plain = stats.ttest_1samp(difference, 0)
    # Nadeau and Bengio: the variance is (1/k + 1/(k-1)) / (1/k) times the plain test's.
    t = plain.statistic / np.sqrt((1 / 5 + 1 / 4) * 5)
    assert corrected_t(difference) == pytest.approx(2 * stats.t.sf(t, 4))
    assert corrected_t(np.zeros(5)) == 1.0


def test_runs_are_aligned_by_id(home: Path) -> None:
    _, a = read(make_run("a", folds=[0, 1]))
    _, b = read(make_run("b", folds=[1, 2], seed=1))
    both = together([a, b])
    shared = (both.place >= 0).all(axis=0)
    assert shared.sum() == 80
    rows = both.place[:, shared]
    assert a.ids[rows[0]].tolist() == b.ids[rows[1]].tolist()
    lack = both.lack[:, shared]
    wanted = np.corrcoef(1 - a.truth[rows[0]], 1 - b.truth[rows[1]])
    np.testing.assert_allclose(correlation(both.lack), wanted, atol=1e-12)
    np.testing.assert_allclose(lack[0], 1 - a.truth[rows[0]])
    for place in disagreements(a, b, rows, 5):
        assert a.decided[rows[0, place]] != b.decided[rows[1, place]]
