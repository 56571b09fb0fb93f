"""`report`: what joins it with the images of a competition, and with the networks."""

import sys
from collections.abc import Sequence
from functools import lru_cache, partial

import numpy as np
import pandas as pd

from foldwise import runview
from foldwise.compose import parse_folds
from foldwise.config import Config
from foldwise.errors import FoldwiseError, UsageError
from foldwise.files import shown
from foldwise.report.analysis import row_facts
from foldwise.report.facts import all_facts, of_competition
from foldwise.report.overview import report_competition
from foldwise.report.predictions import Predictions
from foldwise.report.report import report_run
from foldwise.report.sheets import Look, Tile, caption, rival_classes
from foldwise.report.style import INK, clipped
from foldwise.runs import Run, every_run
from foldwise.tidy import named, several
from foldwise.verbs.table import own_keys
from foldwise.verbs.words import flag

SIDE = 224  # pixels of the longer side of an image on a sheet


def run(words: list[str]) -> int:
    given = own_keys("report", words)
    gradcam = flag(given, "gradcam")
    for key in ("gradcam", "fold"):
        if given.get(key, "false") != "false" and not given.get("run"):
            raise UsageError(f"{key}={given[key]} wants a run: say run=NAME too")
    if given.get("run") and given.get("runs"):
        raise UsageError("runs= is for the page of all runs: leave it out beside run=")
    run, runs, competition = (given.get(key, "") for key in ("run", "runs", "competition"))
    report(run, runs, competition, gradcam, given.get("fold", ""))
    return 0


def report(run: str, runs: str, competition: str, gradcam: bool = False, folds: str = "") -> None:
    """The page of a run (or of each that a pattern names), or one page a competition."""
    if run:
        _pages(named(run, competition), gradcam, folds)
        return
    found, unreadable = all_facts(named(runs) if runs else every_run())
    chosen = of_competition(found, competition)
    for name in dict.fromkeys(facts.competition for facts in chosen):
        listed = [facts for facts in chosen if facts.competition == name]
        files, _ = files_of(listed[0].config)
        path = report_competition(name, listed, unreadable, look_in(files))
        print(f"{shown(path)}: {several(len(listed), 'run')}; open it in a browser")


def _pages(runs: Sequence[Run], gradcam: bool, folds: str) -> None:
    """A page a run, or one of each of its ``folds``.

    Raises UsageError, before there is any, where a blend is to have a Grad-CAM.
    """
    blends = [one.name for one in runs if gradcam and runview.blend(one)]
    if blends:
        raise UsageError(
            f"{blends[0]} is a blend, which has no network of its own: leave gradcam=true out, or "
            "name one of its members"
        )
    for one in runs:
        config = one.config()
        wanted = one.finished() if folds == "all" else [None]
        wanted = parse_folds(folds, config.folds.k) if folds not in ("", "all") else wanted
        files, others = files_of(config)
        look, attend = look_in(files), partial(attended, one, files) if gradcam else None
        for fold in wanted:
            path = report_run(one, look, others, attend, fold)
            print(f"{shown(path)}: open it in a browser")


def files_of(config: Config) -> tuple[dict[str, str], pd.DataFrame | None]:
    """The image file of each train id, and the train table's other columns by id.

    Where the competition is not there, or no longer fits, a line says so and there are none.
    """
    from foldwise.competition import layout

    config.images.missing = "drop"
    try:
        data = layout.load(config)
    except FoldwiseError as error:
        print(f"no images and no slices: {error}", file=sys.stderr)
        return {}, None
    files = dict(zip(data.train["id"], data.train["file"], strict=True))
    return files, None if data.others is None else data.others.set_index(data.train["id"])


def look_in(files: dict[str, str]) -> Look:
    """What gives the image of an id; None where there is none, or it does not decode."""
    from foldwise.images.thumbs import thumb

    @lru_cache(maxsize=512)
    def look(name: str) -> np.ndarray | None:
        return thumb(files[name], SIDE) if files.get(name) else None

    return look


def attended(
    run: Run, files: dict[str, str], predictions: Predictions, rows: Sequence[int]
) -> list[list[Tile]]:
    """Each row's image, and the same lit by what speaks for the classes that matter there."""
    from foldwise.prediction.attention import attention

    images = {row: look_in(files)(predictions.ids[row]) for row in rows}
    there = [row for row in rows if images[row] is not None]
    asked = [
        (files[predictions.ids[row]], int(predictions.fold[row]), place)
        for row in there
        for place in rival_classes(predictions, row)
    ]
    lit = iter(attention(run, asked, SIDE))
    strips = []
    for row in there:
        words, colour = caption(row_facts(predictions, row))
        strip: list[Tile] = [(images[row], words, colour)]
        for place in rival_classes(predictions, row):
            strip.append((next(lit), f"for {clipped(predictions.classes[place])}", INK))
        strips.append(strip)
    return strips
