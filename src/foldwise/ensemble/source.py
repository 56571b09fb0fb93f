"""Whose predictions of a pool are learned from: a run's or a blend's, each fold without its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from foldwise.config import Config
from foldwise.ensemble.checks import ALL
from foldwise.ensemble.mixture import members_of, mixture_of, refuse_changed
from foldwise.errors import FoldwiseError, UsageError, first_few
from foldwise.files import shown
from foldwise.provenance import Provenance, common_recipe, prediction_columns
from foldwise.runs import Run

Array = np.ndarray


@dataclass(frozen=True)
class Pool:
    """Unlabelled images that have a table of predictions: the test set, or those of a folder."""

    table: str  # the tables' name: test, or pool-<digest>
    said: str  # for people


@dataclass(frozen=True)
class Opinion:
    """What a fold's source says of the pool: p float32 (n, c) of ``ids``; prior: ids without."""

    ids: list[str]
    p: Array
    prior: list[str]


def check_source(config: Config, folds_hash: str, folds: list[int]) -> str:
    """16 hex digits of the recipe hash of pseudo.run: what a round's hash sees of it.

    Raises FoldwiseError and UsageError unless its ``folds`` are finished, of one recipe and of the
    split of ``folds_hash``, know the same classes, and (but with checks=false) hold themselves out.
    """
    name = config.pseudo.run
    if name == config.run:
        raise UsageError(f"pseudo.run={name} is this run itself: labels come from another one")
    run = Run(name)
    theirs = run.config()
    run.refuse_unfinished(folds)
    for what, there, here in (
        ("task", theirs.competition.task, config.competition.task),
        ("classes", theirs.competition.classes, config.competition.classes),
    ):
        if there != here:
            said = [x if isinstance(x, str) else first_few(x) for x in (there, here)]
            raise _refusal(config, f"its {what} is {said[0]}, and here {said[1]}")
    origins = {k: run.provenance(k) for k in folds}
    try:
        recipe = common_recipe(origins, folds_hash, "pseudo.recipe", config.pseudo.recipe)
    except FoldwiseError as error:
        raise _refusal(config, str(error)) from error
    _refuse_seen(config, run, origins)
    return recipe


def _refuse_seen(config: Config, run: Run, origins: dict[int, Provenance]) -> None:
    seen = []
    for fold, origin in origins.items():
        parts = [origin]
        if not config.pseudo.pool and run.table(fold, "test").is_file():
            parts.append(run.header(fold, "test")[1])
        seen += [fold] if any(fold not in part.held_out for part in parts) else []
    if seen and config.checks:
        raise _refusal(
            config,
            f"what predicts its folds {first_few(seen)} has seen labels of the very fold (through "
            "initial weights, a teacher, pseudo-labels or fitted parameters), so the scores of a "
            "run that learns from it would be worth nothing",
        )


def _refusal(config: Config, reason: str) -> FoldwiseError:
    return FoldwiseError(f"pseudo.run={config.pseudo.run} cannot label for {config.run}: {reason}")


def held_out_of(run: Run, fold: int, pool: Pool) -> list[int]:
    """The folds that a fold's opinion of the pool holds out."""
    if pool.table == "test":
        return run.header(fold, "test")[1].held_out
    return run.provenance(fold).held_out


def _members(run: Run) -> list[tuple[Run, str]]:
    """A blend's members and their views, in its order; none of a trained run.

    Raises FoldwiseError where a member has been made anew since.
    """
    if not run.is_blend():
        return []
    members = members_of(run)
    refuse_changed(run, members)
    return [(member.run, member.views) for member in members]


def networks_of(run: Run) -> list[tuple[Run, str]]:
    """The trained runs, with their views, that stand behind a run: itself, or a blend's members."""
    if not run.is_blend():
        return [(run, "")]
    found: list[tuple[Run, str]] = []
    for member, views in _members(run):
        if views == ALL or (views and member.is_blend()):
            raise FoldwiseError(
                f"{run.name} has the member {member.name}:{views}, of which a pool cannot be "
                "predicted: blend runs, or NAME:VIEWS"
            )
        found += [(member, views)] if views else networks_of(member)
    return list(dict.fromkeys(found))


def opinion(run: Run, fold: int, pool: Pool, views: str = "") -> Opinion:
    """What a run's fold says of the pool. Raises FoldwiseError where it is missing or not finite.

    A blend's of a folder's images is made of its members' with the fold's parameters.
    """
    if pool.table != "test" and run.is_blend():
        return _blended(run, fold, pool)
    path = run.table(fold, pool.table, views)
    if not path.is_file():
        raise FoldwiseError(
            f"{shown(path)} is not there: {run.name} has no predictions of the test set; name a "
            "folder of unlabelled images with pseudo.pool=FOLDER"
        )
    table, origin = run.predictions(fold, pool.table, views)
    columns = prediction_columns(run.config().competition)
    p = table[columns].to_numpy(np.float32)
    if not np.isfinite(p).all():
        row, c = np.argwhere(~np.isfinite(p))[0]
        raise FoldwiseError(
            f"{shown(path)}: {columns[c]} of id '{table['id'][row]}' is {p[row, c]}: predict or "
            "train that again"
        )
    return Opinion(table["id"].tolist(), p, origin.prior)


def _blended(run: Run, fold: int, pool: Pool) -> Opinion:
    mixture = mixture_of(run, fold)
    parts = [opinion(member.run, fold, pool, member.views) for member in mixture.members]
    return Opinion(parts[0].ids, mixture([part.p for part in parts]), parts[0].prior)


def voices(config: Config, fold: int, pool: Pool, ids: Sequence[str]) -> list[Array]:
    """The opinions that are asked to agree about a fold's labels, each (n, c), in the order of ids.

    A blend's members; a trained run's own views, and, where it is a round of pseudo-labels itself,
    what it learned from. Raises UsageError where there are not two, FoldwiseError for one that has
    seen the fold's labels, or other images.
    """
    run = Run(config.pseudo.run)
    asked = _members(run)
    if not asked:
        known = run.views(fold) if pool.table == "test" else []
        asked = [(run, ""), *((run, views) for views in known)]
        before = run.config().pseudo.run
        asked += [(Run(before), "")] if before else []
    if len(asked) < 2:
        raise UsageError(
            f"pseudo.agree: {run.name} is one run, of which only one model holds fold {fold} out, "
            "so nobody is there to agree: blend runs, or predict it with other views (predict tta=)"
        )
    found = []
    for member, views in asked:
        if config.checks and fold not in held_out_of(member, fold, pool):
            raise _refusal(config, f"{member.name} has seen labels of fold {fold}")
        one = opinion(member, fold, pool, "" if views == ALL else views)
        place = pd.Index(one.ids).get_indexer(pd.Index(ids))
        if (place < 0).any():
            raise _refusal(config, f"{member.name} has not predicted the same images")
        found.append(one.p[place])
    return found
