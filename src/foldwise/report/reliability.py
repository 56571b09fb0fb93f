"""Figures of confidence, and of a regression's numbers."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from foldwise.report.predictions import Predictions
from foldwise.report.style import BLUE, FAINT, GREEN, INK, ORANGE, canvas, clipped, tint

CELLS = 60  # of a density, a side
NUMBERS = 6  # of a regression's that are drawn


def reliability_figure(analysis: dict[str, Any]) -> Figure:
    """Whether it is right as often as it is sure, and of how many rows."""
    found = analysis["calibration"]
    figure = canvas(5.4, 4.3)
    axes = figure.subplots()
    bins = found["bins"]
    rows = np.array([one["rows"] for one in bins])
    width = (bins[0]["to"] - bins[0]["from"]) if bins else 1
    middles = [(one["from"] + one["to"]) / 2 for one in bins]
    shares = rows / max(rows.sum(), 1)
    axes.bar(middles, shares, width * 0.92, color=FAINT, label="share of the rows")
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=":")
    sizes = 30 + 170 * np.sqrt(shares)
    confidence = [one["confidence"] for one in bins]
    accuracy = [one["accuracy"] for one in bins]
    axes.plot(confidence, accuracy, color=BLUE, linewidth=1.2)
    axes.scatter(confidence, accuracy, s=sizes, color=BLUE, zorder=3, label="right")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="share that is right")
    axes.set_title(f"calibration error {found['ece']:.3f}")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def surest_figure(analysis: dict[str, Any]) -> Figure:
    """How often the surest tenth of the rows is right, the surest two tenths, … all."""
    surest = analysis["calibration"]["surest"]
    figure = canvas(5.4, 4.3)
    axes = figure.subplots()
    values = [one["accuracy"] for one in surest]
    shown = [100 * one["share"] for one in surest]
    axes.plot(shown, values, "o-", color=GREEN)
    axes.set(xlabel="the surest … % of the rows", title="accuracy of the surest")
    axes.margins(y=0.15)
    return figure


def numbers_figure(predictions: Predictions, analysis: dict[str, Any]) -> Figure:
    """For each number, truth against prediction, and the errors; of many the first NUMBERS."""
    listed = analysis["numbers"][:NUMBERS]
    figure = canvas(9, 3.7 * len(listed))
    axes = figure.subplots(len(listed), 2, squeeze=False)
    for n, one in enumerate(listed):
        true, said = predictions.targets[:, n], predictions.values[:, n]
        _density(axes[n, 0], true, said, one)
        axes[n, 0].set_title(f"{clipped(one['number'], 24)}: r² {one['r2'] or 0:.3f}")
        error = said - true
        axes[n, 1].hist(error, bins=50, color=BLUE)
        axes[n, 1].axvline(0, color=INK, linewidth=1)
        axes[n, 1].set(xlabel="predicted minus true", title=f"mean error {one['bias']:.3g}")
    return figure


def _density(axes: Any, true: np.ndarray, said: np.ndarray, figures: dict[str, Any]) -> None:
    low, high = float(min(true.min(), said.min())), float(max(true.max(), said.max()))
    if low == high:
        high = low + 1
    if len(true) <= 2_000:
        axes.scatter(said, true, s=12, color=BLUE, alpha=0.5, linewidths=0)
    else:
        counts = np.histogram2d(true, said, CELLS, [(low, high), (low, high)])[0]
        shares = np.where(counts > 0, 0.1 + 0.9 * np.sqrt(counts / counts.max()), 0)
        axes.imshow(
            tint(shares, BLUE), origin="lower", extent=(low, high, low, high),
            interpolation="none", aspect="auto",
        )  # fmt: skip
    axes.plot([low, high], [low, high], color=INK, linewidth=1, linestyle=":")
    groups = figures["groups"]
    axes.plot(
        [one["said"] for one in groups], [one["true"] for one in groups], "o-", color=ORANGE,
        label="mean of a tenth",
    )  # fmt: skip
    axes.set(xlabel="predicted", ylabel="true")
    axes.legend(loc="upper left")
