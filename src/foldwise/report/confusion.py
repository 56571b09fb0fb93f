"""Who is taken for whom: confusion counts, each class's figures, the most confused pairs."""

from typing import Any

import numpy as np

from foldwise.report.predictions import Predictions

PAIRS = 30  # most confused pairs that are listed


def confusion(predictions: Predictions) -> np.ndarray:
    """int64 (c, c): rows of each true class by the class that was said.

    In multilabel entry (a, b) counts the rows that lack a true label a and have a wrong label b;
    the diagonal has each class's true positives.
    """
    size = len(predictions.classes)
    if predictions.task != "multilabel":
        cells = predictions.targets * size + predictions.decided
        return np.bincount(cells, minlength=size * size).reshape(size, size)
    true, said = predictions.targets == 1, predictions.decided == 1
    missed, wrong = (true & ~said).astype(np.float64), (~true & said).astype(np.float64)
    counts = np.rint(missed.T @ wrong).astype(np.int64)
    np.fill_diagonal(counts, (true & said).sum(axis=0))
    return counts


def class_figures(predictions: Predictions) -> dict[str, np.ndarray]:
    """A class at a position: support, said and right rows; precision, recall, F1 (0 where 0/0)."""
    size = len(predictions.classes)
    if predictions.task == "multilabel":
        true, told = predictions.targets == 1, predictions.decided == 1
        support, said, right = true.sum(axis=0), told.sum(axis=0), (true & told).sum(axis=0)
    else:
        support = np.bincount(predictions.targets, minlength=size)
        said = np.bincount(predictions.decided, minlength=size)
        hits = predictions.targets[predictions.targets == predictions.decided]
        right = np.bincount(hits, minlength=size)
    precision, recall = _share(right, said), _share(right, support)
    f1 = _share(2 * right, said + support)
    return {
        "support": support, "said": said, "right": right,
        "precision": precision, "recall": recall, "f1": f1,
    }  # fmt: skip


def averages(figures: dict[str, np.ndarray]) -> dict[str, Any]:
    """Macro and weighted means over the classes that are true or said of any row."""
    there = (figures["support"] + figures["said"]) > 0
    weights = figures["support"]
    result: dict[str, Any] = {}
    for name in ("precision", "recall", "f1"):
        result[f"macro_{name}"] = float(figures[name][there].mean()) if there.any() else None
        result[f"weighted_{name}"] = (
            float((figures[name] * weights).sum() / weights.sum()) if weights.sum() else None
        )
    return result


def pairs(predictions: Predictions, counts: np.ndarray) -> list[dict[str, Any]]:
    """The most confused pairs, most rows first; share is that of the true class's rows."""
    off = counts.copy()
    np.fill_diagonal(off, 0)
    support = class_figures(predictions)["support"]
    best = np.argsort(-off, axis=None, kind="stable")[:PAIRS]
    found = []
    for true, said in zip(*np.unravel_index(best, off.shape), strict=True):
        if off[true, said]:
            found.append(
                {
                    "true": predictions.classes[true],
                    "said": predictions.classes[said],
                    "rows": int(off[true, said]),
                    "share": float(off[true, said] / max(support[true], 1)),
                    "back": int(off[said, true]),
                }
            )
    return found


def cells(classes: list[str], matrix: np.ndarray) -> dict[str, dict[str, Any]]:
    """{true: {said: …}} of a matrix without its empty cells: short for a thousand classes too."""
    table: dict[str, dict[str, Any]] = {}
    for true, said in zip(*np.nonzero(matrix), strict=True):
        table.setdefault(classes[true], {})[classes[said]] = matrix[true, said].item()
    return table


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / np.maximum(whole, 1)
