"""The page of all runs of a competition: a table, figures, and any two side by side."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from foldwise.compose import flat
from foldwise.errors import FoldwiseError
from foldwise.files import home, write_text
from foldwise.report import style
from foldwise.report.comparisons import (
    correlation_figure,
    leaderboard_figure,
    rounds_figure,
    scores_figure,
)
from foldwise.report.facts import (
    SAME_ANYWAY,
    Facts,
    day,
    differences,
    duration,
    rounds,
    short,
    spread,
    told,
)
from foldwise.report.leaderboard import scored
from foldwise.report.markup import Cell, Html, figures, join, note, page, section, table, tag
from foldwise.report.reading import Reading, reading_of
from foldwise.report.report import as_svg
from foldwise.report.run_page import facts_list, frame
from foldwise.report.sheets import TINY, Look, data_uri
from foldwise.report.style import clipped
from foldwise.report.text import number
from foldwise.report.together import (
    Together,
    answer,
    correlation,
    disagreements,
    shared_pairs,
    together,
    verdict,
)

COMPARED = 16  # runs, the best of all, of which any two can be seen side by side
CLASHES = 9  # images of two runs
IMAGES = 400  # different ones in the page
SIDE = 96  # pixels of theirs


def report_competition(
    name: str, listed: Sequence[Facts], unreadable: Sequence[str], look: Look
) -> Path:
    """Write oof/<competition>.html, which is replaced; ``listed`` are its runs, best first."""
    path = home() / "oof" / f"{name}.html"
    compared = _alike([reading for facts in listed[:COMPARED] if (reading := _read(facts))])
    with style.styled():
        aligned = together([r.predictions for r in compared if r.predictions]) if compared else None
        drawn = as_svg(_figures(name, listed, compared, aligned))
    data = _data(compared, aligned, look) if aligned is not None else None
    parts = [
        section("Runs", _table(listed), *(note(line) for line in unreadable)),
        section("Scores", figures(drawn.get("scores"))),
        section("Two runs side by side", _picker(compared, len(listed))),
        section(
            "More", figures(*(drawn.get(one) for one in ("leaderboard", "rounds", "correlation")))
        ),
    ]
    write_text(path, page(f"{name}: runs", frame(_head(name, listed), parts), data))
    return path


def _read(facts: Facts) -> Reading | None:
    """None where a run has no predictions yet, or damaged ones: the table has it all the same."""
    try:
        reading = reading_of(facts.run)
    except FoldwiseError:
        return None
    if reading.predictions is None or not len(reading.predictions.ids):
        return None
    return replace(reading, predictions=reading.predictions.decisions())


def _alike(readings: Sequence[Reading]) -> list[Reading]:
    """Those with the task and classes of the first: others cannot be compared row by row."""
    settings = [reading.facts.config.competition for reading in readings]
    kinds = [(one.task, one.classes) for one in settings]
    return [one for one, kind in zip(readings, kinds, strict=True) if kind == kinds[0]]


def _figures(
    name: str, listed: Sequence[Facts], compared: Sequence[Reading], aligned: Together | None
) -> dict[str, Figure]:
    found = {
        "scores": scores_figure(listed),
        "leaderboard": leaderboard_figure(scored(name)),
        "rounds": rounds_figure(rounds(listed)),
    }
    if aligned is not None:
        names = [reading.facts.name for reading in compared]
        found["correlation"] = correlation_figure(names, correlation(aligned.lack))
    return {key: figure for key, figure in found.items() if figure is not None}


def _head(name: str, listed: Sequence[Facts]) -> Html:
    best = next((facts for facts in listed if facts.best is not None), None)
    pairs: list[tuple[str, object]] = [("runs", f"{len(listed):,}")]
    if best is not None:
        pairs = [(f"best {best.metric}", number(best.best)), ("by", best.name), *pairs]
    pairs.append(("on disk", f"{sum(facts.size for facts in listed) / 2**20:,.0f} MB"))
    pairs.append(("training time", duration(sum(facts.seconds or 0 for facts in listed))))
    return join([tag("h1", name), facts_list(pairs)])


def _table(listed: Sequence[Facts]) -> Html:
    special, metrics = differences(listed), {facts.metric for facts in listed}
    mixed = len(metrics) > 1
    head = ["run", "score" if mixed else listed[0].metric, "mean ± std", "honest", "folds"]
    head += ["time", "parameters", "MB", "date", "model", "what sets it apart"]
    rows: list[list[Cell]] = []
    for facts in listed:
        words = " ".join(told(key, value) for key, value in special[facts.name].items())
        score = number(facts.score) + (f" {facts.metric}" if mixed else "")
        rows.append(
            [
                _linked(facts), (score, _value(facts.score)),
                (spread(facts), _value(facts.scores.get("mean"))),
                number(facts.honest), (_folds(facts), len(facts.finished)),
                (duration(facts.seconds), _value(facts.seconds)),
                (short(facts.parameters), _value(facts.parameters)),
                (f"{facts.size / 2**20:,.1f}", facts.size), (day(facts.date), facts.date),
                facts.model,
                tag("span", words, class_="settings"),
            ]
        )  # fmt: skip
    return table(head, rows, words=(0, 9, 10), search=True)


def _folds(facts: Facts) -> str:
    """Short for the table: ``5/5``."""
    return facts.state.replace(" of ", "/").replace(" folds", "")


def _value(value: float | None) -> object:
    """What a cell is sorted by; '' is last."""
    return "" if value is None else value


def _linked(facts: Facts) -> Html:
    page_of = facts.run.report_folder / "report.html"
    if not page_of.is_file():
        return tag("span", facts.name)
    return tag("a", facts.name, href=f"{facts.name}/{page_of.parent.name}/{page_of.name}")


def _picker(compared: Sequence[Reading], number_of_runs: int) -> Html:
    if len(compared) < 2:
        return Html("")
    boxes = []
    for place, (name, label) in enumerate((("left", "first run"), ("right", "second run"))):
        options = [
            tag("option", one.facts.name, value=n, selected="" if n == place else None)
            for n, one in enumerate(compared)
        ]
        boxes.append(tag("select", *options, id=name, aria_label=label))
    said = ""
    if number_of_runs > len(compared):
        said = note(
            f"Of the {len(compared)} best runs with predictions; ./run.sh report runs=A,B makes "
            "this page of runs that you name."
        )
    return join([tag("div", boxes[0], "and", boxes[1], class_="pick"), said, tag("div", id="side")])


def _data(compared: Sequence[Reading], aligned: Together, look: Look) -> dict[str, Any]:
    """What page.js needs to put any two of the runs side by side."""
    flats = [flat(one.facts.config) for one in compared]
    keys = [
        key
        for key in flats[0]
        if key not in SAME_ANYWAY and len({str(settings[key]) for settings in flats}) > 1
    ]
    runs = [
        {
            "name": one.facts.name,
            "facts": _facts(one.facts),
            "settings": {key: clipped(str(settings[key]), 200) for key in keys},
        }
        for one, settings in zip(compared, flats, strict=True)
    ]
    images: dict[str, dict[str, Any]] = {}
    pairs = {}
    for a, b, shared in shared_pairs(compared, aligned):
        if not len(shared):
            continue
        said = verdict(compared[a], compared[b], aligned.good[[a, b]][:, shared])
        rows = _clashes(compared, aligned, (a, b), shared, images, look)
        pairs[f"{a} {b}"] = {"said": said, "rows": rows}
    names = ["score", "mean ± std", "honest", "folds", "time", "parameters", "date"]
    return {"runs": runs, "facts": names, "pairs": pairs, "images": images}


def _facts(facts: Facts) -> list[str]:
    return [
        *(number(facts.score), spread(facts), number(facts.honest), facts.state),
        *(duration(facts.seconds), short(facts.parameters), day(facts.date)),
    ]


def _clashes(
    compared: Sequence[Reading],
    aligned: Together,
    pair: tuple[int, int],
    shared: Any,
    images: dict[str, dict[str, Any]],
    look: Look,
) -> list[list[str]]:
    """[id, what a said, what b said] where they disagree most; ``images`` gets what is shown."""
    a, b = (compared[n].predictions for n in pair)
    assert a is not None and b is not None
    rows = aligned.place[list(pair)][:, shared]
    found = []
    for position in disagreements(a, b, rows, CLASHES):
        name, (x, y) = str(aligned.ids[shared[position]]), rows[:, position].tolist()
        if name not in images:
            if len(images) >= IMAGES:
                continue
            images[name] = {"true": a.true_text(x), **_picture(look(name))}
        found.append([name, answer(a, x), answer(b, y)])
    return found


def _picture(pixels: Any) -> dict[str, Any]:
    if pixels is None:
        return {}
    return {"src": data_uri(pixels, SIDE), "tiny": max(pixels.shape[:2]) <= TINY}
