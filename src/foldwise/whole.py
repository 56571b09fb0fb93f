"""The tables of a whole run, from those of its folds: its own, or those of other views."""

import numpy as np
import pandas as pd

from foldwise.errors import FoldwiseError, first_few
from foldwise.provenance import Provenance, combined
from foldwise.runs import Run


def combine(run: Run, ids: list[str]) -> tuple[list[int], pd.DataFrame, pd.DataFrame | None]:
    """Write a run's oof.parquet (sorted as ``ids``) and test.parquet from its finished folds.

    Returns these folds and the two tables; the second is None without a test set. Raises
    FoldwiseError where the folds have different test ids, or only some have any.
    """
    folds = run.finished()
    tables = [run.predictions(k, "oof") for k in folds]
    origins = [provenance for _, provenance in tables]
    other = [p.fold for p in origins if not p.same_recipe(origins[0])]
    if other:
        raise FoldwiseError(
            f"folds {first_few(other)} of {run.name} have another recipe or split than fold "
            f"{folds[0]}: train them again with overwrite=true and fold= naming them"
        )
    together = combined(origins)
    oof = pd.concat([frame for frame, _ in tables], ignore_index=True)
    order = {name: position for position, name in enumerate(ids)}
    oof = oof.iloc[np.argsort([order[name] for name in oof["id"]], kind="stable")]
    oof = oof.reset_index(drop=True)
    run.write_predictions(None, "oof", oof, together)
    without = [k for k in folds if not run.table(k, "test").is_file()]
    if without == folds:
        return folds, oof, None
    if without:
        raise FoldwiseError(
            f"folds {first_few(without)} of {run.name} have no test predictions and the "
            "others have: train them again with overwrite=true"
        )
    test, provenances = _mean_test(run, folds, "")
    run.write_predictions(None, "test", test, combined(provenances))
    return folds, oof, test


def oof_table(run: Run, views: str) -> tuple[pd.DataFrame, Provenance]:
    """The OOF rows, of the run's own views ('') or of others, as the tables' names say them.

    Raises FoldwiseError where there are none, or where a finished fold lacks the views.
    """
    if not views:
        return run.oof_table()
    parts = [run.predictions(fold, "oof", views) for fold in _folds_with(run, views)]
    frame = pd.concat([table for table, _ in parts], ignore_index=True)
    return frame, combined([provenance for _, provenance in parts])


def test_table(run: Run, views: str) -> tuple[pd.DataFrame, Provenance]:
    """The mean of the folds' test predictions; ``views`` and what it raises as of `oof_table`."""
    own = run.test_table()  # says where there is no test set
    if not views:
        return own
    table, provenances = _mean_test(run, _folds_with(run, views), views)
    return table, combined(provenances)


def _folds_with(run: Run, views: str) -> list[int]:
    """The finished folds, all of which were predicted with these views."""
    if run.is_blend():
        raise FoldwiseError(
            f"{run.name} is a blend, and predicts with the views of its members: leave out tta=, "
            f"or blend other views of these (runs=NAME:{views},…)"
        )
    folds = run.finished()
    files = {k: [run.table(k, name, views) for name in ("oof", "test")] for k in folds}
    lacking = [k for k in folds if not all(file.is_file() for file in files[k])]
    if lacking:
        there = dict.fromkeys(one for k in folds for one in run.views(k))
        raise FoldwiseError(
            f"{run.name} has no predictions with tta={views} (folds {first_few(lacking)}; "
            f"there are {first_few(there) or 'none'}): ./run.sh predict run={run.name} tta={views} "
            "first"
        )
    return folds


def _mean_test(run: Run, folds: list[int], views: str) -> tuple[pd.DataFrame, list[Provenance]]:
    """The mean of the folds' test predictions, one table in memory beside the sum."""
    mean, provenance = run.predictions(folds[0], "test", views)
    provenances = [provenance]
    columns = [c for c in mean if c != "id"]
    total = np.array(mean[columns], np.float64)
    for fold in folds[1:]:
        table, provenance = run.predictions(fold, "test", views)
        if not table["id"].equals(mean["id"]):
            raise FoldwiseError(
                f"the test ids of fold {fold} of {run.name} are not those of fold {folds[0]}; "
                f"train fold {fold} again with overwrite=true"
            )
        provenances.append(provenance)
        total += table[columns].to_numpy(np.float64)
    mean[columns] = (total / len(folds)).astype(np.float32)
    return mean, provenances
