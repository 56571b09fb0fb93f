"""Images that are broken or unlike the others, and how the labels are distributed."""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

TINY = 16  # pixels of the shorter side, where the median image is at least twice as large
HUGE = 8.0  # times the median of the shorter side
LONG = 3.0  # times the median of the longer side over the shorter
SMALL_PART = 0.05  # share of the images up to which a format or a mode is called unusual


def broken(facts: pd.DataFrame) -> pd.Series:
    """Why images do not decode, by position; only those that do not."""
    return facts["problem"][facts["problem"] != ""]


def odd(facts: pd.DataFrame) -> dict[str, list[tuple[int, str]]]:
    """{what is odd: [(position, in words)]} of the images that decode.

    tiny: shorter side under 16 pixels and under half the median, or under a quarter of it. huge:
    shorter side over eight times the median. constant: one colour throughout. elongated: three
    times as elongated as the median image. rotated: an EXIF orientation other than 1 (which
    decoding applies). unusual: a format or mode (palette, gray, alpha, 16 bits, …) that at most 5 %
    of the images have.
    """
    whole = facts[facts["problem"] == ""]
    if whole.empty:
        return {}
    short = whole[["width", "height"]].min(axis=1)
    ratio = whole[["width", "height"]].max(axis=1) / short
    usual, typical = float(ratio.median()), float(short.median())
    tiny = (short < typical / 4) | ((short < TINY) & (short < typical / 2))
    spread = whole[["red_std", "green_std", "blue_std"]].max(axis=1)
    turned = whole["orientation"].fillna(1) != 1
    size = [f"{w:.0f} x {h:.0f}" for w, h in zip(whole["width"], whole["height"], strict=True)]
    words = pd.Series(size, index=whole.index)
    found = {
        "tiny": [(n, words[n]) for n in whole.index[tiny]],
        "huge": [(n, words[n]) for n in whole.index[short > HUGE * typical]],
        "constant": [(n, words[n]) for n in whole.index[spread < 0.5]],
        "elongated": [(n, words[n]) for n in whole.index[ratio > LONG * usual]],
        "rotated": [(n, f"orientation {whole['orientation'][n]:.0f}") for n in whole.index[turned]],
    }
    kinds = whole["format"].fillna("") + " " + whole["mode"].fillna("")
    share = kinds.map(kinds.value_counts(normalize=True))
    rare = (share <= SMALL_PART) & (kinds.str.strip() != "")
    return found | {"unusual": [(n, kinds[n]) for n in whole.index[rare]]}


def sizes(facts: pd.DataFrame) -> dict[str, Any]:
    """The most frequent sizes and the quantiles of both sides, formats and modes with counts."""
    whole = facts[facts["problem"] == ""]
    if whole.empty:
        return {}
    pairs = whole.groupby(["width", "height"]).size().sort_values(ascending=False, kind="stable")
    quantiles = [0.0, 0.05, 0.5, 0.95, 1.0]
    return {
        "different": len(pairs),
        "frequent": [
            {"width": int(w), "height": int(h), "images": int(count)}
            for (w, h), count in pairs.head(10).items()
        ],
        "width": [float(v) for v in whole["width"].quantile(quantiles)],
        "height": [float(v) for v in whole["height"].quantile(quantiles)],
        "formats": {str(k): int(v) for k, v in whole["format"].value_counts().items()},
        "modes": {str(k): int(v) for k, v in whole["mode"].value_counts().items()},
    }


def balance(labels: pd.Series, task: str) -> dict[str, Any]:
    """{"counts": {label: rows}}, most frequent first; single labels in multilabel; for regression
    {"quantiles": {"0 %": smallest, …}, "counts": of ten equal ranges}."""
    if task == "regression":
        numbers = labels.astype(float)
        counts, edges = np.histogram(numbers, 10)
        ranges = [f"{a:.4g} to {b:.4g}" for a, b in pairwise(edges)]
        points = {
            f"{q:.0%}": float(numbers.quantile(q)) for q in (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)
        }
        return {"quantiles": points, "counts": dict(zip(ranges, map(int, counts), strict=True))}
    single = labels
    if task == "multilabel":
        single = pd.Series(
            [one for text in labels for one in str(text).split("|") if one], dtype=object
        )
    counted = single.value_counts()
    ordered = sorted(counted.items(), key=lambda item: (-item[1], str(item[0])))
    return {"counts": {str(name): int(count) for name, count in ordered}}


def conflicting(one: str, other: str, task: str, deviation: float) -> bool:
    """Whether two labels of one image contradict each other."""
    if task == "regression":
        return abs(float(one) - float(other)) > deviation / 10
    return one != other
