"""A run as the report sees it, read once."""

from dataclasses import dataclass
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

    prior: OOF rows that have the class prior for want of a usable image (or of time, in debug
    runs). others: the train table's other columns by id.
    """

    facts: Facts
    predictions: Predictions | None
    waiting: str
    prior: int
    folds_hash: str
    others: pd.DataFrame | None

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
        found = {k: runview.epochs(self.run, k) for k in self.run.fold_folders()}
        return {k: history for k, history in found.items() if history is not None}


def reading_of(run: Run, others: pd.DataFrame | None = None) -> Reading:
    """Raises FoldwiseError where there is no such run, or where its files contradict each other."""
    facts = facts_of(run)
    try:
        oof, provenance = run.oof_table()
    except FoldwiseError as error:
        if (run.folder / "oof.parquet").is_file() or facts.finished:
            raise
        return Reading(facts, None, str(error), 0, "", others)
    predictions = predictions_of(facts.config.competition, oof)
    prior, split = len(provenance.prior), provenance.folds_hash
    return Reading(facts, predictions, "", prior, split, others)
