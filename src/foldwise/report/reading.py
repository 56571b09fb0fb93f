"""A run as the report sees it, read once."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from foldwise import runview
from foldwise.errors import FoldwiseError
from foldwise.report.analysis import analyse
from foldwise.report.facts import Facts, facts_of
from foldwise.report.predictions import Predictions, predictions_of
from foldwise.runs import Run


@dataclass(frozen=True)
class Reading:
    """facts: of the tables; predictions: None while no fold is finished, ``waiting`` says why.

    fold: whose rows alone these are, and whose facts; None for all.

    prior: OOF rows that have the class prior for want of a usable image (or of time, in debug
    runs). others: the train table's other columns by id.
    """

    facts: Facts
    predictions: Predictions | None
    waiting: str
    prior: int
    folds_hash: str
    others: pd.DataFrame | None
    fold: int | None = None

    @property
    def title(self) -> str:
        return self.run.name if self.fold is None else f"{self.run.name}, fold {self.fold}"

    @property
    def run(self) -> Run:
        return self.facts.run

    @cached_property
    def analysis(self) -> dict[str, Any]:
        """What analysis.json holds; only where there are predictions."""
        assert self.predictions is not None
        others = self.others
        if others is not None:
            others = others.reindex(self.predictions.ids).fillna("").reset_index(drop=True)
        return analyse(self.predictions, others)

    @cached_property
    def histories(self) -> dict[int, pd.DataFrame]:
        """metrics.csv of each fold that has one; of a fold in training what its log says."""
        folds = self.run.fold_folders() if self.fold is None else [self.fold]
        found = {k: runview.epochs(self.run, k) for k in folds}
        return {k: history for k, history in found.items() if history is not None}


def reading_of(run: Run, others: pd.DataFrame | None = None, fold: int | None = None) -> Reading:
    """All of a run, or one fold of it.

    Raises FoldwiseError where there is no such run or fold, or where its files contradict each
    other.
    """
    facts = facts_of(run)
    try:
        oof, provenance = run.oof_table()
    except FoldwiseError as error:
        if (run.folder / "oof.parquet").is_file() or facts.finished or fold is not None:
            raise
        return Reading(facts, None, str(error), 0, "", others)
    if fold is not None:
        oof, facts = oof[oof["fold"] == fold], _of_fold(facts, fold)
        if oof.empty:
            raise FoldwiseError(f"fold {fold} of {run.name} is not finished: name one that is")
    predictions = predictions_of(facts.config.competition, oof)
    prior, split = int(oof["id"].isin(provenance.prior).sum()), provenance.folds_hash
    return Reading(facts, predictions, "", prior, split, others, fold)


def _of_fold(facts: Facts, fold: int) -> Facts:
    """Without what only holds of all folds together."""
    kept = ("metric", "greater_is_better", "optimistic", "seen")
    scores = {key: value for key, value in facts.scores.items() if key in kept}
    return replace(facts, scores=scores, finished=[fold], training=[], seconds=None)
