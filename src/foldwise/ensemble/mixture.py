"""A finished blend as a rule for other images: from its members' predictions to its own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from foldwise.config import Config
from foldwise.ensemble.checks import Member, recipe_of
from foldwise.ensemble.fit import Parameters, applied, fitter
from foldwise.ensemble.members import Members
from foldwise.errors import FoldwiseError, first_few
from foldwise.files import shown
from foldwise.runs import Run

Array = np.ndarray


@dataclass(frozen=True)
class Mixture:
    """members: (run, views) in the order of the weights; views as in a blend's ``NAME:VIEWS``.

    Members that weigh nothing are left out.
    """

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
    stacked = config.blend.method == "stack"
    parameters = None if stacked else _stored(run, fold, names)
    used = list(range(len(names)))
    if parameters is not None and parameters.weights is not None:
        used = np.flatnonzero(parameters.weights).tolist()
        parameters = replace(parameters, weights=parameters.weights[used])
    members = [_member(run, names[n]) for n in used]
    then = [config.blend.members[n] for n in used]
    now = [recipe_of(member, run.finished()[0]) for member in members]
    other = [m.name for m, a, b in zip(members, then, now, strict=True) if a != b]
    if other:
        raise FoldwiseError(
            f"{first_few(other)} is not the run that {run.name} was made of: blend again "
            f"(./run.sh blend run={run.name} runs={','.join(names)} overwrite=true)"
        )
    if parameters is None:
        everything = Members(members, config.blend.resident_gb, config.blend.metric)
        parameters = fitter(everything, config)(fold)
    return Mixture(config, [(member.run.name, member.views) for member in members], parameters)


def _member(blend: Run, name: str) -> Member:
    run, _, views = name.partition(":")
    if not Run(run).config_file.is_file():
        raise FoldwiseError(
            f"{blend.name} is made of {run}, which is not there: put it back, or blend again "
            "without it"
        )
    return Member(Run(run), views, Run(run).config())


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
