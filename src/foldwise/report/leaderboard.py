"""submissions/log.csv as the report reads it."""

import math
from typing import Any

import pandas as pd

from foldwise.files import home


def scored(competition: str) -> list[dict[str, Any]]:
    """run, cv and public of the competition's submissions that have both, in the log's order.

    Nothing where there is no log, or none that can be read.
    """
    try:
        log = pd.read_csv(home() / "submissions" / "log.csv", dtype=str, keep_default_na=False)
        log = log[log["competition"] == competition]
        texts = log[["run", "cv", "public"]].itertuples(index=False)
    except (OSError, ValueError, KeyError):
        return []
    rows = []
    for run, cv, public in texts:
        numbers = [pd.to_numeric(text, errors="coerce") for text in (cv, public)]
        if all(math.isfinite(number) for number in numbers):
            rows.append({"run": run, "cv": float(numbers[0]), "public": float(numbers[1])})
    return rows
