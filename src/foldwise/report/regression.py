"""A regression's figures, number by number."""

from typing import Any

import numpy as np

from foldwise.report.predictions import Predictions

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
GROUPS = 10


def number_figures(predictions: Predictions) -> list[dict[str, Any]]:
    """For each number: rmse, mae, bias, r2, correlation, quantiles of the error, and groups.

    The error is predicted minus true. groups: tenths of the rows by prediction, with the mean
    prediction and the mean truth of each.
    """
    return [
        _figures(name, predictions.targets[:, n], predictions.values[:, n])
        for n, name in enumerate(predictions.classes)
    ]


def _figures(name: str, true: np.ndarray, said: np.ndarray) -> dict[str, Any]:
    error = said - true
    spread = float(((true - true.mean()) ** 2).sum())
    both = true.std() > 0 and said.std() > 0
    groups = [part for part in np.array_split(np.argsort(said, kind="stable"), GROUPS) if len(part)]
    return {
        "number": name,
        "rmse": float(np.sqrt((error**2).mean())),
        "mae": float(np.abs(error).mean()),
        "bias": float(error.mean()),
        "r2": 1 - float((error**2).sum()) / spread if spread else None,
        "correlation": float(np.corrcoef(true, said)[0, 1]) if both else None,
        "error_quantiles": {str(q): float(np.quantile(error, q)) for q in QUANTILES},
        "groups": [
            {"rows": len(part), "said": float(said[part].mean()), "true": float(true[part].mean())}
            for part in groups
        ],
    }
