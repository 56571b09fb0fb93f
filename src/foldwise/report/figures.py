"""All figures of a run, by the name of their file."""

from typing import Any

from matplotlib.figure import Figure

from foldwise.competition.metrics import loss_metric
from foldwise.report.analysis import row_facts, worst_rows
from foldwise.report.confusion import confusion
from foldwise.report.curves import curve_figures, fold_figure
from foldwise.report.matrices import classes_figure, confusion_figure
from foldwise.report.predictions import Predictions
from foldwise.report.reading import Reading
from foldwise.report.reliability import numbers_figure, reliability_figure, surest_figure
from foldwise.report.sheets import Look, sample_rows, sheet

SHOWN = 24  # images of a sheet


def run_figures(reading: Reading) -> dict[str, Figure]:
    """What there is of loss, validation, accuracy, learning_rate, combined, folds, confusion,
    classes, reliability, surest, numbers. To be called inside `style.styled`."""
    loss = loss_metric(reading.facts.config.competition).name
    found = curve_figures(reading.histories, reading.facts.metric, loss)
    predictions = reading.predictions
    if predictions is None or not len(predictions.ids):
        return found
    if reading.fold is None:
        found["folds"] = fold_figure(reading.analysis)
    return found | prediction_figures(predictions, reading.analysis)


def prediction_figures(predictions: Predictions, analysis: dict[str, Any]) -> dict[str, Figure]:
    """confusion, classes, reliability and surest; of a regression numbers. Inside `styled`."""
    if not len(predictions.ids):
        return {}
    if predictions.task == "regression":
        return {"numbers": numbers_figure(predictions, analysis)}
    return {
        "confusion": confusion_figure(predictions, confusion(predictions)),
        "classes": classes_figure(analysis),
        "reliability": reliability_figure(analysis),
        "surest": surest_figure(analysis),
    }


def sheet_figures(predictions: Predictions | None, look: Look) -> dict[str, Figure]:
    """predictions and mistakes; nothing where the images are not there."""
    if predictions is None or not len(predictions.ids):
        return {}
    sample = [row_facts(predictions, row) for row in sample_rows(predictions, SHOWN)]
    worst = [row_facts(predictions, row) for row in worst_rows(predictions, SHOWN)]
    order = "largest" if predictions.task == "regression" else "surest"
    sheets = {
        "predictions": sheet(f"predictions, the {order} first", sample, look),
        "mistakes": sheet("worst mistakes", worst, look) if worst else None,
    }
    return {name: figure for name, figure in sheets.items() if figure is not None}
