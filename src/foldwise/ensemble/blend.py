"""A run made of runs: read, fitted without each fold, written, scored."""

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from foldwise.bar import counted
from foldwise.begin import begin_blend
from foldwise.competition import layout
from foldwise.competition.folder import folder_of
from foldwise.competition.metrics import metric_of
from foldwise.competition.scores import known, oof_scores, score
from foldwise.competition.submission import write_submission
from foldwise.config import Blend, Config
from foldwise.ensemble.checks import Kind, named
from foldwise.ensemble.fit import Parameters, fitter, is_fitted, predicted
from foldwise.ensemble.meaning import fitted_for, refuse_meaningless
from foldwise.ensemble.members import Members
from foldwise.ensemble.mixture import warn_changed
from foldwise.ensemble.post import decided_post
from foldwise.ensemble.table import said
from foldwise.ensemble.worth import compared, correlations, without_each
from foldwise.errors import UsageError
from foldwise.files import shown
from foldwise.provenance import Provenance, combined
from foldwise.recipe import recipe_hash
from foldwise.runs import Run
from foldwise.software import software

Array = np.ndarray


def blend(config: Config) -> None:
    """Make the run ``config.run`` out of ``config.blend.runs``, and print what it is worth.

    A fold's rows, and fold<k>/test.parquet, are made with parameters fitted on the other folds;
    test.parquet with parameters fitted on all rows. Creates oof/<run>/ and, where all folds and
    the competition's folder are there, submissions/<run>.csv. An existing blend of the same recipe
    is made again, another one only with ``config.overwrite``. Raises FoldwiseError, UsageError.
    """
    wanted = config.blend
    members = Members(
        named(wanted.runs, config.run), wanted.resident_gb, wanted.metric, config.checks
    )
    for member in members.members:
        warn_changed(member.run)
    config = resolved(config, members)
    run = Run(config.run)
    parameters = _fitted(members, config)

    begin_blend(run, config, members.origin(members.folds[0], "oof").folds_hash)
    run.write_environment(software())
    honest = np.empty((len(members.columns), len(members.known)), np.float32)
    for fold in members.folds:
        honest[:, members.rows[fold]] = _write_fold(run, config, members, fold, parameters[fold])
    _write_whole(run, config, members, honest, parameters[None])

    naive = honest
    if is_fitted(config.blend):
        naive = _naive(members, config.blend, parameters[None])
    found = compared(members, honest)
    scores = _scores(members, config, honest, naive) | {"interval": found[0]["interval"]}
    run.write_scores(scores)
    described = _described(members, config, found[1:], parameters)
    run.write_blend(None, described)
    print(said(run.name, scores, described))
    places = [f"tables and scores in {shown(run.folder)}", *_submitted(config, members, run)]
    print("; ".join(places))


def resolved(config: Config, members: Members) -> Config:
    """The blend's config: what its members share, and its own settings with nothing automatic.

    Raises UsageError for settings that have no meaning together.
    """
    settings, own = members.settings, config.blend
    refuse_meaningless(own, settings, len(members.names))
    post = decided_post(own.post, settings)
    if own.method == "rank" and post == "none" != decided_post("auto", settings):
        print(
            f"ranks are no probabilities, and {settings.metric} looks at how large they are: "
            "post=auto fits what it needs, and rank is meant for roc_auc and average_precision",
            file=sys.stderr,
        )
    own = replace(own, members=members.hashes, post=post, metric=fitted_for(own, settings))
    if is_fitted(own) and len(members.folds) < 2:
        raise UsageError(
            f"method={own.method} with post={own.post} learns from the other folds, and the runs "
            f"have only fold {members.folds[0]}: train another one, or say method=mean post=none"
        )
    first = members.members[0].config
    return Config(
        config="", run=config.run, seed=config.seed, overwrite=config.overwrite,
        checks=config.checks,
        competition=settings, images=first.images, folds=first.folds, blend=own,
    )  # fmt: skip


def _fitted(members: Members, config: Config) -> dict[int | None, Parameters]:
    """The parameters fitted on all rows (None), and without each fold."""
    fit = fitter(members, config)
    if not is_fitted(config.blend):
        return dict.fromkeys((None, *members.folds), fit(None))
    parameters: dict[int | None, Parameters] = {}
    with counted(1 + len(members.folds), "fits, one without each fold") as advance:
        for fold in (None, *members.folds):
            parameters[fold] = fit(fold)
            advance(1)
    return parameters


def _origin(config: Config, members: Members, fold: int, kind: Kind) -> Provenance:
    """What a fold's table is made from. What is fitted has seen the labels of all other folds."""
    origin = members.origin(fold, kind)
    held_out = [k for k in origin.held_out if k == fold or not is_fitted(config.blend)]
    return replace(origin, recipe_hash=recipe_hash(config), held_out=held_out)


def _write_fold(
    run: Run, config: Config, members: Members, fold: int, parameters: Parameters
) -> Array:
    """Write a fold's tables and parameters; returns its OOF predictions (c, rows)."""
    honest = predicted(members, parameters, config.blend, "oof", fold)
    rows = members.known.iloc[members.rows[fold]].reset_index(drop=True)
    origin = _origin(config, members, fold, "oof")
    run.write_predictions(fold, "oof", _table(rows, honest, members.columns), origin)
    if members.test_ids is not None:
        test = predicted(members, parameters, config.blend, "test", fold)
        table = _table(members.test_ids.to_frame(), test, members.columns)
        run.write_predictions(fold, "test", table, _origin(config, members, fold, "test"))
    run.write_blend(fold, parameters.as_json(members.names))
    return honest


def _write_whole(
    run: Run, config: Config, members: Members, honest: Array, everything: Parameters
) -> None:
    """Write the tables of the run: all OOF rows, and the test rows by what all rows say."""
    origins = [_origin(config, members, fold, "oof") for fold in members.folds]
    run.write_predictions(
        None, "oof", _table(members.known, honest, members.columns), combined(origins)
    )
    if members.test_ids is None:
        return
    origin = combined([_origin(config, members, fold, "test") for fold in members.folds])
    test = predicted(members, everything, config.blend, "test", None)
    table = _table(members.test_ids.to_frame(), test, members.columns)
    run.write_predictions(None, "test", table, origin)


def _table(known: pd.DataFrame, predictions: Array, columns: list[str]) -> pd.DataFrame:
    """Known columns and predictions (c, n), which are not copied."""
    frame = pd.DataFrame(predictions.T, columns=columns, copy=False)
    for place, name in enumerate(known):
        frame.insert(place, name, known[name].to_numpy())
    return frame


def _naive(members: Members, blend: Blend, everything: Parameters) -> Array:
    """OOF predictions with parameters that were fitted on these very rows, (c, n)."""
    values = np.empty((len(members.columns), len(members.known)), np.float32)
    for fold in members.folds:
        values[:, members.rows[fold]] = predicted(members, everything, blend, "oof", fold)
    return values


def _scores(members: Members, config: Config, honest: Array, naive: Array) -> dict[str, Any]:
    """scores.json but for the interval. ``oof`` and the folds' scores are the honest ones."""
    settings = config.competition
    metric = metric_of(settings.metric, settings)
    folds = members.known["fold"].to_numpy()
    found = oof_scores(settings, folds, members.targets, honest.T)
    plain = found["oof"]
    if naive is not honest:
        plain = known(score(metric, settings, members.targets, naive.T))
    gap = None
    if plain is not None and found["oof"] is not None:
        gap = (plain - found["oof"]) * (1 if metric.greater_is_better else -1)
    way = "cross-fitted" if is_fitted(config.blend) else "fixed"
    seen = {"seen": members.seen} if members.seen else {}
    return (
        found | seen | {"selection": way, "naive": plain, "honest": found["oof"], "optimism": gap}
    )


def _described(
    members: Members,
    config: Config,
    each: list[dict[str, Any]],
    parameters: dict[int | None, Parameters],
) -> dict[str, Any]:
    """blend.json of the run: the members in their order, and what was fitted on all rows.

    weight: None of a stack. without: the honest score without the member. blend_better: the
    probability that the blend is really better than it. correlation: of the members' errors.
    """
    weights = parameters[None].weights
    without = without_each(members, parameters, config.blend)
    rows = [
        {
            "name": name,
            "recipe_hash": members.hashes[n],
            "weight": None if weights is None else float(weights[n]),
            **each[n],
            "without": without[n],
        }
        for n, name in enumerate(members.names)
    ]
    return {
        "method": config.blend.method,
        "fitted_for": config.blend.metric if is_fitted(config.blend) else None,
        **({"post": parameters[None].post.tolist()} if len(parameters[None].post) else {}),
        "members": rows,
        "correlation": correlations(members),
    }


def _submitted(config: Config, members: Members, run: Run) -> list[str]:
    """Writes the submission where all is there for it; a word on it."""
    if members.test_ids is None:
        return []
    if len(members.folds) < config.folds.k:
        return [f"no submission yet: {len(members.folds)} of {config.folds.k} folds are there"]
    folder = folder_of(config.competition.slug)
    if not folder.is_dir():
        return [f"no submission: {shown(folder)} is not there"]
    table, origin = run.test_table()
    path = write_submission(config, layout.load(config), table)
    prior = f" ({len(origin.prior)} test rows got the class prior)" if origin.prior else ""
    return [f"submission in {shown(path)}{prior}"]
