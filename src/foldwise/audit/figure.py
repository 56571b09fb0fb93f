"""One picture of the audit: balance, sizes, the shift, and examples to look at."""

import io
from typing import Any

import numpy as np
import pandas as pd

from foldwise.audit.scan import Scan, pixels

BLUE, ORANGE, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#666666"  # Okabe and Ito 2008
COLUMNS = 8  # examples in a row
BARS = 20  # classes that are shown

Example = tuple[list[int], str]  # rows whose images stand side by side; the text above them


def draw(result: dict[str, Any], rows: pd.DataFrame, found: Scan) -> bytes:
    """A PNG. result: audit.json's; rows: part, id, label, file; found: their scan."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    strips = [(title, examples) for title, examples in _strips(result, rows) if examples]
    height = 3.6 + 1.75 * len(strips)
    figure = Figure(figsize=(15, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    heights = [3.6] + [1.75] * len(strips)
    parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    axes = parts[0].subplots(1, 3)
    parts[0].suptitle(f"{result['competition']}: what is wrong with the data", fontsize=15)
    _balance(axes[0], result)
    _sizes(axes[1], rows, found)
    _shift(axes[2], result)
    for part, (title, examples) in zip(parts[1:], strips, strict=True):
        _examples(part, title, examples, rows)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _balance(axes: Any, result: dict[str, Any]) -> None:
    counts = result["balance"]["counts"]
    names = list(counts)
    cut = len(names) > BARS
    shown = names[: BARS // 2] + names[-BARS // 2 :] if cut else names
    axes.barh(range(len(shown)), [counts[name] for name in shown], color=BLUE)
    axes.set_yticks(range(len(shown)), [name[:22] for name in shown], fontsize=9)
    axes.invert_yaxis()
    more = f" (largest and smallest of {len(names):,})" if cut else ""
    axes.set_title(f"train rows a class{more}", fontsize=12)


def _sizes(axes: Any, rows: pd.DataFrame, found: Scan) -> None:
    facts = found.facts
    if facts[["width", "height"]].drop_duplicates().dropna().shape[0] > 1:
        for part, colour, marker in (("train", BLUE, "o"), ("test", ORANGE, "x")):
            here = facts[(rows["part"] == part) & found.whole]
            sizes = here.groupby(["width", "height"]).size().reset_index(name="n")
            area = 15 + 150 * sizes["n"] / max(len(facts), 1)
            axes.scatter(
                sizes["width"],
                sizes["height"],
                s=area,
                c=colour,
                marker=marker,
                alpha=0.6,
                label=part,
            )
        if facts["width"].max() > 4 * facts["width"].median():
            axes.set(xscale="log", yscale="log")
        axes.set(xlabel="width, pixels", ylabel="height, pixels")
        title = "sizes"
    else:
        column = "bytes" if facts["bytes"].notna().any() else "complexity"
        values = facts[column].dropna()
        edges = np.histogram_bin_edges(values, 50) if len(values) else 10
        for part, colour, fill in (("train", BLUE, True), ("test", ORANGE, False)):
            here = facts[column][(rows["part"] == part)].dropna()
            if len(here):
                axes.hist(
                    here, edges, density=True, color=colour, label=part,
                    histtype="stepfilled" if fill else "step", alpha=0.5 if fill else 1, lw=2,
                )  # fmt: skip
        axes.set(xlabel="bytes a file" if column == "bytes" else "bytes when encoded", yticks=[])
        title = "file sizes (all images have one size in pixels)"
    axes.set_title(title, fontsize=12)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=10)


def _shift(axes: Any, result: dict[str, Any]) -> None:
    shift = result["shift"]
    if "skipped" in shift:
        axes.axis("off")
        axes.text(0.5, 0.5, f"train against test:\n{shift['skipped']}", ha="center", wrap=True)
        return
    features = shift["features"][:8]
    axes.barh(range(len(features)), [max(f["importance"], 0) for f in features], color=GREEN)
    axes.set_yticks(range(len(features)), [f["feature"] for f in features], fontsize=10)
    axes.invert_yaxis()
    axes.set_xlim(0, max(0.05, *(f["importance"] * 1.1 for f in features)))
    axes.set_xlabel("AUC lost when the feature is shuffled")
    low, high = shift["interval"]
    axes.set_title(
        f"train against test: AUC {shift['auc']:.3f} ({low:.3f} to {high:.3f})", fontsize=12
    )


def _strips(result: dict[str, Any], rows: pd.DataFrame) -> list[tuple[str, list[Example]]]:
    """The rows of examples: conflicts, duplicates across, duplicates in train, odd images."""
    place = {(part, name): n for n, (part, name) in enumerate(zip(rows["part"], rows["id"]))}  # noqa: B905

    def number(image: dict[str, str]) -> int:
        return place[image["part"], image["id"]]

    def pair(one: dict[str, Any]) -> Example:
        texts = [f"{i['id'][:14]} {i.get('label', 'test')[:12]}" for i in (one["a"], one["b"])]
        return [number(one["a"]), number(one["b"])], "\n".join([*texts, _how(one)])

    pairs = [p for p in result["duplicates"]["pairs"] if not p["labels_differ"]]
    across = [p for p in pairs if p["a"]["part"] != p["b"]["part"]]
    within = [p for p in pairs if p["a"]["part"] == p["b"]["part"]]
    odd = [
        ([number(image)], f"{image['id'][:16]}\n{kind}: {image['what'][:18]}")
        for n in range(COLUMNS)
        for kind, images in result["odd"].items()
        for image in images[n : n + 1]
    ]
    conflicts = result["conflicts"]
    return [
        (f"labels in conflict ({len(conflicts):,})", list(map(pair, _spread(conflicts)))),
        (f"train and test ({len(across):,})", list(map(pair, _spread(across)))),
        (f"duplicates within ({len(within):,})", list(map(pair, _spread(within)))),
        ("odd images", odd[:COLUMNS]),
    ]


def _how(pair: dict[str, Any]) -> str:
    return pair["kind"] + ("" if pair["kind"] == "exact" else f" {pair['similarity']:.2f}")


def _spread(items: list[Any]) -> list[Any]:
    """At most COLUMNS of them: evenly spread, and of all kinds that there are."""
    by_kind = sorted(items, key=lambda pair: (pair["kind"], pair["similarity"]))
    chosen = np.linspace(0, len(items) - 1, min(COLUMNS, len(items))).astype(int)
    return [by_kind[n] for n in chosen]


def _examples(part: Any, title: str, examples: list[Example], rows: pd.DataFrame) -> None:
    part.suptitle(title, fontsize=13, x=0.005, ha="left", weight="bold")
    axes = part.subplots(1, COLUMNS)
    for axis in axes:
        axis.axis("off")
    for axis, (numbers, text) in zip(axes, examples, strict=False):
        side = _side_by_side([pixels(rows["file"].iat[n]) for n in numbers])
        axis.imshow(side, interpolation="nearest" if side.shape[0] < 100 else "antialiased")
        axis.set_title(text, fontsize=9, color="black")


def _side_by_side(images: list[np.ndarray]) -> np.ndarray:
    """Scaled to one height (at most 160 pixels), with a white line between."""
    import cv2

    height = min(160, max(image.shape[0] for image in images))
    parts: list[np.ndarray] = []
    for image in images:
        width = min(max(1, round(image.shape[1] * height / image.shape[0])), 4 * height)
        way = cv2.INTER_AREA if image.shape[0] > height else cv2.INTER_NEAREST
        gap = np.full((height, max(1, height // 16), 3), 255, np.uint8)
        parts += [cv2.resize(image, (width, height), interpolation=way), gap]
    return np.hstack(parts[:-1])
