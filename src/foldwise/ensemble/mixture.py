"""A finished blend as a rule for other images: from its members' predictions to its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foldwise.config import Config
from foldwise.ensemble.checks import named, recipe_of
from foldwise.ensemble.fit import Parameters, applied, fitter
from foldwise.ensemble.members import Members
from foldwise.errors import FoldwiseError, first_few
from foldwise.files import shown
from foldwise.runs import Run

Array = np.ndarray


@dataclass(frozen=True)
class Mixture:
    """members: (run, views) in the order of the weights; views as in a blend's ``NAME:VIEWS``."""

    config: Config
    members: list[tuple[str, str]]
    parameters: Parameters

    def __call__(self, predictions: Sequence[Array]) -> Array:
        """The members' predictions (n, c) -> the blend's, float32 (n, c)."""
        parts = [np.ascontiguousarray(p.T) for p in predictions]
        blend, settings = self.config.blend, self.config.competition
        mixed = applied(lambda m: parts[m], len(parts), self.parameters, blend, settings)
        return np.ascontiguousarray(mixed.T, dtype=np.float32)


def mixture_of(run: Run, fold: int | None) -> Mixture:
    """The rule that made the blend's test.parquet, or (``fold``) that of its fold.

    A stack is learned again from its members' OOF, which gives the same. Raises FoldwiseError
    where a member is another run than it was, and for ranks, which an image alone does not have.
    """
    config, described = run.config(), run.blend(None)
    names = [str(member["name"]) for member in described["members"]]
    if config.blend.method == "rank":
        raise FoldwiseError(
            f"{run.name} blends ranks among the rows of its tables, which other images do not "
            "have: predict with one of its members, or with a blend of method=mean"
        )
    members = named(names, run.name)
    finished = run.finished()
    now = [recipe_of(member, finished[0]) for member in members]
    pairs = zip(names, config.blend.members, now, strict=True)
    other = [name for name, then, is_now in pairs if then != is_now]
    if other:
        raise FoldwiseError(
            f"{first_few(other)} is not the run that {run.name} was made of: blend again "
            f"(./run.sh blend run={run.name} runs={','.join(names)} overwrite=true)"
        )
    if config.blend.method == "stack":
        everything = Members(members, config.blend.resident_gb, config.blend.metric)
        parameters = fitter(everything, config)(fold)
    else:
        parameters = _stored(run, fold, names)
    return Mixture(config, [_split(name) for name in names], parameters)


def _stored(run: Run, fold: int | None, names: Sequence[str]) -> Parameters:
    found = run.blend(fold)
    if fold is None:
        found = found | {"weights": {one["name"]: one["weight"] for one in found["members"]}}
    try:
        weights = np.array([found["weights"][name] for name in names], np.float64)
        return Parameters(weights, None, np.array(found.get("post", []), np.float64))
    except (KeyError, TypeError, ValueError) as error:
        raise FoldwiseError(
            f"{shown(run.folder)} has a blend.json without the members' weights: blend again with "
            "overwrite=true"
        ) from error


def _split(name: str) -> tuple[str, str]:
    run, _, views = name.partition(":")
    return run, views
