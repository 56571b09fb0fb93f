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
from foldwise.competition.submission import write_submission
from foldwise.config import Config
from foldwise.errors import FoldwiseError
from foldwise.files import shown, submission_file
from foldwise.kaggle import log
from foldwise.kaggle.log import Entry
from foldwise.kaggle.sending import Sending, digest, submit_file
from foldwise.provenance import prediction_columns, targets_of
from foldwise.runs import Run
from foldwise.whole import oof_table, test_table


@dataclass(frozen=True)
class Wishes:
    """The verb's keys. minutes: to wait for the score; anyway: in spite of what is wrong.

    views: other ones than the run's own, as in the tables' names.
    """

    message: str = ""
    competition: str = ""
    offline: bool = False
    again: bool = False
    anyway: bool = False
    minutes: float = 60.0
    views: str = ""


def submit(run: Run, wishes: Wishes) -> str:
    """Send, or grade, submissions/<run>.csv, which is written where it is not there.

    That of other views is written each time, since no later training of a fold writes it anew.
    Returns the line with its scores. Raises FoldwiseError, for a file with fatal faults before
    anything is sent, and whatever `sending.submit_file` does.
    """
    config = run.config()
    config.run = run.name  # the folder's, should a person have renamed it
    data = layout.load(config)
    path = submission_file(run.name, wishes.views)
    if wishes.views or not path.is_file():
        write_submission(config, data, test_table(run, wishes.views)[0], wishes.views)
    check(config, data, path, wishes.anyway)
    sending = announced(run, config, path, wishes)
    if wishes.offline:
        return scored(_graded(config, data, path, sending))
    from foldwise.kaggle.client import connect

    return scored(submit_file(connect(), path, sending, wishes.again, wishes.minutes))


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
    if line := no_better_than_constant(oof, config):
        print(f"{name}: {line}", file=sys.stderr)
    slug = wishes.competition or slug_of(config.competition.slug)
    message = wishes.message or f"{name}, CV {cv(scores)}"
    return Sending(slug, name, digest(path), origin.recipe_hash, cv(scores), message)


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
