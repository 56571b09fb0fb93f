"""What each member of a blend is worth, and how sure one may be of the blend's own score."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from foldwise.competition.bootstrap import interval, probability_better, resampled
from foldwise.competition.metrics import metric_of
from foldwise.competition.scores import known, score, score_of_parts
from foldwise.config import Blend
from foldwise.ensemble import stack
from foldwise.ensemble.combine import finished, transformed, weighted
from foldwise.ensemble.fit import Parameters
from foldwise.ensemble.members import Members
from foldwise.ensemble.post import apply_post

Array = np.ndarray
ROWS = 20_000  # that correlations are computed from: evenly spaced ones where there are more


def compared(members: Members, honest: Array) -> list[dict[str, Any]]:
    """Of the blend's OOF predictions (c, n), then of each member's, score and interval (95 %).

    Of the members also ``blend_better``, the probability that the blend is really better than it.
    """
    settings = members.settings
    metric = metric_of(settings.metric, settings)
    scores: list[float] = []

    def tables() -> Iterator[Array]:
        for member in range(-1, len(members.names)):
            table = (honest if member < 0 else members.whole(member)).T
            scores.append(score(metric, settings, members.targets, table))
            yield table

    samples = resampled(metric, settings, members.targets, tables())
    found: list[dict[str, Any]] = []
    for value, sample in zip(scores, samples, strict=True):
        better = probability_better(samples[0], sample, metric.greater_is_better)
        one = {"score": known(value), "interval": interval(sample)}
        found.append(one | ({"blend_better": better} if found else {}))
    return found


def without_each(
    members: Members, parameters: Mapping[int | None, Parameters], blend: Blend
) -> list[float | None]:
    """The honest score of the blend without each member; nothing is fitted again.

    The others share the member's weight in proportion to their own (None where they have none).
    To a stacker, the member is replaced by the mean of the others.
    """
    settings, found = members.settings, list[float | None]()
    metric = metric_of(settings.metric, settings)
    if blend.method == "stack":
        for member in range(len(members.names)):
            parts = _stacked_without(members, parameters, blend, member)
            found.append(known(score_of_parts(metric, settings, parts)))
        return found
    weights = {fold: _weights(parameters[fold]) for fold in members.folds}
    totals = {
        fold: weighted(partial(members.oof, fold), weights[fold], settings, blend)
        for fold in members.folds
    }
    for member in range(len(members.names)):
        if any(np.isclose(weights[fold][member], 1) for fold in members.folds):
            found.append(None)
            continue
        parts = _without(members, parameters, blend, member, totals)
        found.append(known(score_of_parts(metric, settings, parts)))
    return found


def _weights(parameters: Parameters) -> Array:
    assert parameters.weights is not None
    return parameters.weights


def _without(
    members: Members,
    parameters: Mapping[int | None, Parameters],
    blend: Blend,
    member: int,
    totals: Mapping[int, Array],
) -> Iterator[tuple[Array, Array]]:
    settings = members.settings
    for fold, total in totals.items():
        weight = np.float32(_weights(parameters[fold])[member])
        part = transformed(members.oof(fold, member), settings, blend)
        p = finished((total - weight * part) / (1 - weight), settings, blend)
        p = apply_post(blend.post, settings, parameters[fold].post, p)
        yield members.targets[members.rows[fold]], p.T


def _stacked_without(
    members: Members,
    parameters: Mapping[int | None, Parameters],
    blend: Blend,
    member: int,
) -> Iterator[tuple[Array, Array]]:
    settings = members.settings
    for fold in members.folds:
        stacker = parameters[fold].stacker
        assert stacker is not None
        x = stack.features(partial(members.oof, fold), len(members.names), settings)
        x[:, member] = np.delete(x, member, axis=1).mean(axis=1)
        p = apply_post(blend.post, settings, parameters[fold].post, stack.stacked(stacker, x))
        yield members.targets[members.rows[fold]], p.T


def correlations(members: Members) -> list[list[float]]:
    """How alike the members err: the correlation of their errors, (m, m).

    An error is the truth less the prediction, of the true class where a row has one.
    """
    step = max(1, len(members.targets) // ROWS)
    targets = members.targets[::step]
    errors = []
    for member in range(len(members.names)):
        p = members.whole(member)[:, ::step]
        if targets.ndim == 1:
            errors.append(p[targets, np.arange(len(targets))])
        else:
            errors.append((targets - p.T).ravel())
    together = np.array(errors, np.float64)
    together -= together.mean(axis=1, keepdims=True)
    sizes = np.maximum(np.sqrt((together**2).sum(axis=1)), 1e-12)
    return ((together @ together.T) / np.outer(sizes, sizes)).round(4).tolist()
