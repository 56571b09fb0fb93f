"""Where a run does worse: its rows cut by the other columns of the train table."""

import math
from typing import Any

import numpy as np
import pandas as pd

from foldwise.competition.metrics import Metric
from foldwise.report.predictions import Predictions

VALUES = 20  # different values of a column that are shown; the rest is put together
PARTS = 5  # of a column of numbers, with as many rows each
FEW = 12  # different numbers up to which they count as values
REST = "(others)"


def slices(
    predictions: Predictions, others: pd.DataFrame, metric: Metric
) -> tuple[list[dict[str, Any]], list[str]]:
    """One entry a value of each column, the surest shortfalls first, and the columns left out.

    ``others``: text, a row a row of the predictions. Left out are columns with one value, and those
    that hardly two rows share. Each entry: column, value, rows, score (the metric; null where it is
    not defined), good (mean of Predictions.good) and z: good against that of all other rows, in
    standard errors of the difference (Welch, 1947); null where there is no spread.
    """
    entries: list[dict[str, Any]] = []
    left_out: list[str] = []
    for name in others.columns:
        parts = _parts(others[name])
        if parts is None:
            left_out.append(str(name))
            continue
        for value in parts.unique():
            here = (parts == value).to_numpy()
            score = metric(predictions.targets[here], predictions.values[here])
            entries.append(
                {
                    "column": str(name), "value": str(value), "rows": int(here.sum()),
                    "score": score, "good": float(predictions.good[here].mean()),
                    "z": _z(predictions.good, here),
                }
            )  # fmt: skip
    entries.sort(key=lambda entry: entry["z"] if entry["z"] is not None else math.inf)
    return entries, left_out


def _parts(column: pd.Series) -> pd.Series | None:
    """The part that each row belongs to; None where the column says nothing."""
    texts = column.str.strip().replace("", "(empty)")
    different = texts.nunique()
    if different < 2:
        return None
    numbers = pd.to_numeric(column, errors="coerce")
    if different > FEW and numbers.notna().mean() > 0.9:
        cut = _quantiles(numbers)
        return cut if cut.nunique() > 1 else None
    if different > VALUES and different > len(texts) / 5:
        return None
    common = texts.value_counts().index[:VALUES]
    return texts.where(texts.isin(common), REST) if different > VALUES else texts


def _quantiles(numbers: pd.Series) -> pd.Series:
    """``low to high`` of each row's part; the parts have about as many rows each."""
    parts = pd.qcut(numbers, PARTS, duplicates="drop")
    lows, highs = numbers.groupby(parts, observed=True).agg(["min", "max"]).to_numpy().T
    names = [f"{low:g} to {high:g}" for low, high in zip(lows, highs, strict=True)]
    codes = parts.cat.remove_unused_categories().cat.codes.to_numpy()
    return pd.Series([names[code] if code >= 0 else "(empty)" for code in codes])


def _z(good: np.ndarray, here: np.ndarray) -> float | None:
    inside, outside = good[here], good[~here]
    if len(inside) < 2 or len(outside) < 2:
        return None
    error = math.sqrt(inside.var(ddof=1) / len(inside) + outside.var(ddof=1) / len(outside))
    return float((inside.mean() - outside.mean()) / error) if error else None
