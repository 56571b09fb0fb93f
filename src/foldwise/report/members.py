"""A blend's members: their weights, what each is worth, and how alike their mistakes are."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from foldwise.report.comparisons import correlation_figure, weights_figure
from foldwise.report.markup import Cell, Html, table
from foldwise.report.text import number


def member_figures(blend: dict[str, Any]) -> dict[str, Figure | None]:
    """weights and correlation, from blend.json; nothing for a run that is no blend."""
    members = members_of(blend)
    names = [one["name"] for one in members]
    found = {"weights": weights_figure(members)}
    matrix = np.array(blend.get("correlation") or [], np.float64)
    if matrix.shape == (len(names), len(names)):
        found["correlation"] = correlation_figure(names, matrix)
    return found


def members_of(blend: dict[str, Any]) -> list[dict[str, Any]]:
    """blend.json's ``members``, each with at least a name."""
    listed = blend.get("members") or []
    return [one for one in listed if isinstance(one, dict) and one.get("name")]


def member_table(blend: dict[str, Any]) -> Html:
    """Each member's weight and score, and what the blend is with and without it."""
    rows: list[list[Cell]] = []
    for one in members_of(blend):
        low, high = one.get("interval") or (None, None)
        rows.append(
            [
                one["name"], number(one.get("weight"), 3), number(one.get("score")),
                f"{number(low)} to {number(high)}", number(one.get("without")),
                number(one.get("blend_better"), 3),
            ]
        )  # fmt: skip
    head = ["member", "weight", "own score", "95 % interval", "blend without it", "blend is better"]
    return table(head, rows)
