"""Any two runs on the rows that both predicted: which of them is really better."""

from dataclasses import dataclass

from foldwise.competition.bootstrap import interval, probability_better, resampled
from foldwise.competition.metrics import metric_of
from foldwise.competition.scores import known, score
from foldwise.ensemble.checks import Member, same_settings
from foldwise.errors import FoldwiseError, first_few
from foldwise.provenance import prediction_columns, targets_of
from foldwise.runs import Run


@dataclass(frozen=True)
class Pair:
    """scores: of both. gain: how much better the first is, with its 95 % interval.

    better: the probability that the first is really better, by a paired bootstrap of the rows.
    apart: whether they were trained on different splits.
    """

    metric: str
    rows: int
    scores: tuple[float | None, float | None]
    gain: float
    interval: tuple[float, float] | None
    better: float
    apart: bool


def compared_pair(one: Run, other: Run) -> Pair:
    """Both by the metric of ``one``, on its labels.

    Raises FoldwiseError for runs that share no rows or have other labels for them, for other
    competitions or classes, and for predictions of a fold whose labels they have seen.
    """
    members = [Member(run, "", run.config()) for run in (one, other)]
    settings = same_settings(members, members[0].config.competition.metric)
    settings.metric = members[0].config.competition.metric
    for run in (one, other):
        seen = [k for k in run.finished() if k not in run.header(k, "oof")[1].held_out]
        if seen:
            raise FoldwiseError(
                f"{run.name} has seen the labels of fold {first_few(seen)} that it predicts: its "
                "score there says nothing"
            )
    tables = [run.oof_table()[0].set_index("id") for run in (one, other)]
    ids = tables[0].index.intersection(tables[1].index)
    if not len(ids):
        raise FoldwiseError(f"{one.name} and {other.name} have predicted no row in common")
    tables = [table.loc[ids] for table in tables]
    targets, others = (targets_of(settings, table) for table in tables)
    different = (targets != others).reshape(len(ids), -1).any(axis=1)
    if different.any():
        raise FoldwiseError(
            f"{one.name} and {other.name} were scored on other labels (ids "
            f"{first_few(ids[different].tolist())}): train one of them again"
        )
    columns, metric = prediction_columns(settings), metric_of(settings.metric, settings)
    predictions = [table[columns].to_numpy() for table in tables]
    samples = resampled(metric, settings, targets, predictions)
    sign = 1 if metric.greater_is_better else -1
    scores = [score(metric, settings, targets, p) for p in predictions]
    return Pair(
        metric.name, len(ids), (known(scores[0]), known(scores[1])),
        float(sign * (scores[0] - scores[1])), interval(sign * (samples[0] - samples[1])),
        probability_better(samples[0], samples[1], metric.greater_is_better),
        one.header(None, "oof")[1].folds_hash != other.header(None, "oof")[1].folds_hash,
    )  # fmt: skip
