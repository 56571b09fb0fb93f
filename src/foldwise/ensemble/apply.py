"""A finished blend, made ready for predictions that its members make later or elsewhere."""

import io
from pathlib import Path

import numpy as np

from foldwise.config import Config
from foldwise.ensemble import stack
from foldwise.ensemble.checks import Member, recipe_of
from foldwise.ensemble.fit import Parameters, stack_rows, targets_in
from foldwise.ensemble.members import Members
from foldwise.errors import FoldwiseError
from foldwise.files import write_bytes
from foldwise.runs import Run

ROWS = "stack.npz"  # what a stack has learned from, where its members' tables are not


def members_of(run: Run) -> list[Member]:
    """The members that a blend was made of, in its order, whatever its patterns match by now.

    Raises FoldwiseError where one is there no more.
    """
    names = [said["name"].partition(":") for said in run.blend(None)["members"]]
    return [Member(Run(name), views, Run(name).config()) for name, _, views in names]


def refuse_changed(run: Run, members: list[Member]) -> None:
    """Raises FoldwiseError where a member is not what the blend was made of."""
    folds = run.finished()
    for member, said in zip(members, run.blend(None)["members"], strict=True):
        if member.run.finished() != folds or recipe_of(member, folds[0]) != said["recipe_hash"]:
            raise FoldwiseError(
                f"{run.name} was made when {member.name} had other folds, another recipe or other "
                "views: make the blend again (./run.sh blend, with the same words)"
            )


def parameters_of(run: Run, config: Config) -> Parameters:
    """What a blend has fitted on all rows; a stack learns it again, from the very same."""
    said = run.blend(None)
    post = np.array(said.get("post", []), np.float64)
    if config.blend.method != "stack":
        weights = np.array([member["weight"] for member in said["members"]], np.float64)
        return Parameters(weights, None, post)
    x, targets = _rows(run, config)
    learned = stack.learn(x, targets, config.competition, config.blend, config.seed)
    return Parameters(None, learned, post)


def write_rows(run: Run, config: Config, path: Path) -> None:
    """What a stack has learned from, as a file that needs none of its members' tables."""
    x, targets = _rows(run, config)
    data = io.BytesIO()
    np.savez(data, x=x, targets=targets)
    write_bytes(path, data.getvalue())


def _rows(run: Run, config: Config) -> tuple[np.ndarray, np.ndarray]:
    path = run.folder / ROWS
    if path.is_file():
        with np.load(path) as file:
            return file["x"], file["targets"]
    members = Members(members_of(run), config.blend.resident_gb, config.competition.metric)
    return stack_rows(members, members.folds), targets_in(members, members.folds)
