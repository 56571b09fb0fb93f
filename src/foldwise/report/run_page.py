"""The page of one run."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from foldwise import runview
from foldwise.compose import flat
from foldwise.config import Config
from foldwise.report.advice import advice
from foldwise.report.analysis import row_facts, worst_rows
from foldwise.report.facts import day, duration, short
from foldwise.report.figures import SHOWN
from foldwise.report.markup import Cell, Html, figures, join, note, page, section, table, tag
from foldwise.report.members import member_table
from foldwise.report.predictions import Predictions
from foldwise.report.reading import Reading
from foldwise.report.sheets import RIGHT, TINY, WRONG, Look, data_uri, sample_rows
from foldwise.report.text import number

LOG_LINES = 12
SHEET = 1400  # pixels of the Grad-CAM sheet's longer side
LOSSES = (
    "Two losses that do not compare: training has the objective of the steps (augmented images; "
    "smoothing, mixing, weights, a teacher or soft labels where they are on), validation the plain "
    "loss of the weights that predict."
)
ROWS = 300  # of a table of classes or slices; analysis.json has all


def run_page(reading: Reading, drawn: Mapping[str, Html], seen: bytes, look: Look) -> str:
    """``drawn``: figures by name, as SVG; ``seen``: the Grad-CAM sheet as PNG, or nothing."""
    predictions = reading.predictions
    parts: list[Html] = []
    if predictions is None:
        parts.append(section("State", tag("p", reading.waiting), _logs(reading)))
    elif reading.facts.training:
        parts.append(section("State", tag("p", reading.facts.state), _logs(reading)))
    if predictions is not None and len(predictions.ids):
        parts.append(_advice(reading, predictions))
    parts.append(_training(drawn))
    if predictions is not None and len(predictions.ids):
        parts += _results(reading, predictions, drawn, look)
    parts.append(_attention(seen))
    parts += [_several(reading, drawn)] if reading.fold is None else []
    parts.append(_settings(reading))
    return page(reading.title, frame(_head(reading), parts))


def frame(head: Html, parts: Sequence[Html]) -> Html:
    """Head, list of the sections, and the sections."""
    shown = [part for part in parts if part]
    links = [(part.split('id="', 1)[1].split('"', 1)[0], _title(part)) for part in shown]
    button = tag("button", "dark", id="theme", type="button", aria_label="light or dark")
    bar = tag("nav", tag("div", *(tag("a", t, href=f"#{i}") for i, t in links), button))
    return join([tag("header", tag("div", head)), bar, tag("main", *shown)])


def _title(part: Html) -> Html:
    return Html(part.split("<h2>", 1)[1].split("</h2>", 1)[0])


def facts_list(pairs: Sequence[tuple[str, object]], first: bool = True) -> Html:
    """Names over values; the first, the score, is large."""
    items = [
        tag("div", tag("span", name), tag("b", value), class_="score" if first and not n else None)
        for n, (name, value) in enumerate(pairs)
    ]
    return tag("div", *items, class_="facts")


def _head(reading: Reading) -> Html:
    facts, config = reading.facts, reading.facts.config
    scores = reading.analysis["scores"] if reading.predictions is not None else facts.scores
    rows = f"{len(reading.predictions.ids):,}" if reading.predictions is not None else "-"
    of = "all OOF rows" if reading.fold is None else f"OOF rows of fold {reading.fold}"
    pairs: list[tuple[str, object]] = [(f"{facts.metric}, {of}", number(scores.get("oof")))]
    if facts.honest is not None:
        low, high = facts.scores.get("interval") or (None, None)
        between = f" ({number(low)} to {number(high)})" if low is not None else ""
        pairs.append(("honest (95 % interval)", f"{number(facts.honest)}{between}"))
        pairs.append(("naive", number(facts.scores.get("naive"))))
    if reading.fold is None:
        pairs.append(("folds", f"{number(scores.get('mean'))} ± {number(scores.get('std'))}"))
    pairs += [("state", facts.state), ("rows", rows)]
    if config.competition.task != "regression":
        pairs.append(("classes", f"{len(config.competition.classes):,}"))
    pairs += [("training", duration(facts.seconds)), ("parameters", short(facts.parameters))]
    pairs += [("date", day(facts.date))]
    lines = [f"{config.competition.task} on {facts.competition}"]
    lines[0] += f", {facts.model}" + ("" if facts.blend else f" at {config.images.size} pixels")
    if reading.prior:
        lines.append(f"{reading.prior:,} OOF rows have the class prior instead of a prediction")
    if facts.scores.get("optimistic"):
        lines.append("optimistic: the rows that are scored chose when to stop")
    if facts.scores.get("seen"):
        lines.append("not honest: what predicts these rows has seen labels of theirs")
    if teacher := facts.scores.get("teacher"):
        lines.append(f"its teacher: {number(teacher.get('oof'))} over the same folds")
    known = [(name, value) for name, value in pairs if value != "-"]
    return join([tag("h1", reading.title), *map(note, lines), facts_list(known)])


def _advice(reading: Reading, predictions: Predictions) -> Html:
    found = advice(reading.analysis, predictions, list(reading.histories.values()))
    if not found:
        return Html("")
    items = [tag("li", one.what, tag("span", f"Try: {one.do}")) for one in found]
    return section("What stands out", tag("ul", *items, class_="advice"))


def _training(drawn: Mapping[str, Html]) -> Html:
    """All in one figure; on a phone one below the other, where they are large enough."""
    names = ("loss", "validation", "accuracy", "learning_rate")
    if "combined" not in drawn:  # a blend's
        return Html("")
    return section(
        "Training",
        note(LOSSES),
        tag("div", figures(drawn["combined"], drawn.get("accuracy")), class_="large"),
        tag("div", figures(*(drawn.get(name) for name in names)), class_="small"),
    )


def _results(
    reading: Reading, predictions: Predictions, drawn: Mapping[str, Html], look: Look
) -> list[Html]:
    analysis = reading.analysis
    parts = [
        section(
            "Score", figures(drawn.get("folds"), _folds(analysis)), figures(drawn.get("numbers"))
        )
    ]
    if "classes" in analysis:
        parts.append(
            section(
                "Classes", figures(drawn.get("confusion"), drawn.get("classes")),
                figures(_pairs(analysis), _classes(analysis)),
            )
        )  # fmt: skip
        how = note(analysis["calibration"]["how"] + ".")
        parts.append(
            section("Confidence", figures(drawn.get("reliability"), drawn.get("surest")), how)
        )
    worst = worst_rows(predictions, SHOWN)
    parts.append(section("Worst mistakes", image_list(predictions, worst, look)))
    sample = sample_rows(predictions, SHOWN)
    parts.append(section("Predictions", image_list(predictions, sample, look)))
    parts.append(_slices(analysis))
    return parts


def _folds(analysis: dict[str, Any]) -> Html:
    rows: list[list[Cell]] = [
        [k, f"{v['rows']:,}", (number(v["score"]), v["score"])]
        for k, v in analysis["scores"]["folds"].items()
    ]
    watched = [[name, number(value)] for name, value in analysis["scores"]["watched"].items()]
    return join(
        [table(["fold", "rows", analysis["metric"]], rows), table(["metric", "all rows"], watched)]
    )


def _pairs(analysis: dict[str, Any]) -> Html:
    if not analysis["pairs"]:
        return note("No row is wrong.")
    rows: list[list[Cell]] = [
        [p["true"], p["said"], f"{p['rows']:,}", f"{p['share']:.1%}", f"{p['back']:,}"]
        for p in analysis["pairs"][:15]
    ]
    first = ["missed", "said instead"] if analysis["task"] == "multilabel" else ["true", "said"]
    whole = table([*first, "rows", "of the class", "other way"], rows, words=(0, 1))
    return join([tag("h3", "Most confused"), whole])


def _classes(analysis: dict[str, Any]) -> Html:
    keys = ("precision", "recall", "f1", "support", "said")
    listed = sorted(analysis["classes"], key=lambda one: one["f1"])
    rows: list[list[Cell]] = [
        [
            one["class"],
            *((number(one[key]) if key in keys[:3] else f"{one[key]:,}") for key in keys),
        ]
        for one in listed[:ROWS]
    ]
    whole = table(["class", *keys], rows, search=len(rows) > 15)
    more = note(f"The {ROWS} hardest; analysis.json has all.") if len(listed) > ROWS else ""
    return join([tag("h3", f"{len(listed):,} classes"), tag("div", whole, class_="long"), more])


def image_list(predictions: Predictions, rows: Sequence[int], look: Look) -> Html:
    """Images with what is true and what was said of them; without any image a table."""
    if not rows:
        return Html("")
    if any(look(predictions.ids[row]) is not None for row in rows):
        return tag("div", *(_image(predictions, row, look) for row in rows), class_="images")
    facts = [row_facts(predictions, row) for row in rows]
    head = list(facts[0])
    cells = [[number(v, 3) if isinstance(v, float) else str(v) for v in f.values()] for f in facts]
    return table(head, cells, words=(0, 2, 3))


def _image(predictions: Predictions, row: int, look: Look) -> Html:
    fact = row_facts(predictions, row)
    image = thumbnail(fact["id"], look)
    if "error" in fact:
        words = [tag("b", f"said {fact['said']}"), Html("<br>"), f"true {fact['true']}"]
        kind = "wrong" if fact["error"] > 1 else "right"
    else:
        right = predictions.good[row] == 1
        kind, mark = ("right", RIGHT) if right else ("wrong", WRONG)
        words = [tag("b", f"{mark} {fact['said']}"), f" {fact['confidence']:.0%}"]
        words += [] if right else [Html("<br>"), f"true {fact['true']} {fact['truth']:.1%}"]
    small = tag("small", f"{fact['id']}, fold {fact['fold']}")
    return tag("figure", image, *words, small, class_=kind)


def thumbnail(name: str, look: Look) -> Html:
    pixels = look(name)
    if pixels is None:
        return tag("div", "no image", class_="none")
    kind = "tiny" if max(pixels.shape[:2]) <= TINY else None
    words = f'src="{data_uri(pixels)}"' + (f' class="{kind}"' if kind else "")
    return Html(f'<img {words} loading="lazy" alt="{_alt(name)}">')


def _alt(name: str) -> Html:
    from foldwise.report.markup import html

    return html(f"image {name}")


def _attention(seen: bytes) -> Html:
    if not seen:
        return Html("")
    pixels = np.asarray(cv2.imdecode(np.frombuffer(seen, np.uint8), cv2.IMREAD_COLOR_RGB))
    image = Html(f'<img class="sheet" src="{data_uri(pixels, SHEET)}" alt="Grad-CAM">')
    how = "Bright is what speaks for the class (Grad-CAM, Selvaraju et al., 2017)."
    return section("Where it looks", note(how), tag("div", image, class_="scroll"))


def _slices(analysis: dict[str, Any]) -> Html:
    found = analysis.get("slices") or []
    rows: list[list[Cell]] = [
        [
            one["column"], one["value"], f"{one['rows']:,}", number(one["score"]),
            number(one["z"], 1),
        ]
        for one in found[:ROWS]
    ]  # fmt: skip
    head = ["column", "value", "rows", analysis["metric"], "z"]
    how = "z: against all other rows, in standard errors; below -3 is hardly chance."
    if not rows:
        return Html("")
    whole = table(head, rows, words=(0, 1), search=len(rows) > 15)
    return section("Slices of the train table", note(how), tag("div", whole, class_="long"))


def _several(reading: Reading, drawn: Mapping[str, Html]) -> Html:
    names = ("weights", "correlation", "rounds", "leaderboard")
    beside = figures(*(drawn.get(name) for name in names))
    return section("Beside other runs", member_table(reading.facts.described), beside)


def _settings(reading: Reading) -> Html:
    default, ours = flat(Config()), flat(reading.facts.config)
    aside = {"run", "config", "fold", "overwrite", "competition.classes", "blend.members"}
    rows: list[list[Cell]] = [
        [tag("code", key), _plain(value), _plain(default[key])]
        for key, value in ours.items()
        if value != default[key] and key not in aside
    ]
    environment = runview.environment(reading.run)
    told = [[tag("code", key), str(value)] for key, value in environment.items()]
    return section(
        "Settings",
        note("Those that are not at their defaults, automatic choices included."),
        table(["setting", "value", "default"], rows, words=(0, 1, 2)),
        tag("details", tag("summary", "Made with"), table(["what", "version"], told, words=(0, 1)))
        if told
        else "",
    )


def _plain(value: object) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _logs(reading: Reading) -> Html:
    parts = []
    for fold in reading.run.fold_folders():
        if fold in reading.facts.finished:
            continue
        lines = runview.log_end(reading.run, fold, LOG_LINES)
        if lines:
            parts.append(tag("h3", f"fold {fold}, the end of train.log"))
            parts.append(tag("pre", "\n".join(lines)))
    return join(parts)
