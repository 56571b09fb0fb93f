"""What rounds of pseudo-labels are worth, each beside the one before."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from foldwise.competition.bootstrap import interval, probability_better, resampled
from foldwise.competition.metrics import metric_of
from foldwise.competition.scores import known, score
from foldwise.config import Competition
from foldwise.ensemble.pseudo import balance_of
from foldwise.provenance import prediction_columns, targets_of
from foldwise.runs import Run

Array = np.ndarray


def described(run: Run) -> dict[str, Any]:
    """pseudo.json of a round: what it has learned, and what that has gained.

    source: what it learned from, and its recipe. folds: of each, the images taken and their
    classes. agreement: the share of the test images (in multilabel of their flags) that each
    fold's model and its source's say the same of, None where there are none. score, gain over the
    source on the rows that both have predicted, each with a 95 % interval; error: the standard
    error of the gain; better: the probability that it is one.
    """
    config = run.config()
    settings, source = config.competition, Run(config.pseudo.run)
    folds = {str(k): _taken(run, k, settings) for k in run.finished()}
    facts: dict[str, Any] = {
        "source": source.name, "recipe": config.pseudo.recipe, "folds": folds,
        "taken": float(np.mean([one["taken"] for one in folds.values()])),
    }  # fmt: skip
    oof = run.oof_table()[0]
    if settings.task in ("multiclass", "ordinal"):
        labelled = np.bincount(targets_of(settings, oof), minlength=len(settings.classes))
        classes = {
            name: sum(one["classes"].get(name, 0) for one in folds.values())
            for name in settings.classes
        }
        facts["balance"] = balance_of(classes, labelled)
    return facts | {"agreement": agreement(run, source), **gained(run, source)}


def _taken(run: Run, fold: int, settings: Competition) -> dict[str, Any]:
    if not run.table(fold, "pseudo").is_file():
        return {"taken": 0, "classes": {}}
    table, _ = run.predictions(fold, "pseudo")
    if "label" in table:
        counts = table["label"].value_counts()
        return {
            "taken": len(table),
            "classes": {c: int(counts.get(c, 0)) for c in settings.classes},
        }
    p = table[prediction_columns(settings)].to_numpy()
    if settings.task == "regression":
        return {"taken": len(table), "classes": {}}
    flags = p >= 0.5 if settings.task == "multilabel" else np.eye(p.shape[1])[p.argmax(axis=1)]
    counted = np.asarray(flags).sum(axis=0).astype(int).tolist()
    return {"taken": len(table), "classes": dict(zip(settings.classes, counted, strict=True))}


def agreement(run: Run, source: Run) -> float | None:
    settings, found = run.config().competition, []
    if settings.task == "regression":
        return None
    for fold in run.finished():
        if not all(one.table(fold, "test").is_file() for one in (run, source)):
            return None
        ours, theirs = (one.predictions(fold, "test")[0].set_index("id") for one in (run, source))
        columns = prediction_columns(settings)
        p, q = ours[columns].to_numpy(), theirs[columns].reindex(ours.index).to_numpy()
        if settings.task == "multilabel":
            found.append(float(((p >= 0.5) == (q >= 0.5)).mean()))
        else:
            found.append(float((p.argmax(axis=1) == q.argmax(axis=1)).mean()))
    return float(np.mean(found))


def gained(run: Run, source: Run) -> dict[str, Any]:
    """score, interval, before, gain, gain_interval, error, better: see `described`."""
    settings = run.config().competition
    metric = metric_of(settings.metric, settings)
    columns = prediction_columns(settings)
    ours, theirs = (one.oof_table()[0].set_index("id") for one in (run, source))
    ids = ours.index.intersection(theirs.index)
    targets = targets_of(settings, ours.loc[ids])
    tables = [one.loc[ids, columns].to_numpy() for one in (ours, theirs)]
    samples = resampled(metric, settings, targets, iter(tables))
    scores = [score(metric, settings, targets, table) for table in tables]
    sign = 1 if metric.greater_is_better else -1
    gains = sign * (samples[0] - samples[1])
    return {
        "metric": metric.name, "greater_is_better": metric.greater_is_better,
        "score": known(scores[0]), "interval": interval(samples[0]), "before": known(scores[1]),
        "gain": known(sign * (scores[0] - scores[1])), "gain_interval": interval(gains),
        "error": known(float(np.nanstd(gains))),
        "better": probability_better(samples[0], samples[1], metric.greater_is_better),
    }  # fmt: skip


def within_noise(facts: dict[str, Any]) -> bool:
    """Whether a round has gained no more than a standard error of its gain."""
    return facts["gain"] is None or facts["gain"] <= (facts["error"] or 0)


def said(names: Sequence[str], rounds: Sequence[dict[str, Any]]) -> str:
    """The table of the rounds; ``names``: of the run that they began with, and theirs."""
    metric = rounds[0]["metric"]
    head = ["", metric, "95 %", "gain", "better", "taken", "balance", "agreement"]
    rows = [[names[0], _number(rounds[0]["before"]), *[""] * 6]]
    for name, one in zip(names[1:], rounds, strict=True):
        low, high = one["interval"] or (None, None)
        balance = one.get("balance") or {}
        spread = [f"{balance[key]['times']:.2f}" for key in ("least", "most") if balance]
        rows.append([
            name, _number(one["score"]), f"{_number(low)} to {_number(high)}",
            f"{_signed(one['gain'])} ± {_number(one['error'])}", f"{one['better']:.1%}",
            f"{one['taken']:,.0f}", " to ".join(spread) or "-",
            "-" if one["agreement"] is None else f"{one['agreement']:.1%}",
        ])  # fmt: skip
    frame = pd.DataFrame([head, *rows])
    widths = [frame[c].str.len().max() for c in frame]
    lines = [
        "  ".join(
            f"{cell:<{w}}" if n == 0 else f"{cell:>{w}}"
            for n, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in [head, *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"
