"""An analysis as text, for a terminal and for analysis.txt."""

from collections.abc import Sequence
from typing import Any

CLASSES = 40  # more classes than these: only the hardest are listed
LISTED = 15  # pairs, slices, mistakes


def number(value: Any, digits: int = 4) -> str:
    """``0.9876``, or ``-`` for what is not there."""
    return f"{value:.{digits}f}" if isinstance(value, int | float) else "-"


def columns(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Rows of cells as aligned lines; the first ``left`` cells begin at the left."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if n < left else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def readable(analysis: dict[str, Any], title: str, rows: str = "OOF rows") -> str:
    """The parts of analysis.json that a person reads, in the order of their use."""
    parts = [_scores(analysis, title, rows)]
    if "numbers" in analysis:
        parts.append(_numbers(analysis))
    else:
        parts += [_classes(analysis), _pairs(analysis), _calibration(analysis)]
    parts += [_slices(analysis), _mistakes(analysis)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _scores(analysis: dict[str, Any], title: str, what: str) -> str:
    scores, metric = analysis["scores"], analysis["metric"]
    lines = [f"{title}: {metric} {number(scores['oof'])} over {analysis['rows']:,} {what}"]
    if len(scores["folds"]) > 1:
        lines[0] += f", folds {number(scores['mean'])} ± {number(scores['std'])}"
    if scores["folds"]:  # a labelled set has none
        rows = [("fold", "rows", metric)]
        rows += [(k, f"{v['rows']:,}", number(v["score"])) for k, v in scores["folds"].items()]
        lines += columns(rows)
    lines += [f"{name} {number(value)}" for name, value in scores["watched"].items()]
    if analysis["lost"]:
        lines.append(f"{analysis['lost']:,} rows are left out: their prediction is not finite")
    return "\n".join(lines)


def _classes(analysis: dict[str, Any]) -> str:
    listed = analysis["classes"]
    title = "classes"
    if len(listed) > CLASSES:
        listed = [one for name in analysis["hardest"] for one in listed if one["class"] == name]
        title = f"the hardest of {len(analysis['classes']):,} classes"
    keys = ("precision", "recall", "f1")
    rows: list[tuple[str, ...]] = [(title, *keys, "support", "said")]
    rows += [
        (one["class"], *(number(one[k]) for k in keys), f"{one['support']:,}", f"{one['said']:,}")
        for one in listed
    ]
    for kind in ("macro", "weighted"):
        means = (number(analysis["averages"][f"{kind}_{key}"]) for key in keys)
        rows.append((f"({kind})", *means, "", ""))
    return "\n".join(columns(rows))


def _pairs(analysis: dict[str, Any]) -> str:
    if not analysis["pairs"]:
        return ""
    head = ("missed", "said instead") if analysis["task"] == "multilabel" else ("true", "said")
    rows = [(*head, "rows", "of the class")]
    for pair in analysis["pairs"][:LISTED]:
        rows.append((pair["true"], pair["said"], f"{pair['rows']:,}", f"{pair['share']:.1%}"))
    return "most confused\n" + "\n".join(columns(rows, left=2))


def _calibration(analysis: dict[str, Any]) -> str:
    found = analysis["calibration"]
    rows: list[tuple[str, ...]] = [("confidence", "rows", "mean", "right")]
    for one in found["bins"]:
        name = f"{one['from']:.2f} to {one['to']:.2f}"
        rows.append((name, f"{one['rows']:,}", *(f"{one[k]:.3f}" for k in _SURE)))
    head = f"calibration error {found['ece']:.4f} ({found['how']})"
    return "\n".join([head, *columns(rows)])


_SURE = ("confidence", "accuracy")


def _numbers(analysis: dict[str, Any]) -> str:
    keys = ("rmse", "mae", "bias", "r2", "correlation")
    rows = [("number", *keys)]
    rows += [(one["number"], *(number(one[key]) for key in keys)) for one in analysis["numbers"]]
    return "\n".join(columns(rows))


def _slices(analysis: dict[str, Any]) -> str:
    found = analysis.get("slices") or []
    if not found:
        return ""
    rows = [("column", "value", "rows", analysis["metric"], "z")]
    for one in found[:LISTED]:
        cells = (f"{one['rows']:,}", number(one["score"]), number(one["z"], 1))
        rows.append((one["column"], one["value"], *cells))
    return "slices, the worst first (z: against the other rows, in standard errors)\n" + "\n".join(
        columns(rows, left=2)
    )


def _mistakes(analysis: dict[str, Any]) -> str:
    found = analysis["mistakes"][:LISTED]
    if not found:
        return ""
    keys = [key for key in ("confidence", "truth", "error") if key in found[0]]
    folds = ["fold"] if "fold" in found[0] else []
    rows = [("id", "true", "said", *keys, *folds)]
    for one in found:
        numbers = (number(one[key], 3) for key in keys)
        texts = (str(one[key]) for key in folds)
        rows.append((one["id"], one["true"][:40], one["said"][:40], *numbers, *texts))
    return "worst mistakes\n" + "\n".join(columns(rows, left=3))
