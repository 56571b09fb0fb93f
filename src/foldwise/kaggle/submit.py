"""The verb submit: a run's submission, looked through, then sent to Kaggle or graded here."""

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.competition import layout
from foldwise.competition.folder import slug_of
from foldwise.competition.grading import grade
from foldwise.competition.layout import CompetitionData
from foldwise.competition.linting import lint
from foldwise.competition.metrics import metric_of
from foldwise.competition.scores import oof_scores
from foldwise.competition.submission import submission_text
from foldwise.config import Config
from foldwise.errors import FoldwiseError
from foldwise.files import shown, submission_file, write_text
from foldwise.kaggle import log
from foldwise.kaggle.log import Entry
from foldwise.kaggle.sending import Sending, digest, submit_file
from foldwise.provenance import prediction_columns, targets_of
from foldwise.runs import Run
from foldwise.whole import oof_table, test_table


@dataclass(frozen=True)
class Wishes:
    """The verb's keys. minutes: to wait for the score; anyway: in spite of what is wrong.

    views: other ones than the run's own, as in the tables' names. file: one to send as it is, or
    None for that of the run.
    """

    message: str = ""
    competition: str = ""
    offline: bool = False
    again: bool = False
    anyway: bool = False
    minutes: float = 60.0
    views: str = ""
    file: Path | None = None


def submit(run: Run, wishes: Wishes) -> str:
    """Send, or grade, submissions/<run>.csv, which is written where it is not there, or a file.

    Returns the line with its scores. Raises FoldwiseError, for a file with fatal faults, or one of
    the run that its tables do not give, before anything is sent, and whatever
    `sending.submit_file` does.
    """
    config = run.config()
    config.run = run.name  # the folder's, should a person have renamed it
    data = layout.load(config)
    if wishes.file:
        path = wishes.file
        check(config, data, path, wishes.anyway, "mend it, or say anyway=true")
        sending = as_it_is(run, config, path, wishes)
    else:
        path = prepared(run, config, data, wishes.views)
        check(config, data, path, wishes.anyway)
        sending = announced(run, config, path, wishes)
    if wishes.offline:
        return scored(_graded(config, data, path, sending))
    from foldwise.kaggle.client import connect

    return scored(submit_file(connect(), path, sending, wishes.again, wishes.minutes))


def prepared(run: Run, config: Config, data: CompetitionData, views: str) -> Path:
    """submissions/<run>.csv, or that of other views, as the run's tables give it now.

    Raises FoldwiseError where another file is there: the run has changed since, or the file has.
    """
    path = submission_file(run.name, views)
    text = submission_text(config, data, test_table(run, views)[0])
    if not path.is_file():
        write_text(path, text)
    elif path.read_bytes() != text.encode():
        tta = f" tta={views}" if views else ""
        raise FoldwiseError(
            f"{shown(path)} is not what {shown(run.folder)}/ says now: ./run.sh submission "
            f"run={run.name}{tta} writes it again, ./run.sh submit run={run.name} "
            f"file={shown(path)} sends it as it is"
        )
    return path


def say_unfinished(run: Run, config: Config, oof: pd.DataFrame) -> None:
    """A line where the predictions are not those of all folds."""
    folds = oof["fold"].nunique()
    if folds < config.folds.k:
        print(f"{run.name}: {folds} of {config.folds.k} folds are finished", file=sys.stderr)


def check(
    config: Config, data: CompetitionData, path: Path, anyway: bool = False, advice: str = ""
) -> None:
    """Say what the linter finds in a submission. Raises FoldwiseError where that is fatal."""
    advice = advice or f"./run.sh submission run={config.run} writes it again"
    found = lint(config.competition, data, path)
    fatal = "; ".join(finding.line for finding in found if finding.fatal)
    for finding in found:
        if not finding.fatal or anyway:
            print(f"{shown(path)}: {finding.line}", file=sys.stderr)
    if fatal and not anyway:
        raise FoldwiseError(f"{shown(path)}: {fatal}: {advice}")


def announced(run: Run, config: Config, path: Path, wishes: Wishes) -> Sending:
    """What is known of a run's submission before it is sent; a CV that is worth nothing is said."""
    settings, (oof, origin) = config.competition, oof_table(run, wishes.views)
    if wishes.views:
        name, values = f"{run.name}:{wishes.views}", oof[prediction_columns(settings)].to_numpy()
        scores = oof_scores(settings, oof["fold"].to_numpy(), targets_of(settings, oof), values)
    else:
        name, scores = run.name, run.scores()
    say_unfinished(run, config, oof)
    if line := no_better_than_constant(oof, config):
        print(f"{name}: {line}", file=sys.stderr)
    message = wishes.message or f"{name}, CV {cv(scores)}"
    slug = wishes.competition or slug_of(config.competition.slug)
    return Sending(slug, name, digest(path), origin.recipe_hash, cv(scores), message)


def as_it_is(run: Run, config: Config, path: Path, wishes: Wishes) -> Sending:
    """What is known of a file that the run's tables need not give: no CV and no recipe."""
    slug = wishes.competition or slug_of(config.competition.slug)
    message = wishes.message or f"{path.name}, as it is"
    return Sending(slug, f"{run.name}:{path.name}", digest(path), "", "", message)


def cv(scores: dict[str, Any]) -> str:
    """The score of a run that one may believe: a blend's honest one, else that of all OOF rows."""
    value = scores.get("honest", scores.get("oof"))
    return f"{value:.5f}" if isinstance(value, float | int) else ""


def scored(entry: Entry) -> str:
    private = f", private {entry['private']}" if entry["private"] else ""
    where = "" if entry["status"] == "offline" else f" (submission {entry['ref']})"
    public = entry["public"] or "-"
    return f"{entry['run']}: public {public}{private}, CV {entry['cv'] or '-'}{where}"


def no_better_than_constant(oof: pd.DataFrame, config: Config) -> str:
    """A line where the OOF score is no better than that of one answer for all, else ''."""
    settings = config.competition
    metric = metric_of(settings.metric, settings)
    targets = targets_of(settings, oof)
    if targets.ndim == 1:
        shares = np.bincount(targets, minlength=len(settings.classes)) / len(targets)
    else:
        shares = targets.mean(axis=0)
    ours = metric(targets, oof[prediction_columns(settings)].to_numpy())
    constant = metric(targets, np.tile(shares, (len(targets), 1)))
    better = ours > constant if metric.greater_is_better else ours < constant
    if better or math.isnan(ours) or math.isnan(constant):
        return ""
    return (
        f"its OOF {metric.name}, {ours:.4f}, is no better than that of one answer for all images, "
        f"{constant:.4f}"
    )


def _graded(config: Config, data: CompetitionData, path: Path, sending: Sending) -> Entry:
    """Graded on the folder's solution.csv, and written down as if it had been sent."""
    scores = grade(config.competition, data, path)
    said = {part: "" if math.isnan(s) else f"{s:.5f}" for part, s in scores.items()}
    message = " ".join(sending.message.split())
    entry = sending.entry() | said | {"status": "offline", "message": message}
    log.record(entry)
    return entry
