"""pseudo.run=NAME: images that another run has labelled train beside a fold's own rows.

Who labels them, and which are taken, is decided elsewhere (`foldwise.labelling`); here they
become rows of a fold: numbered after the train rows, in the order of their ids.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from foldwise.config import Config
from foldwise.provenance import Provenance, prediction_columns
from foldwise.runs import Run


@dataclass(frozen=True)
class FoldLabels:
    """What a fold learns of the pool: ``ids``, sorted, and the ``places`` of their images there.

    targets: int64 (m,), flags uint8 (m, classes), or what is soft or a number, float32
    (m, classes). held_out: the folds that who gave them holds out.
    """

    ids: list[str]
    places: np.ndarray
    targets: np.ndarray
    held_out: list[int]


class Labeller(Protocol):
    """Who knows the labels. ``recipe`` and ``pool_digest``: 16 hex digits for the recipe's hash."""

    recipe: str
    pool_digest: str

    @property
    def files(self) -> list[str]:
        """The images of the pool."""
        ...

    def labels(self, fold: int) -> FoldLabels | None:
        """Those that the fold learns; None where they weigh nothing. Raises FoldwiseError."""
        ...

    def again(self, stored: pd.DataFrame, held_out: list[int]) -> FoldLabels:
        """Those of a table that an earlier call has written. Raises FoldwiseError."""
        ...


def labels_of(config: Config, run: Run, fold: int, labeller: Labeller) -> FoldLabels | None:
    """A fold's labels; a fold that was begun keeps those that it was begun with."""
    from foldwise.recipe import recipe_hash

    path = run.table(fold, "pseudo")
    begun = run.checkpoint(fold).is_file() and path.is_file()
    if begun:
        table, origin = run.predictions(fold, "pseudo")
        if origin.recipe_hash == recipe_hash(config):
            return labeller.again(table, origin.held_out)
    return labeller.labels(fold)


def write_labels(config: Config, run: Run, labels: FoldLabels, origin: Provenance) -> None:
    """fold<k>/pseudo.parquet: the ids that are learned, and what they are said to be.

    ``label``, or a column a class (or number) where one word does not say it.
    """
    settings = config.competition
    if labels.targets.ndim == 1:
        names = np.array(settings.classes, object)
        table = pd.DataFrame({"id": labels.ids, "label": names[labels.targets]})
    else:
        columns = prediction_columns(settings)
        table = pd.DataFrame(labels.targets.astype(np.float32), columns=columns)
        table.insert(0, "id", labels.ids)
    assert origin.fold is not None
    run.write_predictions(origin.fold, "pseudo", table, origin)


def targets_of_table(config: Config, table: pd.DataFrame) -> np.ndarray:
    """The targets in a table that `write_labels` has written, as of `FoldLabels`."""
    settings = config.competition
    if "label" in table:
        place = {name: i for i, name in enumerate(settings.classes)}
        return table["label"].map(place).to_numpy(np.int64)
    values = table[prediction_columns(settings)].to_numpy(np.float32)
    hard = settings.task == "multilabel" and config.pseudo.labels == "hard"
    return values.astype(np.uint8) if hard else values


def joined_targets(values: np.ndarray, labels: FoldLabels) -> np.ndarray:
    """The train rows' targets, then the labels': a class becomes a distribution where those are."""
    if values.ndim == 1 and labels.targets.ndim == 2:
        values = np.eye(labels.targets.shape[1], dtype=np.float32)[values]
    kind = np.result_type(values, labels.targets)
    return np.concatenate([values.astype(kind), labels.targets.astype(kind)])


def counted_as(values: np.ndarray, labels: FoldLabels) -> np.ndarray:
    """The same as whole classes or flags, for what counts rows: the likeliest class counts."""
    targets = labels.targets
    if values.ndim == 1 and targets.ndim == 2:
        targets = targets.argmax(axis=1)
    elif values.dtype == np.uint8:
        targets = (targets >= 0.5).astype(np.uint8)
    return np.concatenate([values, targets.astype(values.dtype)])
