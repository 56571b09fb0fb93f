"""`./run.sh evaluate`: a run's score on any labelled set."""

import sys
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
import pandas as pd

from foldwise import runview
from foldwise.bar import counted
from foldwise.competition.reading.listed import Listed, labelled, place_of
from foldwise.errors import FoldwiseError, first_few
from foldwise.files import shown
from foldwise.prediction.output import table_of
from foldwise.prediction.views import canonical, file_name
from foldwise.predictor import Predictor, predictor_of
from foldwise.provenance import Provenance, label_frame
from foldwise.recipe import recipe_hash
from foldwise.report.evaluation import write_evaluation
from foldwise.report.text import number
from foldwise.runs import Run
from foldwise.verbs.predict import say_broken
from foldwise.verbs.report import look_in
from foldwise.verbs.table import own_keys
from foldwise.verbs.words import epoch_of


def run(words: list[str]) -> int:
    given = own_keys("evaluate", words, required=("run", "input"))
    truth, fold, tta = (given.get(key, "") for key in ("truth", "fold", "tta"))
    evaluate(given["run"], given["input"], truth, fold, tta, epoch_of(given))
    return 0


def evaluate(name: str, place: str, truth: str, folds: str, views: str, epoch: int) -> None:
    """Write, draw and print what the run scores on the images in ``place``.

    ``truth``: a table of ids and labels, where neither folders nor ``place`` itself say them.
    Broken images count with the class prior, as in a submission. Raises FoldwiseError, UsageError.
    """
    run, source = Run(name), place_of(place)
    table_of_truth = place_of(truth) if truth else None
    found, targets = labelled(source, table_of_truth, run.config().competition)
    _refuse_doubled(found.ids, place)
    predictor = predictor_of(name, folds, views, epoch)
    config = predictor.config
    settings = config.competition
    values, broken = _predictions(predictor, found)
    labels = pd.Series(targets.texts, dtype=object)
    told = table_of(settings, found.ids, values, {}, broken)
    parts = [told[["id"]], label_frame(settings, labels, targets.values), told.drop(columns="id")]
    table = pd.concat(parts, axis=1)
    prior = [found.ids[row] for row in broken]
    origin = Provenance(None, recipe_hash(config), "", [], prior)
    said = [source.resolve().name if source.is_dir() else source.stem]
    said += [f"fold{folds}"] if folds else []
    said += [file_name(canonical(views, config.images.size or 32))] if views else []
    said += [f"epoch{epoch:03d}"] if epoch else []
    facts: dict[str, str | int | None] = {"input": place, "truth": truth or None}
    facts |= {"fold": folds or "all", "views": views or None, "epoch": epoch or None}
    look = look_in(dict(zip(found.ids, found.files, strict=True)))
    folder, scores = write_evaluation(run, ".".join(said), table, origin, facts, look)
    say_broken({found.ids[row]: reason for row, reason in broken.items()})
    _say_seen(run, found.ids, folds)
    own = runview.scores(run).get("oof")
    print((folder / "analysis.txt").read_text(encoding="utf-8"))
    low, high = scores["interval"] or (None, None)
    line = f"{name}: {scores['metric']} {number(scores['score'])} ({number(low)} to {number(high)})"
    line += f" on {len(table):,} images of {place}; OOF {number(own)}"
    print(f"{line}; tables, text and figures in {shown(folder)}")


def _predictions(predictor: Predictor, found: Listed) -> tuple[np.ndarray, dict[int, str]]:
    values = np.empty((len(found.ids), len(predictor.config.competition.classes)), np.float32)
    broken: dict[int, str] = {}
    with counted(len(found.ids), f"images predicted by {predictor.run.name}") as advance:
        for part in predictor(found.files):
            values[part.start : part.start + len(part.values)] = part.values
            broken |= {part.start + n: reason for n, reason in part.broken.items()}
            advance(len(part.values))
    return values, broken


def _refuse_doubled(ids: Sequence[str], place: str) -> None:
    different = pd.Index(ids)
    if not different.is_unique:
        twice = different[different.duplicated()].unique()
        raise FoldwiseError(f"input={place} has images twice: {first_few(twice)}: keep one of each")


def _say_seen(run: Run, ids: Sequence[str], folds: str) -> None:
    """Training rows among the images, told by their ids: a score on them says little."""
    seen: set[str] = set()
    for fold in run.finished():
        there = run.table(fold, "oof").is_file()  # not where the weights alone were copied to
        if there and str(fold) != folds:  # its own rows are held out from one fold's network
            seen |= set(run.predictions(fold, "oof", "", ["id"])[0]["id"])
    stems = {PurePath(name).stem for name in seen}
    met = [name for name in ids if name in seen or PurePath(name).stem in stems]
    if met:
        unknown = len(run.finished()) < run.config().folds.k  # the rows of the folds to come
        print(
            f"{'at least ' if unknown else ''}{len(met):,} of these images have the ids of rows "
            f"that the run was trained on ({first_few(met)}): if they are these, the score is too "
            "good",
            file=sys.stderr,
        )
