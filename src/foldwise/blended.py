"""Blends in kernels: what their members need there, and the test set predicted by these.

On the roof, since networks and the arithmetic of blends do not know each other.
"""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from foldwise.ensemble.mixture import ROWS, mixture_of, refuse_changed, write_rows
from foldwise.errors import FoldwiseError, first_few
from foldwise.files import write_text
from foldwise.provenance import prediction_columns
from foldwise.runs import BLEND, Run

if TYPE_CHECKING:
    from foldwise.prediction.testset import Predicted


def carried(run: Run, folder: Path) -> dict[str, dict[str, Path]]:
    """{run: its files, by their place in its folder} of all that a run's predictions are made with.

    A run's own are its finished folds' weights; a blend's, written below ``folder``, its parameters
    and before these its members'. Raises FoldwiseError for what has no weights, or has changed.
    """
    if not run.is_blend():
        files = {k: run.model_file(k) for k in run.finished() if run.model_file(k).is_file()}
        if not files:
            run.config()  # says so where there is no such run
            raise FoldwiseError(
                f"{run.name} has no finished fold to predict with: train it first (fold=0)"
            )
        return {run.name: {str(path.relative_to(run.folder)): path for path in files.values()}}
    members = mixture_of(run, None).members
    refuse_changed(run, members)
    folds = run.finished()
    others = [member.name for member in members if member.run.finished() != folds]
    if others:
        raise FoldwiseError(
            f"{run.name} was made of the folds {first_few(folds)}, and {first_few(others)} has "
            "others: make the blend again (./run.sh blend, with the same words and overwrite=true)"
        )
    found: dict[str, dict[str, Path]] = {}
    for member in members:
        found |= carried(member.run, folder)
    said = run.blend(None)
    views = {member.name: member.tables(folds[0]) for member in members}
    said["members"] = [
        {"name": one["name"], "weight": one["weight"], "views": views[one["name"]]}
        for one in said["members"]
        if one["name"] in views
    ]
    place = folder / run.name
    text = json.dumps({key: said[key] for key in ("members", "post") if key in said}, indent=1)
    write_text(place / BLEND, text)
    found[run.name] = {BLEND: place / BLEND}
    if run.config().blend.method == "stack":
        write_rows(run, members, place / ROWS)
        found[run.name][ROWS] = place / ROWS
    return found


def predict_run(run: Run, folder: Path) -> "Predicted":
    """The test set of the competition in ``folder``, by a run's networks or a blend's members'.

    As `prediction.testset.predict_test`, with one member's predictions after the other.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        return _predicted(run, [""], folder, Path(place))


def _predicted(run: Run, views: list[str], folder: Path, place: Path) -> "Predicted":
    from foldwise.prediction.testset import Predicted, predict_test
    from foldwise.prediction.views import named_so

    if not run.is_blend():
        return predict_test(run, folder, [named_so(one) for one in views], place)
    mixture, config = mixture_of(run, None), run.config()
    said = {one["name"]: one["views"] for one in run.blend(None)["members"]}
    parts = [_predicted(member.run, said[member.name], folder, place) for member in mixture.members]
    columns = prediction_columns(config.competition)
    table = parts[0].table.copy()
    table[columns] = mixture([part.table[columns].to_numpy(np.float32) for part in parts])
    config.competition.slug = str(folder)
    return Predicted(config, parts[0].data, table, parts[0].prior)
