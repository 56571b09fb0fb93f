"""What a run is worth on a labelled set: oof/<run>/evaluate/<name>/."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.competition.bootstrap import interval, resampled
from foldwise.competition.metrics import metric_of
from foldwise.competition.scores import known
from foldwise.files import write_json, write_text
from foldwise.provenance import Provenance, write_table
from foldwise.report.analysis import analyse
from foldwise.report.predictions import predictions_of
from foldwise.report.text import readable
from foldwise.runs import Run


def write_evaluation(
    run: Run, name: str, table: pd.DataFrame, provenance: Provenance, facts: dict[str, Any]
) -> tuple[Path, dict[str, Any]]:
    """Write predictions.parquet, scores.json, analysis.json and analysis.txt.

    ``table``: id, labels and predictions, as an OOF table without folds; ``facts``: what is said
    of the set in scores.json, whose interval is that of a bootstrap. Returns the folder and the
    scores.
    """
    folder, config = run.evaluation_folder(name), run.config()
    whole = table.copy(deep=False)
    whole.insert(1, "fold", np.int64(0))
    settings = config.competition
    predictions = predictions_of(settings, whole)
    analysis, metric = analyse(predictions), metric_of(settings.metric, settings)
    found, values = analysis["scores"], [predictions.values]
    analysis["scores"] = found | {"folds": {}, "mean": None, "std": None}
    for mistake in analysis["mistakes"]:
        del mistake["fold"]
    scores = {
        **facts,
        "rows": len(table),
        "broken": len(provenance.prior),
        "metric": analysis["metric"],
        "greater_is_better": analysis["greater_is_better"],
        "score": None if found["oof"] is None else known(found["oof"]),
        "interval": interval(resampled(metric, settings, predictions.targets, values)[0]),
        "watched": found["watched"],
    }
    write_table(folder / "predictions.parquet", table, provenance)
    write_json(folder / "analysis.json", analysis)
    write_text(folder / "analysis.txt", readable(analysis, f"{run.name} on {name}", "images"))
    write_json(folder / "scores.json", scores)
    return folder, scores
