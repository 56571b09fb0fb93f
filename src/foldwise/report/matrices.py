"""Figures of classes: who is taken for whom, and how well each is known."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from foldwise.report.predictions import Predictions
from foldwise.report.style import BLUE, FAINT, GREEN, INK, ORANGE, WHITE, canvas, clipped, tint

WHOLE = 30  # classes up to which the matrix is shown whole
WORST = 20  # of more classes: those of the most confused pairs
COUNTED = 20  # rows and columns up to which cells have their count
BARS = 30


def confusion_figure(predictions: Predictions, counts: np.ndarray) -> Figure:
    """Right answers in blue on the diagonal, mistakes in orange, as shares of the true class.

    Of more than WHOLE classes the WORST that are most confused, all others in one.
    """
    names = list(predictions.classes)
    title = "missed beside said instead" if predictions.task == "multilabel" else "true and said"
    support = _support(predictions)
    if len(names) > WHOLE:
        title += f": the {WORST} of {len(names):,} classes that are most confused"
        counts, support, names = _most_confused(counts, support, names)
    rates = counts / np.maximum(support, 1)[:, None]
    side = max(4.5, 2.2 + 0.36 * len(names))
    figure = canvas(side + 0.6, side)
    axes = figure.subplots()
    diagonal = np.eye(len(names), dtype=bool)
    axes.imshow(tint(np.where(diagonal, rates, 0), BLUE), interpolation="none")
    # Mistakes are few: the root of their share lets one in a hundred be seen.
    axes.imshow(tint(np.where(diagonal, 0, np.sqrt(rates)), ORANGE), interpolation="none")
    if len(names) <= COUNTED + 1:
        small = 9 if counts.max() >= 10_000 or len(names) > 15 else 11
        for row, column in zip(*np.nonzero(counts), strict=True):
            share = rates[row, column] if row == column else np.sqrt(rates[row, column])
            axes.text(
                column, row, _short(counts[row, column]), ha="center", va="center",
                fontsize=small, color=WHITE if share > 0.55 else INK,
            )  # fmt: skip
    shown = [clipped(name, 14) for name in names]
    places = range(len(names))
    axes.set_xticks(places, shown, rotation=90 if max(map(len, shown)) > 2 else 0)
    axes.set_yticks(places, shown)
    axes.grid(False)
    axes.set_ylabel("missed" if predictions.task == "multilabel" else "true")
    axes.set_xlabel("said instead" if predictions.task == "multilabel" else "said")
    axes.set_title(title, fontsize=13 if len(title) < 30 else 11)
    for spine in axes.spines.values():
        spine.set_visible(True)
    return figure


def _support(predictions: Predictions) -> np.ndarray:
    if predictions.task == "multilabel":
        return predictions.targets.sum(axis=0)
    return np.bincount(predictions.targets, minlength=len(predictions.classes))


def _most_confused(
    counts: np.ndarray, support: np.ndarray, names: list[str]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The classes of the most confused pairs, in their order, and all others in a last one."""
    off = counts.copy()
    np.fill_diagonal(off, 0)
    pairs = np.argsort(-off, axis=None, kind="stable")[: WORST * WORST]
    classes = np.stack(np.unravel_index(pairs, off.shape), axis=1).ravel()
    first = np.sort(np.unique(classes, return_index=True)[1])[:WORST]
    worst = np.sort(classes[first])
    others = np.setdiff1d(np.arange(len(names)), worst)
    groups = np.zeros((len(worst) + 1, len(names)))
    groups[np.arange(len(worst)), worst] = 1
    groups[-1, others] = 1
    small = np.rint(groups @ counts @ groups.T).astype(np.int64)
    chosen = [names[n] for n in worst] + [f"{len(others):,} others"]
    return small, (groups @ support).astype(np.int64), chosen


def _short(count: int) -> str:
    return f"{count}" if count < 10_000 else f"{count / 1000:.0f}k"


def classes_figure(analysis: dict[str, Any]) -> Figure:
    """Precision, recall and F1 of each class, the hardest first; of many classes the hardest."""
    listed = [one for one in analysis["classes"] if one["support"] or one["said"]]
    listed.sort(key=lambda one: one["f1"])
    title = "each class, hardest first"
    if len(listed) > BARS:
        title = f"the {BARS} hardest of {len(listed):,} classes"
        listed = listed[:BARS]
    figure = canvas(6.4, max(2.8, 1.3 + 0.3 * len(listed)))
    axes = figure.subplots()
    places = np.arange(len(listed))
    axes.barh(places, [one["f1"] for one in listed], color=FAINT, height=0.66, label="F1")
    axes.plot([o["precision"] for o in listed], places, "o", color=GREEN, label="precision")
    axes.plot([o["recall"] for o in listed], places, "D", color=BLUE, label="recall", markersize=5)
    labels = [f"{clipped(one['class'])} ({one['support']:,})" for one in listed]
    axes.set_yticks(places, labels)
    axes.set_ylim(len(listed) - 0.4, -0.6)
    low = min((min(one["f1"], one["precision"], one["recall"]) for one in listed), default=0)
    axes.set_xlim(max(0, np.floor(low * 10 - 0.5) / 10), 1.005)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.set_title(title)
    figure.legend(loc="outside lower center", ncols=3)
    return figure
