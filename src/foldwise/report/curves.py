"""Figures of training: loss, validation and learning rate over the epochs; score by fold."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from foldwise.report.style import BLUE, FAINT, GREEN, INK, ORANGE, PURPLE, canvas, clipped

Histories = dict[int, pd.DataFrame]  # fold -> metrics.csv


def curve_figures(histories: Histories, metric: str, loss: str) -> dict[str, Figure]:
    """loss, validation, learning_rate and combined; none where no fold has a metrics.csv.

    And accuracy, where that is watched beside the ``metric``.

    Each fold is a thin line, their mean the thick one. ``loss``: what metrics.csv has as val_loss.
    """
    if not histories:
        return {}
    parts: dict[str, Callable[[Any], None]] = {
        "loss": lambda axes: _loss(axes, histories, loss),
        "validation": lambda axes: _validation(axes, histories, metric),
        "learning_rate": lambda axes: _rate(axes, histories),
    }
    if metric != "accuracy" and any("val_accuracy" in h for h in histories.values()):
        parts["accuracy"] = lambda axes: _validation(axes, histories, "accuracy")
    figures = {}
    for name, draw in parts.items():
        figures[name] = canvas(5.4, 3.4)
        draw(figures[name].subplots())
        figures[name].axes[0].set_xlabel("epoch")
    together = canvas(9, 5.6)
    axes = together.subplots(2, 2, sharex=True, height_ratios=(3, 1.1))
    _loss(axes[0, 0], histories, loss)
    _validation(axes[0, 1], histories, metric)
    _rate(axes[1, 0], histories)
    _speed(axes[1, 1], histories)
    for one in axes[1]:
        one.set_xlabel("epoch")
    figures["combined"] = together
    return figures


def _lines(axes: Any, histories: Histories, column: str, colour: str, label: str) -> None:
    there = [h.set_index("epoch")[column].dropna() for h in histories.values() if column in h]
    there = [line for line in there if len(line)]
    if not there:
        return
    if len(there) > 1:
        for line in there:
            axes.plot(line.index, line, color=colour, linewidth=1, alpha=0.35)
    table = pd.concat(there, axis=1)
    mean = table.mean(axis=1).sort_index()
    mark = "o" if len(mean) == 1 else None
    axes.plot(mean.index, mean, color=colour, label=label, marker=mark)
    axes.xaxis.get_major_locator().set_params(integer=True)


def _loss(axes: Any, histories: Histories, loss: str) -> None:
    """Each on an axis of its own: they are two quantities, whose distance says nothing."""
    _lines(axes, histories, "train_loss", BLUE, "training")
    _axis(axes, "training objective", BLUE)
    if any("val_loss" in history for history in histories.values()):
        other = axes.twinx()
        _lines(other, histories, "val_loss", ORANGE, "validation")
        _axis(other, f"validation {loss.replace('_', ' ')}", ORANGE)
        other.grid(False)
    axes.set_title("loss, two scales")


def _axis(axes: Any, says: str, colour: str) -> None:
    axes.set_ylabel(says, color=colour)
    axes.tick_params(axis="y", labelcolor=colour)


def _validation(axes: Any, histories: Histories, metric: str) -> None:
    """The metric of the held-out folds; of accuracy also that of the training."""
    _lines(axes, histories, f"val_{metric}", GREEN, "validation")
    axes.set_title(f"validation {clipped(metric, 24)}")
    if metric == "accuracy" and any("train_accuracy" in h for h in histories.values()):
        _lines(axes, histories, "train_accuracy", BLUE, "training, as augmented")
        axes.set_title("accuracy")
        axes.legend()


def _rate(axes: Any, histories: Histories) -> None:
    _lines(axes, histories, "lr", PURPLE, "learning rate")
    axes.set_title("learning rate")
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))


def _speed(axes: Any, histories: Histories) -> None:
    _lines(axes, histories, "images_per_second", INK, "images a second")
    axes.set_title("images a second")
    axes.set_ylim(bottom=0)


def fold_figure(analysis: dict[str, Any]) -> Figure:
    """The score of each fold, their mean and standard deviation."""
    scores = analysis["scores"]
    folds = {k: v["score"] for k, v in scores["folds"].items() if v["score"] is not None}
    figure = canvas(5.4, 3.4)
    axes = figure.subplots()
    places = np.arange(len(folds))
    if scores["mean"] is not None:
        low = high = scores["mean"]
        if scores["std"] is not None:
            low, high = scores["mean"] - scores["std"], scores["mean"] + scores["std"]
            axes.axhspan(low, high, color=FAINT, alpha=0.45, linewidth=0)
        axes.axhline(scores["mean"], color=INK, linewidth=1.2, label="mean ± standard deviation")
    axes.plot(places, list(folds.values()), "o", color=BLUE, markersize=9, label="fold")
    if len(folds) <= 20:
        axes.set_xticks(places, list(folds))
    axes.set(xlabel="fold", title=f"{clipped(analysis['metric'], 24)} by fold")
    axes.margins(x=0.1, y=0.15)
    figure.legend(loc="outside lower center", ncols=2)
    return figure
