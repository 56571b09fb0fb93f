"""The tables of a whole run, from those of its folds."""

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
    test, provenances = _mean_test(run, folds)
    run.write_predictions(None, "test", test, combined(provenances))
    return folds, oof, test


def _mean_test(run: Run, folds: list[int]) -> tuple[pd.DataFrame, list[Provenance]]:
    """The mean of the folds' test predictions, one table in memory beside the sum."""
    mean, provenance = run.predictions(folds[0], "test")
    provenances = [provenance]
    columns = [c for c in mean if c != "id"]
    total = np.array(mean[columns], np.float64)
    for fold in folds[1:]:
        table, provenance = run.predictions(fold, "test")
        if not table["id"].equals(mean["id"]):
            raise FoldwiseError(
                f"the test ids of fold {fold} of {run.name} are not those of fold {folds[0]}; "
                f"train fold {fold} again with overwrite=true"
            )
        provenances.append(provenance)
        total += table[columns].to_numpy(np.float64)
    mean[columns] = (total / len(folds)).astype(np.float32)
    return mean, provenances
