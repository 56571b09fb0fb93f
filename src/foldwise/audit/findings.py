"""What the audit's result means and what to do about it, in words."""

import textwrap
from typing import Any

WIDTH = 100
MARK = {3: "!!!", 2: "!! ", 1: "!  "}
RARE, UNEVEN = 10, 20  # rows of a class; times the largest class is larger than the smallest
MOVED, FAR = 0.55, 0.70  # AUC (the interval's lower end) from which on train and test differ


def findings(result: dict[str, Any]) -> list[dict[str, Any]]:
    """What is wrong, most alarming first: alarm 3 to 1, what, do, examples (a few, as text)."""
    found = [
        *_broken(result), *_leaks(result), *_conflicts(result), *_duplicates(result),
        *_shift(result), *_odd(result), *_balance(result),
    ]  # fmt: skip
    return sorted(found, key=lambda finding: -finding["alarm"])


def finding(alarm: int, what: str, do: str, examples: list[str] | None = None) -> dict[str, Any]:
    return {"alarm": alarm, "what": what, "do": do, "examples": (examples or [])[:5]}


def _broken(result: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for part, do in (
        ("train", "get them again, or train without them: images.broken=prior"),
        ("test", "get them again, or give them the class prior: images.broken=prior"),
    ):
        some = [image for image in result["broken"] if image["part"] == part]
        if some:
            what = f"{_many(some, f'{part} image')} cannot be read"
            found.append(finding(3, what, do, [f"{i['id']} {i['reason']}" for i in some]))
    missing = result["images"]["missing"]
    if missing:
        do = "images.missing=drop gives them the class prior"
        found.append(finding(2, f"{_many(missing, 'test row')} without an image", do, missing))
    return found


def _leaks(result: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    names = {"bytes": "file size (beyond what the pixels explain)", "mtime": "file time"}
    for leak in result["leaks"]["found"]:
        about = f" '{leak['label']}'" if "label" in leak else ""
        what = (
            f"the label{about} can be told from {names.get(leak['feature'], leak['feature'])}: "
            f"skill {leak['skill']:.2f} (0 chance, 1 certain)"
        )
        do = "see whether test has it too; a CV on images alone does not show what it is worth"
        if leak["feature"] == "row order":
            do = "harmless if test rows are in no such order (folds are shuffled)"
        found.append(finding(3 if leak["feature"] != "row order" else 2, what, do))
    return found


def _conflicts(result: dict[str, Any]) -> list[dict[str, Any]]:
    pairs = result["conflicts"]
    if not pairs:
        return []
    texts = [
        f"{p['a']['id']} {p['a']['label']} | {p['b']['id']} {p['b']['label']} "
        f"({p['kind']}, {p['similarity']:.2f})"
        for p in pairs
    ]
    what = f"{_many(pairs, 'pair')} of duplicates in train with different labels"
    return [finding(3, what, "look at them (audit.png) and mend labels in corrections.csv", texts)]


def _duplicates(result: dict[str, Any]) -> list[dict[str, Any]]:
    counts, pairs, groups = (result["duplicates"][k] for k in ("counts", "pairs", "groups"))
    advice = {
        "train": (2, "keep them in one fold, or the CV is too good: folds.group=duplicates"),
        "across": (2, "these test labels are known: is that allowed? the public score flatters"),
        "test": (1, "their predictions should agree"),
    }
    words = {
        "train": "within train",
        "test": "within test",
        "across": "of a train and a test image",
    }
    found = []
    for place, (alarm, do) in advice.items():
        number = sum(counts[place].values())
        if not number:
            continue
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in counts[place].items() if count)
        here = [pair for pair in pairs if _place(pair) == place]
        what = f"{number:,} duplicate pair{'s'[: number != 1]} {words[place]} ({kinds})"
        if place == "train":
            images = sum(
                part if (part := sum(i["part"] == "train" for i in group)) > 1 else 0
                for group in groups
            )
            share = images / max(result["images"]["train"], 1)
            what += f"; {images:,} images ({share:.1%}) have a twin in train"
        if place == "across":
            twins = {p[s]["id"] for p in here for s in "ab" if p[s]["part"] == "test"}
            what += f"; {len(twins):,} test images"
        texts = [f"{p['a']['id']} | {p['b']['id']} ({p['kind']})" for p in here]
        found.append(finding(alarm, what, do, texts))
    return found


def _place(pair: dict[str, Any]) -> str:
    parts = {pair["a"]["part"], pair["b"]["part"]}
    return parts.pop() if len(parts) == 1 else "across"


def _shift(result: dict[str, Any]) -> list[dict[str, Any]]:
    shift = result["shift"]
    if "skipped" in shift or shift["interval"][0] < MOVED:
        return []
    low, high = shift["interval"]
    best = [
        f"{f['feature']}: median {f['train']:g} in train, {f['test']:g} in test"
        for f in shift["features"][:3]
    ]
    what = f"train and test images differ: AUC {shift['auc']:.3f} ({low:.3f} to {high:.3f})"
    do = "expect the CV to be off; augment over the difference, or choose folds like test"
    return [finding(3 if low >= FAR else 2, what, do, best)]


def _odd(result: dict[str, Any]) -> list[dict[str, Any]]:
    advice = {
        "constant": (2, "of one colour throughout", "their labels are noise: leave them out"),
        "tiny": (2, "much smaller than the others", "look at them: thumbnails, cut-outs, icons?"),
        "huge": (1, "much larger than the others", "look at them: whole scenes, scans?"),
        "elongated": (1, "of an odd shape", "squeezing them into a square distorts them"),
        "rotated": (1, "with an EXIF rotation", "nothing: it is applied when decoding"),
        "unusual": (1, "of an unusual format or mode", "are they from another source?"),
    }
    found = []
    for kind, (alarm, words, do) in advice.items():
        images = result["odd"].get(kind, [])
        if images:
            texts = [f"{image['id']} {image['what']}" for image in images]
            found.append(finding(alarm, f"{_many(images, 'image')} {words}", do, texts))
    return found


def _balance(result: dict[str, Any]) -> list[dict[str, Any]]:
    counts = result["balance"]["counts"]
    if result["task"] == "regression" or not counts:
        return []
    most, least = max(counts.values()), min(counts.values())
    if least >= RARE and most <= UNEVEN * least:
        return []
    rare = [f"{name} {count:,}" for name, count in list(counts.items())[::-1]]
    what = f"classes are uneven: {most:,} rows in the largest, {least:,} in the smallest"
    if most <= UNEVEN * least:
        what = f"classes have few rows: {least:,} in the smallest"
    return [finding(2 if least < RARE else 1, what, "see the metric: does it weigh classes?", rare)]


def _many(items: list[Any], noun: str) -> str:
    return f"{len(items):,} {noun}{'s'[: len(items) != 1]}"


def table(result: dict[str, Any]) -> str:
    """The findings for a terminal of 100 columns."""
    images, classes = result["images"], result["balance"]["counts"]
    what = "label quantiles" if result["task"] == "regression" else f"{len(classes)} classes"
    lines = [
        f"{result['competition']}: {images['train']:,} train and {images['test']:,} test images, "
        f"{what}; sizes: {_sizes(images['sizes'])}"
    ]
    for one in result["findings"]:
        lines += ["", *_wrapped(f"{MARK[one['alarm']]} ", one["what"])]
        if one["examples"]:
            lines += _wrapped("      e.g. ", "; ".join(map(str, one["examples"])))
        lines += _wrapped("      do:  ", one["do"])
    lines += ["", *_quiet(result)]
    return "\n".join(lines)


def _sizes(sizes: dict[str, Any]) -> str:
    frequent = (sizes["train"] or sizes["test"]).get("frequent", [])
    texts = [f"{one['width']} x {one['height']} ({one['images']:,})" for one in frequent[:3]]
    more = (sizes["train"] or sizes["test"]).get("different", 0) - len(texts)
    return ", ".join(texts) + (f" and {more:,} more" if more > 0 else "")


def _quiet(result: dict[str, Any]) -> list[str]:
    """What was looked at and is in order, and on how many rows."""
    shift, leaks = result["shift"], result["leaks"]
    lines = []
    if "skipped" in shift:
        lines += _wrapped("    ", f"train against test: not compared, {shift['skipped']}")
    else:
        low, high = shift["interval"]
        text = f"train against test: AUC {shift['auc']:.3f} ({low:.3f} to {high:.3f})"
        if shift["rows"] < shift["of_rows"]:
            text += f" on a sample of {shift['rows']:,} of {shift['of_rows']:,} images"
        lines += _wrapped("    ", text)
    if "skipped" in leaks:
        lines += _wrapped("    ", f"leaks: not looked for, {leaks['skipped']}")
    else:
        best = leaks["tested"][0]
        text = f"leaks: {len(leaks['tested'])} features tried, most telling {best['feature']} "
        text += f"(skill {best['skill']:.3f})"
        if leaks["rows"] < leaks["of_rows"]:
            text += f" on {leaks['rows']:,} of {leaks['of_rows']:,} train rows"
        lines += _wrapped("    ", text)
    if not result["findings"]:
        lines += ["    nothing is wrong that this audit could see"]
    return lines


def _wrapped(first: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first),
        break_long_words=True, break_on_hyphens=False,
    )  # fmt: skip
