"""Which of a blend's settings go together."""

import math
from dataclasses import fields

from foldwise.competition.metrics import loss_metric, metric_of
from foldwise.config import Blend, Competition
from foldwise.ensemble.optimize import SMOOTH
from foldwise.errors import UsageError

# The methods that a setting belongs to.
BELONGS = {
    "weights": ("mean", "rank", "vote"),
    "space": ("mean", "hillclimb", "optimize"),
    "steps": ("hillclimb",),
    "stop": ("hillclimb",),
    "bags": ("hillclimb",),
    "negative": ("hillclimb",),
    "learner": ("stack",),
    "strength": ("stack",),
}


def refuse_meaningless(blend: Blend, settings: Competition, members: int) -> None:
    """Raises UsageError for settings that the method does not know, or that do not fit."""
    default = Blend()
    for item in fields(Blend):
        value, methods = getattr(blend, item.name), BELONGS.get(item.name, (blend.method,))
        if value != getattr(default, item.name) and blend.method not in methods:
            raise UsageError(
                f"{item.name}= has no meaning with method={blend.method}: it is for "
                f"{', '.join(methods)}"
            )
    if settings.task == "regression":
        unfit = blend.method if blend.method in ("rank", "vote") else ""
        unfit = "space=logit" if blend.space == "logit" else unfit and f"method={unfit}"
        if unfit:
            raise UsageError(f"{unfit} is for classes, and this is a regression: say method=mean")
    given = blend.weights
    if given and len(given) != members:
        raise UsageError(
            f"weights= has {len(given)} numbers for {members} runs: give one a run, in their order"
        )
    if given and not (min(given) >= 0 and 0 < sum(given) < math.inf):
        raise UsageError("weights= must be numbers of at least 0, one of them above")


def fitted_for(blend: Blend, settings: Competition) -> str:
    """The metric that weights are fitted for, ``auto`` where there are none to fit.

    ``optimize`` takes the log loss (or the squared error) in the place of one without slopes.
    Raises UsageError for a metric that does not fit, that changes nothing, and for a rough one that
    it is told to take.
    """
    if blend.method not in ("hillclimb", "optimize"):
        if blend.metric not in ("auto", settings.metric):
            raise UsageError(
                f"metric={blend.metric} changes nothing: method={blend.method} fits no weights by "
                f"it, and these runs are scored by {settings.metric}"
            )
        return "auto"
    name = settings.metric if blend.metric == "auto" else blend.metric
    metric_of(name, settings)
    if blend.method == "hillclimb" or name in SMOOTH:
        return name
    if blend.metric != "auto":
        numbers = settings.task == "regression"
        fitting = [other for other in SMOOTH if (other == "log_loss") != numbers]
        raise UsageError(
            f"optimize follows slopes, and {name} has none: say "
            f"metric={' or '.join(fitting)}, or method=hillclimb"
        )
    return loss_metric(settings).name
