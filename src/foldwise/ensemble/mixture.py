"""A finished blend as a rule for predictions that its members make later or elsewhere."""

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from foldwise.config import Config
from foldwise.ensemble import stack
from foldwise.ensemble.checks import Member, recipe_of
from foldwise.ensemble.fit import Parameters, applied, stack_rows, targets_in
from foldwise.ensemble.members import Members
from foldwise.errors import FoldwiseError, first_few
from foldwise.files import shown, write_bytes
from foldwise.runs import Run

AGAIN = "make the blend again (./run.sh blend, with the same words and overwrite=true)"
ROWS = "stack.npz"  # what a stack has learned from, where its members' tables are not

Array = np.ndarray


@dataclass(frozen=True)
class Mixture:
    """members: in the order of the weights. Those that weigh nothing are left out."""

    config: Config
    members: list[Member]
    parameters: Parameters

    def __call__(self, predictions: Sequence[Array]) -> Array:
        """The members' predictions (n, c) -> the blend's, float32 (n, c)."""
        parts = [np.ascontiguousarray(p.T) for p in predictions]
        blend, settings = self.config.blend, self.config.competition
        mixed = applied(parts.__getitem__, len(parts), self.parameters, blend, settings)
        return np.ascontiguousarray(mixed.T, dtype=np.float32)


def mixture_of(run: Run, fold: int | None) -> Mixture:
    """The rule that made the blend's test.parquet, or (``fold``) that of its fold.

    A stack is learned again, from the very same. Raises FoldwiseError where a member is there no
    more, or is not what it was.
    """
    config, members = run.config(), members_of(run)
    if config.blend.method == "stack":
        return Mixture(config, members, _learned(run, config, members, fold))
    parameters = _stored(run, fold, [member.name for member in members])
    assert parameters.weights is not None
    used = np.flatnonzero(parameters.weights)
    parameters = replace(parameters, weights=parameters.weights[used])
    return Mixture(config, [members[m] for m in used], parameters)


def members_of(run: Run) -> list[Member]:
    """The members that a blend was made of, in its order, whatever its patterns match by now.

    Raises FoldwiseError where one is there no more.
    """
    members = []
    for said in run.blend(None)["members"]:
        name, _, views = str(said["name"]).partition(":")
        if not Run(name).config_file.is_file():
            raise FoldwiseError(
                f"{run.name} is made of {name}, which is not there: put it back, or blend again "
                "without it"
            )
        members.append(Member(Run(name), views, Run(name).config()))
    return members


def refuse_changed(run: Run, members: Sequence[Member]) -> None:
    """Raises FoldwiseError where one of the blend's ``members`` is not what it was made of."""
    changed = _changed(run, members)
    if changed:
        raise FoldwiseError(
            f"{run.name} was made when {first_few(changed)} had another recipe or other views: "
            f"{AGAIN}"
        )


def warn_changed(run: Run) -> None:
    """Says on stderr where a blend's tables are of members that have changed since, or are gone."""
    if not run.is_blend():
        return
    said = run.blend(None)["members"]
    gone = [m["name"] for m in said if not Run(m["name"].partition(":")[0]).config_file.is_file()]
    changed = gone or _changed(run, members_of(run))
    if changed:
        what = "are there no more" if gone else "have another recipe or other views by now"
        print(
            f"{run.name} keeps the tables that it was made with, and of its members "
            f"{first_few(changed)} {what}: {AGAIN}",
            file=sys.stderr,
        )


def _changed(run: Run, members: Sequence[Member]) -> list[str]:
    fold = run.finished()[0]
    then = {said["name"]: said["recipe_hash"] for said in run.blend(None)["members"]}
    return [
        member.name
        for member in members
        if not member.run.table(fold, "oof").is_file()
        or recipe_of(member, fold) != then[member.name]
    ]


def write_rows(run: Run, members: Sequence[Member], path: Path) -> None:
    """What a stack has learned from, as a file that needs none of its members' tables."""
    x, targets = _rows(run, run.config(), members, None)
    data = io.BytesIO()
    np.savez(data, x=x, targets=targets)
    write_bytes(path, data.getvalue())


def _learned(run: Run, config: Config, members: Sequence[Member], fold: int | None) -> Parameters:
    x, targets = _rows(run, config, members, fold)
    settings = config.competition
    stacker = stack.learn(x, targets, settings, config.blend, config.seed)
    return Parameters(None, stacker, _post(run.blend(fold)))


def _rows(
    run: Run, config: Config, members: Sequence[Member], fold: int | None
) -> tuple[Array, Array]:
    path = run.folder / ROWS
    if fold is None and path.is_file():
        with np.load(path) as file:
            return file["x"], file["targets"]
    blend, metric = config.blend, config.competition.metric
    tables = Members(list(members), blend.resident_gb, metric, checks=False)  # seen when blended
    folds = [k for k in tables.folds if k != fold]
    return stack_rows(tables, folds), targets_in(tables, folds)


def _stored(run: Run, fold: int | None, names: Sequence[str]) -> Parameters:
    found = run.blend(fold)
    try:
        if fold is None:
            found = found | {"weights": {one["name"]: one["weight"] for one in found["members"]}}
        weights = np.array([found["weights"][name] for name in names], np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise FoldwiseError(
            f"{shown(run.folder)} has a blend.json without the members' weights: blend again with "
            "overwrite=true"
        ) from error
    return Parameters(weights, None, _post(found))


def _post(found: dict[str, Any]) -> Array:
    return np.array(found.get("post", []), np.float64)
