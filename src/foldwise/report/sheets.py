"""Images with what was said of them: a sheet as PNG, and thumbnails for a page."""

import base64
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure

from foldwise.report.predictions import Predictions
from foldwise.report.style import BLUE, FAINT, ORANGE, canvas, clipped

# An id's image as uint8 (height, width, 3), RGB; None where there is none, or it does not decode.
Look = Callable[[str], np.ndarray | None]
Tile = tuple[np.ndarray | None, str, str]  # an image, what stands above it, and in which colour
COLUMNS = 8
SIDE = 112  # pixels of a thumbnail's longer side
TINY = 40  # up to this side, images are enlarged without smoothing
RIGHT, WRONG = "✓", "✗"


def sample_rows(predictions: Predictions, number: int) -> list[int]:
    """Rows for a prediction sheet: of every confidence, the surest first; the same every time.

    (In a regression the rows are spread over the true values.)
    """
    order = predictions.confidence if predictions.task != "regression" else predictions.values[:, 0]
    sorted_rows = np.argsort(-order, kind="stable")
    chosen = np.unique(np.linspace(0, len(sorted_rows) - 1, number).astype(int))
    return sorted_rows[chosen].tolist() if len(sorted_rows) else []


def sheet(title: str, facts: Sequence[dict[str, Any]], look: Look) -> Figure | None:
    """Images with truth, answer and confidence; None where none of them can be shown."""
    tiles = [(look(one["id"]), *caption(one)) for one in facts]
    return grid(title, tiles) if any(image is not None for image, _, _ in tiles) else None


def grid(title: str, tiles: Sequence[Tile], columns: int = COLUMNS) -> Figure:
    """Images in rows, each with its words above it."""
    rows = -(-len(tiles) // columns)
    # Placed by hand: where every place is known, finding them takes longer than drawing.
    width, height = 1.55 * columns, 0.4 + 2.15 * rows
    figure = canvas(width, height, layout=None)
    figure.suptitle(title, x=0.01, y=1 - 0.12 / height, ha="left", va="top", weight="bold")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    figure.subplots_adjust(0.005, 0.02, 0.995, 1 - 0.9 / height, wspace=0.04, hspace=0.36)
    for one in axes:
        one.axis("off")
    for one, (image, words, colour) in zip(axes, tiles, strict=False):
        if image is None:
            one.text(0.5, 0.5, "no image", ha="center", color=FAINT, transform=one.transAxes)
        else:
            way = "nearest" if max(image.shape[:2]) <= TINY else "antialiased"
            one.imshow(image, interpolation=way)
        one.set_title(words, fontsize=10.5, color=colour, weight="normal", loc="center")
    return figure


def caption(fact: dict[str, Any]) -> tuple[str, str]:
    """Two lines under an image, and their colour: blue for right, orange for wrong."""
    if "error" in fact:
        return f"said {fact['said']}\ntrue {fact['true']}", ORANGE if fact["error"] > 1 else BLUE
    right = fact["true"] == fact["said"]
    said = f"{RIGHT if right else WRONG} {clipped(fact['said'], 13)} {fact['confidence']:.0%}"
    return f"{said}\ntrue {clipped(fact['true'], 14)}", BLUE if right else ORANGE


def rival_classes(predictions: Predictions, row: int) -> list[int]:
    """The classes between which a row is decided, by position: what was said, then the truth, or
    where that is the same what came second. In multilabel the one that is most wrong; in a
    regression the first number."""
    values = predictions.values[row]
    if predictions.task == "regression":
        return [0]
    if predictions.task == "multilabel":
        return [int(np.abs(values - predictions.targets[row]).argmax())]
    said, true = int(predictions.decided[row]), int(predictions.targets[row])
    second = int(np.argsort(-np.delete(values, said), kind="stable")[0])
    return [said, true if true != said else second + (second >= said)]


def data_uri(image: np.ndarray, side: int = SIDE) -> str:
    """A small image as the address of an <img>: PNG where it is tiny, else WebP."""
    longest = max(image.shape[:2])
    if longest > side:
        height, width = (max(1, round(n * side / longest)) for n in image.shape[:2])
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    ending, options = (".png", []) if longest <= TINY else (".webp", [cv2.IMWRITE_WEBP_QUALITY, 80])
    data = cv2.imencode(ending, pixels, options)[1].tobytes()
    return f"data:image/{ending[1:]};base64,{base64.b64encode(data).decode()}"
