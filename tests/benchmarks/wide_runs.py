"""Runs of many rows and classes with the files that training leaves, for bench_blend.py."""

import numpy as np
import pandas as pd

from foldwise.begin import begin_run
from foldwise.config import Config
from foldwise.provenance import Provenance
from foldwise.recipe import recipe_hash
from foldwise.runs import Run
from foldwise.whole import combine


def make_wide(name: str, seed: int, rows: int, classes: int) -> None:
    """A run of five folds and a tenth as many test rows."""
    names = [f"c{n:03d}" for n in range(classes)]
    config = Config(run=name, seed=seed)
    config.competition.slug, config.competition.task = "wide", "multiclass"
    config.competition.classes, config.competition.metric = names, "accuracy"
    run, columns = Run(name), [f"prob_{c}" for c in names]
    begin_run(run, config, "split", list(range(5)))
    targets = np.random.default_rng(9).integers(0, classes, rows)
    labels, ids = np.array(names, object)[targets], np.array([f"{i:07d}" for i in range(rows)])
    for fold in range(5):
        origin = Provenance(fold, recipe_hash(config), "split", [fold])
        here = np.arange(fold, rows, 5)
        table = guesses(targets[here], classes, seed, fold, columns)
        known = {"id": ids[here], "fold": np.full(len(here), fold), "label": labels[here]}
        for place, (column, cells) in enumerate(known.items()):
            table.insert(place, column, cells)
        run.write_predictions(fold, "oof", table, origin)
        test = guesses(targets[: rows // 10], classes, seed, 10 + fold, columns)
        test.insert(0, "id", [f"t{i:07d}" for i in range(rows // 10)])
        run.write_predictions(fold, "test", test, origin)
        run.write_model(fold, {}, origin)
    combine(run, ids.tolist())


def guesses(
    targets: np.ndarray, classes: int, seed: int, part: int, columns: list[str]
) -> pd.DataFrame:
    """Probabilities of rows whose difficulty all seeds share."""
    own, shared = np.random.default_rng([seed, part]), np.random.default_rng([77, part])
    z = shared.standard_normal((len(targets), classes), np.float32)
    z += own.standard_normal(z.shape, np.float32)
    z[np.arange(len(targets)), targets] += 4
    e = np.exp(2 * z)
    return pd.DataFrame(e / e.sum(axis=1, keepdims=True), columns=columns)
