"""Blends in kernels: what their members need there, and the test set predicted by these.

On the roof, since networks and the arithmetic of blends do not know each other.
"""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from foldwise.ensemble.apply import (
    ROWS,
    members_of,
    parameters_of,
    refuse_changed,
    write_rows,
)
from foldwise.ensemble.fit import applied
from foldwise.errors import FoldwiseError
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
    config, members = run.config(), members_of(run)
    refuse_changed(run, members)
    found: dict[str, dict[str, Path]] = {}
    for member in members:
        found |= carried(member.run, folder)
    said = run.blend(None)
    views = [member.tables(run.finished()[0]) for member in members]
    kept = ("name", "weight")
    said["members"] = [
        {key: one[key] for key in kept} | {"views": each}
        for one, each in zip(said["members"], views, strict=True)
    ]
    place = folder / run.name
    text = json.dumps({key: said[key] for key in ("members", "post") if key in said}, indent=1)
    write_text(place / BLEND, text)
    found[run.name] = {BLEND: place / BLEND}
    if config.blend.method == "stack":
        write_rows(run, config, place / ROWS)
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
    from foldwise.prediction.tta import named_so

    if not run.is_blend():
        return predict_test(run, folder, [named_so(one) for one in views], place)
    config = run.config()
    said = run.blend(None)["members"]
    parts = [
        _predicted(member.run, one["views"], folder, place)
        for member, one in zip(members_of(run), said, strict=True)
    ]
    columns = prediction_columns(config.competition)
    values = [np.ascontiguousarray(part.table[columns].to_numpy(np.float32).T) for part in parts]
    first, settings = parts[0], config.competition
    parameters = parameters_of(run, config)
    p = applied(values.__getitem__, len(values), parameters, config.blend, settings)
    table = first.table.copy()
    table[columns] = p.T.astype(np.float32)
    settings.slug = str(folder)
    return Predicted(config, first.data, table, first.prior)
