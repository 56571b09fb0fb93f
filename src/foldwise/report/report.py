"""`./run.sh report run=…`: a run's analysis, figures and page, written into the run."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from foldwise.errors import FoldwiseError
from foldwise.files import write_bytes, write_json, write_text
from foldwise.report import style
from foldwise.report.analysis import worst_rows
from foldwise.report.comparisons import leaderboard_figure, rounds_figure
from foldwise.report.facts import Facts, all_facts, lineage, rounds
from foldwise.report.figures import run_figures, sheet_figures
from foldwise.report.leaderboard import scored
from foldwise.report.markup import Html
from foldwise.report.members import member_figures
from foldwise.report.predictions import Predictions
from foldwise.report.reading import Reading, reading_of
from foldwise.report.run_page import run_page
from foldwise.report.sheets import Look, Tile, grid, sample_rows
from foldwise.report.text import readable
from foldwise.runs import Run, every_run

# Tiles that show where a run's networks look in rows of its predictions.
Attend = Callable[[Predictions, Sequence[int]], list[list[Tile]]]
ATTENDED = 12  # rows
SAYS = {
    "loss": "the training objective and the validation loss over the epochs",
    "validation": "the metric on the held-out fold over the epochs",
    "accuracy": "the accuracy in training and on the held-out fold over the epochs",
    "learning_rate": "the learning rate over the epochs",
    "combined": "both losses, validation score, learning rate and speed over the epochs",
    "folds": "the score of each fold",
    "confusion": "confusion matrix",
    "classes": "precision, recall and F1 of each class",
    "reliability": "accuracy against confidence",
    "surest": "accuracy of the surest rows",
    "numbers": "predicted against true numbers, and the errors",
    "weights": "the weight of each member of the blend",
    "correlation": "the correlation of the runs' mistakes",
    "rounds": "the score of each pseudo-label round",
    "leaderboard": "CV against public score",
    "scores": "the scores of all runs",
}


def report_run(
    run: Run,
    look: Look,
    others: pd.DataFrame | None = None,
    attend: Attend | None = None,
    fold: int | None = None,
) -> Path:
    """Write analysis.json, analysis.txt, a PNG a figure and report.html into the run's report/.

    Of one ``fold`` into its report/fold<k>/.

    ``look`` gives the image of an id; ``others``: the train table's other columns by id;
    ``attend``: strips of tiles for a sheet of what the networks look at in the worst rows
    (gradcam.png). All of these files are replaced. Returns the page. Raises FoldwiseError where
    there is no such run or its files contradict each other.
    """
    reading = reading_of(run, others, fold)
    place = run.report_folder if fold is None else run.report_folder / f"fold{fold}"
    if reading.predictions is not None:
        write_json(place / "analysis.json", reading.analysis)
        write_text(place / "analysis.txt", readable(reading.analysis, reading.title))
    with style.styled():
        drawn = run_figures(reading) | (several_figures(reading) if fold is None else {})
        for name, figure in (drawn | sheet_figures(reading.predictions, look)).items():
            write_bytes(place / f"{name}.png", style.png(figure))
        seen = _seen(reading, attend)
        if seen:
            write_bytes(place / "gradcam.png", seen)
        page = run_page(reading, as_svg(drawn), seen, look)
    write_text(place / "report.html", page)
    return place / "report.html"


def _seen(reading: Reading, attend: Attend | None) -> bytes:
    """A sheet of what the networks look at, as PNG; nothing where nobody asks for it."""
    if attend is None or reading.predictions is None:
        return b""
    rows = worst_rows(reading.predictions, ATTENDED)
    rows += sample_rows(reading.predictions, ATTENDED) if not rows else []
    strips = attend(reading.predictions, rows)
    if not strips:
        return b""
    columns = len(strips[0]) * max(1, 9 // len(strips[0]))
    tiles = [tile for strip in strips for tile in strip]
    return style.png(grid("where the networks look", tiles, columns))


def several_figures(reading: Reading) -> dict[str, Figure]:
    """The figures that need other runs: a blend's members, rounds, submissions."""
    facts = reading.facts
    family = [f for f in all_facts(_family(facts))[0] if f.competition == facts.competition]
    found = {
        **member_figures(facts.described),
        "rounds": rounds_figure(rounds(family)),
        "leaderboard": leaderboard_figure(scored(facts.competition), facts.name),
    }
    return {name: figure for name, figure in found.items() if figure is not None}


def _family(facts: Facts) -> Sequence[Run]:
    """The run, and those that began with the same one in rounds of pseudo-labels."""
    sources = {}
    for run in every_run():
        with contextlib.suppress(FoldwiseError):  # said where all runs are listed
            sources[run.name] = run.config().pseudo.run
    first = lineage(facts.name, sources)[0]
    return [Run(name) for name in sources if lineage(name, sources)[0] == first]


def as_svg(drawn: Mapping[str, Figure]) -> dict[str, Html]:
    return {name: Html(style.svg(figure, name, SAYS[name])) for name, figure in drawn.items()}
