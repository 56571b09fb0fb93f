"""The parameters of a blend, fitted on the rows of all folds but one, or on all rows."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from foldwise.config import Blend, Competition, Config
from foldwise.ensemble import stack
from foldwise.ensemble.checks import Kind
from foldwise.ensemble.combine import combined
from foldwise.ensemble.evidence import Evidence, gather
from foldwise.ensemble.hillclimb import hillclimb
from foldwise.ensemble.members import Members
from foldwise.ensemble.optimize import optimize
from foldwise.ensemble.post import apply_post, fit_post

Array = np.ndarray
FITTED = ("hillclimb", "optimize", "stack")


@dataclass(frozen=True)
class Parameters:
    """weights: float64 (m,), or None with a stacker; post: of the last step."""

    weights: Array | None
    stacker: stack.Stacker | None
    post: Array

    def as_json(self, names: list[str]) -> dict[str, Any]:
        """For blend.json."""
        found: dict[str, Any] = {}
        if self.weights is not None:
            found["weights"] = dict(zip(names, self.weights.tolist(), strict=True))
        if len(self.post):
            found["post"] = self.post.tolist()
        return found


def is_fitted(blend: Blend) -> bool:
    """Whether anything is learned from labels."""
    return blend.method in FITTED or blend.post != "none"


def fitter(members: Members, config: Config) -> Callable[[int | None], Parameters]:
    """What fits the parameters on the rows of all folds but the one that it is given (or None)."""
    blend, settings = config.blend, members.settings
    evidence: Evidence | None = None
    if blend.method in ("hillclimb", "optimize"):
        wanted = replace(settings, metric=blend.metric)
        evidence = gather(members.evidence(), wanted, blend.space, blend.negative)

    def fit(without: int | None) -> Parameters:
        folds = [k for k in members.folds if k != without]
        targets = np.concatenate([members.targets[members.rows[k]] for k in folds])
        found = Parameters(_weights(len(members.names), blend), None, np.zeros(0))
        if blend.method == "stack":
            rows = [
                stack.features(partial(members.oof, k), len(members.names), settings) for k in folds
            ]
            stacker = stack.learn(np.concatenate(rows), targets, settings, blend, config.seed)
            found = Parameters(None, stacker, np.zeros(0))
        elif evidence is not None and blend.method == "hillclimb":
            found = replace(found, weights=hillclimb(evidence, blend, without, config.seed))
        elif evidence is not None:
            weights = optimize(evidence, settings, blend.space, without)
            found = replace(found, weights=weights)
        if blend.post == "none":
            return found
        plain = replace(blend, post="none")
        parts = [predicted(members, found, plain, "oof", fold) for fold in folds]
        post = fit_post(blend.post, settings, np.concatenate(parts, axis=1), targets)
        return replace(found, post=post)

    return fit


def _weights(members: int, blend: Blend) -> Array:
    """Those given by hand, or equal ones; they sum to 1."""
    given = np.array(blend.weights or [1.0] * members)
    return given / given.sum()


def predicted(
    members: Members,
    parameters: Parameters,
    blend: Blend,
    kind: Kind,
    fold: int | None,
) -> Array:
    """The blend of the members' tables of a fold (or, of test rows, of the run), float32 (c, n)."""

    def read(member: int) -> Array:
        if kind == "oof" and fold is not None:
            return members.oof(fold, member)
        return members.test(fold, member)

    return applied(read, len(members.names), parameters, blend, members.settings)


def applied(
    read: Callable[[int], Array],
    members: int,
    parameters: Parameters,
    blend: Blend,
    settings: Competition,
) -> Array:
    """The blend of what ``read`` gives for each member, float32 (c, n)."""
    if parameters.stacker is not None:
        p = stack.stacked(parameters.stacker, stack.features(read, members, settings))
    else:
        assert parameters.weights is not None
        p = combined(read, parameters.weights, settings, blend)
    return apply_post(blend.post, settings, parameters.post, p)
