"""What a run is worth on a labelled set: oof/<run>/evaluate/<name>/."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.competition.bootstrap import interval, resampled
from foldwise.competition.metrics import metric_of
from foldwise.competition.scores import known
from foldwise.files import write_bytes, write_json, write_text
from foldwise.provenance import Provenance, write_table
from foldwise.report import style
from foldwise.report.analysis import analyse
from foldwise.report.figures import prediction_figures, sheet_figures
from foldwise.report.predictions import Predictions, predictions_of
from foldwise.report.sheets import Look
from foldwise.report.text import readable
from foldwise.runs import Run


def write_evaluation(
    run: Run,
    name: str,
    table: pd.DataFrame,
    provenance: Provenance,
    facts: dict[str, Any],
    look: Look,
) -> tuple[Path, dict[str, Any]]:
    """Write predictions.parquet and .csv, scores.json, analysis.json and .txt, a PNG a figure.

    ``table``: id, labels and predictions, as an OOF table without folds, and what only the CSV is
    to have: predicted (not of a regression) and broken; ``facts``: what is said of the set in
    scores.json, whose interval is that of a bootstrap; ``look`` gives the image of an id. Returns
    the folder and the scores.
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
    plain = table.drop(columns=["predicted", "broken"], errors="ignore")
    write_table(folder / "predictions.parquet", plain, provenance)
    write_text(folder / "predictions.csv", _readable(table, predictions))
    write_json(folder / "analysis.json", analysis)
    write_text(folder / "analysis.txt", readable(analysis, f"{run.name} on {name}", "images"))
    write_json(folder / "scores.json", scores)
    _draw(folder, predictions, analysis, look)
    return folder, scores


def _readable(table: pd.DataFrame, predictions: Predictions) -> str:
    """The table as CSV, with how sure it is of what it said."""
    if "predicted" in table:
        sure = pd.Series(predictions.confidence, index=predictions.ids).reindex(table["id"])
        place = table.columns.get_loc("predicted")
        table = table.copy(deep=False)
        table.insert(place + 1, "confidence", sure.to_numpy(np.float32))
    return table.to_csv(index=False, lineterminator="\n")


def _draw(folder: Path, predictions: Predictions, analysis: dict[str, Any], look: Look) -> None:
    """A PNG a figure; those of an evaluation before, which may have had others, go."""
    for path in folder.glob("*.png"):
        path.unlink()
    with style.styled():
        drawn = prediction_figures(predictions, analysis) | sheet_figures(predictions, look)
        for name, figure in drawn.items():
            write_bytes(folder / f"{name}.png", style.png(figure))
