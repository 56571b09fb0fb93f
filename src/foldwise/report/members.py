"""A blend's members: their weights, and how alike their mistakes are."""

from typing import Any

from matplotlib.figure import Figure

from foldwise.errors import FoldwiseError
from foldwise.report.overviews import correlation_figure, weights_figure
from foldwise.report.predictions import Predictions
from foldwise.report.reading import Reading, reading_of
from foldwise.report.together import correlation, together
from foldwise.runs import Run


def member_figures(reading: Reading) -> dict[str, Figure | None]:
    """weights and correlation of a blend; nothing for another run."""
    members = members_of(reading.facts.scores)
    found: dict[str, Predictions] = {}
    for one in members:
        try:
            member = reading_of(Run(one["name"]))
        except FoldwiseError:  # removed since: the blend stands without it
            continue
        if member.predictions is not None:
            found[one["name"]] = member.predictions
            one.setdefault("score", member.facts.score)
    if not found:
        return {}
    alike = correlation(together(list(found.values())).lack)
    return {
        "weights": weights_figure(members),
        "correlation": correlation_figure(list(found), alike),
    }


def members_of(scores: dict[str, Any]) -> list[dict[str, Any]]:
    """scores.json's ``members``, each with at least a name."""
    listed = scores.get("members") or []
    if isinstance(listed, dict):
        listed = [
            {"name": name, **(facts if isinstance(facts, dict) else {"weight": facts})}
            for name, facts in listed.items()
        ]
    return [dict(one) for one in listed if isinstance(one, dict) and one.get("name")]
