"""A run's OOF rows as arrays: what is true, what was said, how sure, and whether it is right."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from foldwise.competition.metrics import decide_labels
from foldwise.config import Competition
from foldwise.errors import FoldwiseError
from foldwise.provenance import prediction_columns, targets_of


@dataclass(frozen=True)
class Predictions:
    """The rows of an OOF table whose predictions are finite.

    targets, values: as `competition.metrics` has them; decided: what a submission of labels would
    say, in the shape of the targets (in a regression the values). confidence: float64 (n,), the
    probability of what was decided (multilabel: the least probability, over the classes, of what
    was decided of it; a regression has none: nan). truth: the probability of what is true, likewise
    (a regression: nan). good: float64 (n,), 1 where all is right and 0 elsewhere; a regression's
    is minus the absolute error, in standard deviations of the truth, averaged over its numbers.
    lost: rows that were left out because a prediction is not finite.
    """

    settings: Competition
    ids: np.ndarray
    fold: np.ndarray
    targets: np.ndarray
    values: np.ndarray
    decided: np.ndarray
    confidence: np.ndarray
    truth: np.ndarray
    good: np.ndarray
    lost: int = 0

    def decisions(self) -> "Predictions":
        """The same without the probabilities, which are most of its memory."""
        if self.task == "regression":
            return self
        return replace(self, values=np.empty((len(self.ids), 0)))

    @property
    def task(self) -> str:
        return self.settings.task

    @property
    def classes(self) -> list[str]:
        return self.settings.classes

    def true_text(self, row: int) -> str:
        return self._text(self.targets[row])

    def said_text(self, row: int) -> str:
        return self._text(self.decided[row])

    def _text(self, value: np.ndarray) -> str:
        if self.task == "multilabel":
            return " | ".join(self.classes[i] for i in np.flatnonzero(value)) or "(none)"
        if self.task == "regression":
            return ", ".join(f"{number:.4g}" for number in value)
        return self.classes[int(value)]


def predictions_of(settings: Competition, oof: pd.DataFrame) -> Predictions:
    """Reads an OOF table; ``settings`` are its run's, resolved.

    Raises FoldwiseError where the table has other columns than the settings' classes.
    """
    columns = prediction_columns(settings)
    labels = ["label"] if "label" in oof else [f"label_{name}" for name in settings.classes]
    absent = [name for name in ("id", "fold", *labels, *columns) if name not in oof]
    if absent:
        raise FoldwiseError(
            f"oof.parquet has no column '{absent[0]}', and config.yaml says there is one: "
            "restore the two files of one run, or train it again with overwrite=true"
        )
    values = oof[columns].to_numpy(np.float64)
    targets = targets_of(settings, oof)
    strange = np.isnan(targets.astype(np.float64)).reshape(len(oof), -1).any(axis=1)
    if strange.any():
        row = int(np.flatnonzero(strange)[0])
        raise FoldwiseError(
            f"oof.parquet: the label of id '{oof['id'].iat[row]}' is none of config.yaml's "
            "classes: restore the two files of one run, or train it again with overwrite=true"
        )
    kept = np.isfinite(values).all(axis=1)
    if not kept.all():
        values, targets = values[kept], targets[kept]
    if settings.task != "regression":
        targets = targets.astype(np.int64)
    decided, confidence, truth = _decided(settings, targets, values)
    return Predictions(
        settings, oof["id"].to_numpy(object)[kept], oof["fold"].to_numpy(np.int64)[kept], targets,
        values, decided, confidence, truth, _good(settings, targets, decided), int((~kept).sum()),
    )  # fmt: skip


def _decided(
    settings: Competition, targets: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if settings.task == "regression":
        nothing = np.full(len(values), np.nan)
        return values, nothing, nothing
    decided = decide_labels(values, settings)
    if settings.task == "multilabel":
        confidence = np.where(decided == 1, values, 1 - values).min(axis=1)
        return decided, confidence, np.where(targets == 1, values, 1 - values).min(axis=1)
    rows = np.arange(len(values))
    return decided, values[rows, decided], values[rows, targets]


def _good(settings: Competition, targets: np.ndarray, decided: np.ndarray) -> np.ndarray:
    if settings.task != "regression":
        right = decided == targets
        return (right.all(axis=1) if right.ndim == 2 else right).astype(np.float64)
    spread = targets.std(axis=0)
    errors = np.abs(decided - targets) / np.where(spread > 0, spread, 1.0)
    return -errors.mean(axis=1)
