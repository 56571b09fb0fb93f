"""Figures of several runs: their scores, CV against the leaderboard, blends, rounds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from foldwise import runview
from foldwise.report.facts import Facts
from foldwise.report.style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    WHITE,
    canvas,
    clipped,
    tint,
)

BARS = 30
NUMBERED = 12  # members up to which a correlation matrix has its numbers


def scores_figure(listed: Sequence[Facts]) -> Figure | None:
    """Each run's folds as dots, their mean, and the honest score where there is one; best first."""
    known = [facts for facts in listed if facts.best is not None]
    known = [facts for facts in known if facts.metric == known[0].metric][:BARS]
    if not known:
        return None
    figure = canvas(9, 1.5 + 0.36 * len(known))
    axes = figure.subplots()
    for place, facts in enumerate(known):
        folds = [v for v in (facts.scores.get("folds") or {}).values() if v is not None]
        axes.plot(
            folds, [place] * len(folds), "o", color=BLUE, alpha=0.35, label=_once("folds", place)
        )
        if facts.score is not None:
            label = _once("OOF", place)
            axes.plot(facts.score, place, "D", color=BLUE, markersize=8, label=label)
    honest = [
        (facts.honest, place) for place, facts in enumerate(known) if facts.honest is not None
    ]
    if honest:
        axes.plot(*zip(*honest, strict=True), "s", color=ORANGE, markersize=7, label="honest")
    axes.set_yticks(range(len(known)), [clipped(facts.name, 28) for facts in known])
    axes.set_ylim(len(known) - 0.4, -0.6)
    axes.grid(axis="x")
    better = "higher" if known[0].scores.get("greater_is_better", True) else "lower"
    axes.set_title(f"{clipped(known[0].metric, 24)} ({better} is better)")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _once(label: str, place: int) -> str | None:
    return label if place == 0 else None


def leaderboard_figure(rows: Sequence[dict[str, Any]], run: str = "") -> Figure | None:
    """CV against public score, a point a submission; ``run`` stands out. None without two."""
    if len(rows) < 2:
        return None
    cv = np.array([row["cv"] for row in rows])
    public = np.array([row["public"] for row in rows])
    figure = canvas(6, 4.4)
    axes = figure.subplots()
    low, high = min(cv.min(), public.min()), max(cv.max(), public.max())
    axes.plot([low, high], [low, high], color=FAINT, linewidth=1.5, label="CV = public")
    ours = np.array([row["run"].partition(":")[0] == run for row in rows])
    axes.plot(cv[~ours], public[~ours], "o", color=BLUE, markersize=8, alpha=0.8)
    axes.plot(cv[ours], public[ours], "D", color=ORANGE, markersize=9)
    for row in rows if len(rows) <= 15 else [rows[n] for n in np.flatnonzero(ours).tolist()]:
        axes.annotate(
            clipped(row["run"], 22), (row["cv"], row["public"]), (6, 4),
            textcoords="offset points", fontsize=10,
        )  # fmt: skip
    title = f"CV and public score of {len(rows)} submissions"
    if len(rows) > 2 and cv.std() > 0 and public.std() > 0:
        title += f": correlation {np.corrcoef(cv, public)[0, 1]:.2f}"
    axes.set(xlabel="CV", ylabel="public score")
    axes.set_title(title, fontsize=12)
    axes.grid(axis="both")
    axes.margins(0.12)
    axes.legend(loc="upper left")
    return figure


def weights_figure(members: Sequence[dict[str, Any]]) -> Figure | None:
    """A blend's weights beside each member's own score; members: name, weight, score."""
    known = [one for one in members if one.get("weight") is not None][:BARS]
    if not known:
        return None
    figure = canvas(6.4, 1.5 + 0.36 * len(known))
    axes = figure.subplots()
    weights = [one["weight"] for one in known]
    colours = [BLUE if weight >= 0 else ORANGE for weight in weights]
    axes.barh(range(len(known)), weights, color=colours, height=0.66)
    axes.axvline(0, color=INK, linewidth=1)
    labels = [clipped(one["name"], 24) for one in known]
    for place, one in enumerate(known):
        if one.get("score") is not None:
            labels[place] += f"  {one['score']:.4f}"
    axes.set_yticks(range(len(known)), labels)
    axes.set_ylim(len(known) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.set_title("weight of each member (and its own score)")
    return figure


def correlation_figure(names: Sequence[str], matrix: np.ndarray) -> Figure | None:
    """How alike runs are: float (n, n), 1 on the diagonal."""
    if len(names) < 2:
        return None
    side = max(4.0, 2.0 + 0.45 * len(names))
    figure = canvas(side + 0.8, side)
    axes = figure.subplots()
    off = matrix[~np.eye(len(names), dtype=bool)]
    low = min(float(np.nanmin(off)), 0.9) if len(off) else 0.0
    shares = np.nan_to_num((matrix - low) / (1 - low if low < 1 else 1.0))
    axes.imshow(tint(0.08 + 0.92 * shares, BLUE), interpolation="none")
    if len(names) <= NUMBERED:
        for row in range(len(names)):
            for column in range(len(names)):
                colour = WHITE if shares[row, column] > 0.5 else INK
                axes.text(
                    column, row, f"{matrix[row, column]:.2f}", ha="center", va="center",
                    fontsize=10, color=colour,
                )  # fmt: skip
    shown = [clipped(name, 20) for name in names]
    axes.set_xticks(range(len(names)), shown, rotation=90)
    axes.set_yticks(range(len(names)), shown)
    axes.grid(False)
    axes.set_title("correlation of the mistakes")
    return figure


def rounds_figure(found: dict[str, list[tuple[int, Facts]]]) -> Figure | None:
    """The score of each pseudo-label round with its interval and gain, a line a run; or None."""
    lines = {
        base: [(place, facts) for place, facts in ones if facts.best is not None]
        for base, ones in found.items()
    }
    lines = {base: points for base, points in lines.items() if points}
    if not lines:
        return None
    figure = canvas(6, 3.6)
    axes = figure.subplots()
    for (base, points), colour in zip(lines.items(), (BLUE, ORANGE, GREEN, PURPLE), strict=False):
        scores = np.array([facts.best for _, facts in points], float)
        around = np.array([_around(facts) for _, facts in points]).T
        places = [place for place, _ in points]
        axes.errorbar(
            places, scores, around, fmt="o-", color=colour, capsize=4, label=clipped(base, 28)
        )
        for place, facts in points:
            gain, error = (runview.pseudo(facts.run).get(key) for key in ("gain", "error"))
            if isinstance(gain, float) and isinstance(error, float):
                axes.annotate(
                    f"{gain:+.4f}\n± {error:.4f}", (place, facts.best), (8, -4),
                    textcoords="offset points", fontsize=9, color=colour, va="top",
                    bbox={"facecolor": WHITE, "edgecolor": "none", "alpha": 0.8, "pad": 1},
                )  # fmt: skip
    shown = [place for points in list(lines.values())[:4] for place, _ in points]
    axes.set_xticks(sorted(set(shown)))
    axes.set_xlim(min(shown) - 0.2, max(shown) + 0.6)
    axes.set(xlabel="round (0: the run itself)", title="pseudo-label rounds: score, 95 %, gain")
    axes.legend()
    return figure


def _around(facts: Facts) -> tuple[float, float]:
    """How far the 95 % interval of a run's score reaches below and above it; 0 where unknown."""
    known = runview.pseudo(facts.run).get("interval") or facts.scores.get("interval")
    if not known or facts.best is None or None in known:
        return 0.0, 0.0
    return max(0.0, facts.best - known[0]), max(0.0, known[1] - facts.best)
