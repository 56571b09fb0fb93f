"""What a run has to show once its folds are trained: scores, the submission, a short table."""

from typing import Any

import numpy as np
import pandas as pd

from foldwise.competition.folds import FrozenFolds
from foldwise.competition.layout import CompetitionData
from foldwise.competition.scores import oof_scores
from foldwise.competition.submission import write_submission
from foldwise.config import Config
from foldwise.errors import first_few
from foldwise.files import shown
from foldwise.provenance import prediction_columns, read_table, targets_of
from foldwise.runs import Run
from foldwise.training import watch
from foldwise.whole import combine


def finish(run: Run, config: Config, data: CompetitionData, split: FrozenFolds) -> None:
    """Write the run's oof.parquet, test.parquet and scores.json, and print the table.

    With all folds there, also submissions/<run>.csv.
    """
    places = [f"tables and scores in {shown(run.folder)}"]
    with run.locked():
        folds, oof, test = combine(run, data.train["id"].tolist())
        scores = fold_scores(oof, config)
        if config.distill.run:
            scores["teacher"] = _teacher_scores(config, folds)
        seen = [k for k in folds if k not in run.provenance(k).held_out]
        if seen:
            scores["seen"] = seen
        run.write_scores(scores)
        print(_table(run, scores))
        if test is not None and len(folds) == split.k:
            places.append(f"submission in {shown(write_submission(config, data, test))}")
    kinds = {"training": "oof", "test": "test"} if test is not None else {"training": "oof"}
    priors = {what: run.header(None, kind)[1].prior for what, kind in kinds.items()}
    if any(priors.values()) and config.debug:
        print("debug: two batches were predicted, all other rows have the class prior")
    else:
        for what, prior in priors.items():
            if prior:
                print(f"{len(prior)} {what} rows got the class prior: {first_few(prior)}")
    print("; ".join(places))


def fold_scores(oof: pd.DataFrame, config: Config) -> dict[str, object]:
    """scores.json but for the teacher's."""
    settings = config.competition
    predictions = oof[prediction_columns(settings)].to_numpy()
    parts = (oof["fold"].to_numpy(), targets_of(settings, oof), predictions)
    how = {"selection": _selection(config), "optimistic": watch.optimistic(config)}
    return oof_scores(settings, *parts) | how


def _selection(config: Config) -> str:
    """Which weights predict."""
    weights = "ema" if config.train.ema else "last"
    if config.train.keep == "best":
        weights = f"{weights} of the best epoch by train.watch={config.train.watch}"
    return weights


def _teacher_scores(config: Config, folds: list[int]) -> dict[str, object]:
    """The scores of distill.run on the student's ``folds``, as far as it still has them."""
    run = Run(config.distill.run)
    folds = [k for k in folds if k in run.finished()]
    tables = [read_table(run.fold_folder(k) / "oof.parquet")[0] for k in folds]
    scores = fold_scores(pd.concat(tables), config)
    return {"recipe": config.distill.recipe, **{k: scores[k] for k in ("folds", "mean", "oof")}}


def _table(run: Run, scores: dict[str, object]) -> str:
    name = str(scores["metric"])
    width = max(10, len(name))
    teacher: Any = scores.get("teacher")
    column = f" {'teacher':>{width}}" if teacher else ""
    lines = [f"{'fold':>6} {name:>{width}}{column} {'epochs':>7} {'images/s':>9} {'time':>8}"]
    folds, others = scores["folds"], scores["watched"]
    assert isinstance(folds, dict) and isinstance(others, dict)
    for fold, value in folds.items():
        metrics = run.metrics(int(fold))
        line = f"{fold:>6} {_shown(value):>{width}}"
        if teacher:
            line += f" {_shown(teacher['folds'].get(fold)):>{width}}"
        if metrics is not None:
            speed, seconds = metrics["images_per_second"].median(), metrics["seconds"].sum()
            line += f" {len(metrics):>7} {speed:>9,.0f} {_time(seconds):>8}"
        lines.append(line)
    spread = f"mean {_shown(scores['mean'])} ± {_shown(scores['std'])}"
    lines.append(f"{'OOF':>6} {_shown(scores['oof']):>{width}}  {spread}")
    lines += [f"{'OOF':>6} {_shown(value):>{width}}  {other}" for other, value in others.items()]
    if scores["optimistic"]:
        lines.append("optimistic: with train.watch=fold the scored rows chose when to stop")
    if "seen" in scores:
        seen = first_few(scores["seen"])  # type: ignore[arg-type]
        lines.append(
            f"not honest: with checks=false the networks of the folds {seen} learned from what had "
            "seen their labels"
        )
    if teacher:
        lines.append(_comparison(folds, teacher["folds"]))
    return "\n".join(lines)


def _comparison(student: dict[str, Any], teacher: dict[str, Any]) -> str:
    """How the two compare, over the folds in which both have a score."""
    both = [k for k in student if None not in (student[k], teacher.get(k))]
    if not both:
        return "teacher: no score to compare with"
    means = [float(np.mean([scores[k] for k in both])) for scores in (student, teacher)]
    line = f"mean {means[0]:.4f}, teacher {means[1]:.4f}: student {means[0] - means[1]:+.4f}"
    return f"{line} (folds {first_few(both)})"


def _shown(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "-"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
