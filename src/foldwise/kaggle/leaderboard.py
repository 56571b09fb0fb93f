"""Our runs beside the leaderboard: CV, public and private scores, and how well they agree."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from foldwise.errors import FoldwiseError
from foldwise.kaggle import client, log
from foldwise.kaggle.client import Kaggle, Refused
from foldwise.kaggle.fetch import no_access
from foldwise.kaggle.log import Entry
from foldwise.kaggle.sending import PAGE, updated
from foldwise.runs import Run


@dataclass(frozen=True)
class Row:
    """One submission; nan where a score is not known."""

    run: str
    time: str
    cv: float
    public: float
    private: float
    status: str


def refresh(kaggle: Kaggle, slug: str) -> None:
    """Bring the log's rows up to what Kaggle knows by now: late scores, private ones."""
    rows = [row for row in log.entries(slug) if row["status"] != "offline"]
    if not rows:
        return
    try:
        sent = kaggle.ask(
            f"the submissions to {slug}", kaggle.api.competition_submissions, slug, page_size=PAGE
        )
    except Refused as error:
        raise no_access(slug, error) from error
    for row in rows:
        mark = row["message"].rpartition("[")[2]
        found = next((s for s in sent or [] if s and mark in (s.description or "")), None)
        if updated(row, found) != row:
            log.record(updated(row, found))


def table(slug: str) -> str:
    """The submissions to a competition, the best public score first, and what they tell.

    Raises FoldwiseError where there are none.
    """
    rows = [_row(entry) for entry in log.entries(slug)]
    if not rows:
        raise FoldwiseError(
            f"nothing was submitted to {slug} from here: ./run.sh submit run=… (offline=true "
            "grades on the folder's solution.csv)"
        )
    greater = _greater(rows)
    rows.sort(key=lambda row: (np.isnan(row.public), -row.public if greater else row.public))
    width = max(3, *(len(row.run) for row in rows))
    lines = [f"{'run':<{width}} {'CV':>8} {'public':>8} {'private':>8}  {'sent':<16} status"]
    for row in rows:
        scores = " ".join(f"{_shown(s):>8}" for s in (row.cv, row.public, row.private))
        sent = row.time[:16].replace("T", " ")
        lines.append(f"{row.run:<{width}} {scores}  {sent:<16} {row.status}")
    return "\n".join([*lines, "", *_agreement(rows)])


def standing(kaggle: Kaggle, slug: str) -> str:
    """Our place on the leaderboard, and its best score."""
    try:
        listed = kaggle.ask(slug, kaggle.api.competitions_list, search=slug).competitions or []
        top = kaggle.ask(slug, kaggle.api.competition_leaderboard_view, slug, 1)
    except Refused as error:
        raise no_access(slug, error) from error
    best = f"; the best score is {top[0].score} ({top[0].team_name})" if top else ""
    ours = next((c for c in listed if c.ref.rstrip("/").rpartition("/")[2] == slug), None)
    if ours is None or not ours.user_rank:
        return f"{slug}: we have no place yet{best}"
    share = 100 * ours.user_rank / max(1, ours.team_count)
    return f"{slug}: place {ours.user_rank:,} of {ours.team_count:,} (top {share:.0f} %){best}"


def place_of(slug: str) -> str:
    """`standing`, or where there are no credentials a line that says so."""
    if not client.credentials():
        return f"our place in {slug} is known with Kaggle credentials only"
    kaggle = client.connect()
    refresh(kaggle, slug)
    return standing(kaggle, slug)


def _agreement(rows: list[Row]) -> list[str]:
    """How CV and public score go together over runs (the newest submission of each)."""
    newest = {row.run: row for row in sorted(rows, key=lambda row: row.time)}
    pairs = np.array([(r.cv, r.public) for r in newest.values() if r.cv == r.cv])
    pairs = pairs[~np.isnan(pairs).any(axis=1)] if len(pairs) else pairs
    if len(pairs) < 3:
        return ["CV against public: three runs with both scores are needed to say how they agree"]
    gaps = pairs[:, 1] - pairs[:, 0]
    lines = [
        f"public - CV over {len(pairs)} runs: {gaps.mean():+.4f}, with a noise of "
        f"{gaps.std(ddof=1):.4f} (standard deviation)"
    ]
    if (pairs.std(axis=0) > 0).all():
        ranks = rankdata(pairs, axis=0)
        lines.append(
            f"correlation of CV and public: {np.corrcoef(pairs.T)[0, 1]:.2f}, of their ranks "
            f"{np.corrcoef(ranks.T)[0, 1]:.2f}"
        )
    spread = pairs[:, 0].max() - pairs[:, 0].min()
    if spread < 2 * gaps.std(ddof=1):
        lines.append("the runs' CVs differ by less than twice that noise: take the better CV")
    return lines


def _row(entry: Entry) -> Row:
    cv, public, private = (_number(entry[name]) for name in ("cv", "public", "private"))
    return Row(entry["run"], entry["time"], cv, public, private, entry["status"])


def _greater(rows: list[Row]) -> bool:
    """Whether more is better: as the first run that is still here says."""
    for row in rows:
        try:
            return bool(Run(row.run.partition(":")[0]).scores()["greater_is_better"])
        except (FoldwiseError, KeyError, TypeError):
            continue
    return True


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _shown(score: float) -> str:
    return "-" if np.isnan(score) else f"{score:.4f}"
