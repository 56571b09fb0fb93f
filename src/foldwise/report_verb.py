"""`report` and `runs`: what joins the report with the images of a competition."""

import sys
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import numpy as np
import pandas as pd

from foldwise import runview
from foldwise.config import Config
from foldwise.errors import FoldwiseError, UsageError, nearest
from foldwise.files import shown
from foldwise.report.analysis import row_facts
from foldwise.report.facts import Facts, all_facts, table
from foldwise.report.predictions import Predictions
from foldwise.report.sheets import Tile, caption, rival_classes
from foldwise.report.style import INK, clipped
from foldwise.runs import Run, every_run
from foldwise.tidy import (
    agreed,
    delete,
    leftovers,
    megabytes,
    named,
    refuse_training,
    rename,
    table_of,
)

SIDE = 224  # pixels of the longer side of an image on a sheet
Look = Callable[[str], np.ndarray | None]


def report(run: str, runs: str, competition: str, gradcam: bool = False) -> None:
    """The page of one run, or one page a competition with all its runs."""
    if run:
        from foldwise.report.report import report_run

        one = Run(run)
        files, others = files_of(one.config())
        attend = partial(attended, one, files) if gradcam else None
        print(f"{shown(report_run(one, look_in(files), others, attend))}: open it in a browser")
        return
    from foldwise.report.overview import report_competition

    found, unreadable = all_facts(named(runs) if runs else every_run())
    chosen = of_competition(found, competition)
    for name in dict.fromkeys(facts.competition for facts in chosen):
        listed = [facts for facts in chosen if facts.competition == name]
        files, _ = files_of(listed[0].config)
        path = report_competition(name, listed, unreadable, look_in(files))
        print(f"{shown(path)}: {len(listed)} runs; open it in a browser")


def of_competition(found: list[Facts], competition: str) -> list[Facts]:
    """Those of a competition, or all. Raises FoldwiseError where there are none."""
    chosen = [facts for facts in found if competition in ("", facts.competition)]
    if not chosen:
        known = sorted({facts.competition for facts in found})
        what = f" of {competition}" if competition else ""
        raise FoldwiseError(
            f"oof/ has no run{what} yet{nearest(competition, known)}: "
            "./run.sh trains one on the embedded competition"
        )
    return chosen


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
    from foldwise.images.thumbs import thumb
    from foldwise.prediction.attention import attention

    there = [row for row in rows if files.get(predictions.ids[row])]
    asked = [
        (files[predictions.ids[row]], int(predictions.fold[row]), place)
        for row in there
        for place in rival_classes(predictions, row)
    ]
    lit = iter(attention(run, asked, SIDE))
    strips = []
    for row in there:
        words, colour = caption(row_facts(predictions, row))
        strip: list[Tile] = [(thumb(files[predictions.ids[row]], SIDE), words, colour)]
        for place in rival_classes(predictions, row):
            strip.append((next(lit), f"for {clipped(predictions.classes[place])}", INK))
        strips.append(strip)
    return strips


def list_runs(competition: str) -> None:
    """The table of runs in the terminal."""
    found, unreadable = all_facts(every_run())
    chosen = of_competition(found, competition)
    print("\n".join([*table(chosen), *unreadable]))
    print(f"\n{len(chosen)} runs, {megabytes(sum(facts.size for facts in chosen))} in oof/")


def rename_run(run: str, to: str) -> None:
    print("\n".join(rename(Run(run), to)))


def remove_runs(names: str, yes: bool) -> None:
    """Delete runs, after asking. Submissions stay."""
    runs = named(names)
    for run in runs:
        refuse_training(run)
    size = sum(runview.size(run) for run in runs)
    for run in runs:
        print(
            f"{megabytes(runview.size(run))}  {shown(run.folder)}: folds {run.finished() or 'none'}"
        )
    if agreed(f"delete {len(runs)} runs, {megabytes(size)}?", yes):
        for run in runs:
            delete(run.folder)
        print(f"{len(runs)} runs deleted, {megabytes(size)} freed")
    else:
        print("nothing is deleted")


def clean_runs(days: str, yes: bool) -> None:
    """Delete what nobody needs any more, after asking."""
    try:
        found = leftovers(float(days or 7))
    except ValueError as error:
        raise UsageError(f"days={days} is no number: say how old, as in days=7") from error
    if not found:
        print("nothing to clean")
        return
    print("\n".join(table_of(found)))
    size = sum(one.size for one in found)
    if agreed(f"delete these {len(found)}, {megabytes(size)}?", yes):
        for one in found:
            delete(one.path)
        print(f"{megabytes(size)} freed")
    else:
        print("nothing is deleted")
