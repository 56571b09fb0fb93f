"""Tables of predictions, each with the record of what it was made from.

The columns are ``id`` (text), ``fold`` and ``label`` (OOF only), then ``prob_<class>`` (float32);
multilabel has ``label_<class>`` columns, a regression those and ``pred_<name>``.
The provenance travels in the parquet file's metadata.
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.config import Competition
from foldwise.errors import FoldwiseError, first_few
from foldwise.files import atomic, shown


@dataclass(frozen=True)
class Provenance:
    """What a table or a model was made from. No name, time, host or path: same result, same bytes.

    ``held_out``: the folds whose labels reached neither the network nor its initial weights, its
    teacher, its pseudo-labels, nor a parameter fitted on them.
    ``prior``: ids whose image could not be used, so that their row is the class prior.
    """

    fold: int | None
    recipe_hash: str
    folds_hash: str
    held_out: list[int]
    prior: list[str] = dataclasses.field(default_factory=list)

    def same_recipe(self, other: "Provenance") -> bool:
        return (self.recipe_hash, self.folds_hash) == (other.recipe_hash, other.folds_hash)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


def write_table(path: Path, frame: pd.DataFrame, provenance: Provenance) -> None:
    """Write a prediction table: equal frames and provenance give equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    types = [
        (c, pa.string() if c in ("id", "label") else table.schema.field(c).type) for c in frame
    ]
    table = table.cast(pa.schema(types)).replace_schema_metadata({"foldwise": provenance.to_json()})
    with atomic(path) as file:
        pq.write_table(table, file)


def read_table(path: Path, columns: list[str] | None = None) -> tuple[pd.DataFrame, Provenance]:
    """A prediction table, or some columns, and its provenance.

    Raises FoldwiseError: missing, or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _readable(path, pa.ArrowException):
        table = pq.read_table(path, columns=columns)
        fields = json.loads(table.schema.metadata[b"foldwise"])
        return table.to_pandas(), Provenance(**fields)


def read_provenance(path: Path) -> Provenance:
    """A table's provenance alone: cheap, however long the table is."""
    return read_header(path)[1]


def read_header(path: Path) -> tuple[list[str], Provenance]:
    """A table's columns and provenance, read without its rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _readable(path, pa.ArrowException):
        schema = pq.read_schema(path)
        return schema.names, Provenance(**json.loads(schema.metadata[b"foldwise"]))


@contextlib.contextmanager
def _readable(path: Path, kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise FoldwiseError(
            f"{shown(path)} is not there: give the command that makes it once more, which goes on "
            "where it was broken off"
        ) from error
    except (kind, TypeError, KeyError, ValueError, OSError) as error:
        raise FoldwiseError(
            f"{shown(path)} is not a table of foldwise ({error}); "
            "train that fold again (fold=K overwrite=true)"
        ) from error


def prediction_columns(settings: Competition) -> list[str]:
    """``prob_<class>``, or ``pred_<name>`` in a regression; for resolved settings."""
    prefix = "pred" if settings.task == "regression" else "prob"
    return [f"{prefix}_{name}" for name in settings.classes]


def label_frame(settings: Competition, labels: pd.Series, targets: np.ndarray) -> pd.DataFrame:
    """What an OOF table says of the truth: ``label`` as text, or ``label_<class>`` columns.

    The latter hold 0 and 1 (int64) in multilabel and float64 numbers in a regression.
    """
    if targets.ndim == 1:
        return labels.to_frame("label")
    values = targets if settings.task == "regression" else targets.astype(np.int64)
    columns = [f"label_{name}" for name in settings.classes]
    return pd.DataFrame(values, columns=columns, index=labels.index)


def targets_of(settings: Competition, oof: pd.DataFrame) -> np.ndarray:
    """The targets of an OOF table, in the shapes of `competition.metrics`."""
    if "label" in oof:
        place = {name: i for i, name in enumerate(settings.classes)}
        return oof["label"].map(place).to_numpy()
    return oof[[f"label_{name}" for name in settings.classes]].to_numpy()


def combined(parts: list[Provenance]) -> Provenance:
    """The provenance of a table made of several: held out is only what every part holds out."""
    held_out = sorted(set.intersection(*(set(part.held_out) for part in parts)))
    prior = sorted({name for part in parts for name in part.prior})
    fold = parts[0].fold if len(parts) == 1 else None
    return dataclasses.replace(parts[0], fold=fold, held_out=held_out, prior=prior)


def common_recipe(origins: Mapping[int, Provenance], folds_hash: str, key: str, wanted: str) -> str:
    """16 hex digits of the recipe that the folds of a run share.

    ``folds_hash``: of the split that they must be of; ``wanted``: what the setting ``key`` asks
    for ('': any recipe). Raises FoldwiseError with what is wrong with them.
    """
    other = [k for k, origin in origins.items() if origin.folds_hash != folds_hash]
    if other:
        raise FoldwiseError(
            f"its folds {first_few(other)} were trained on another split or other labels than "
            "folds.csv now has"
        )
    recipes = {k: origin.recipe_hash for k, origin in origins.items()}
    first, recipe = next(iter(recipes.items()))
    strange = [k for k in recipes if recipes[k] != recipe]
    if strange:
        raise FoldwiseError(f"its folds {first_few(strange)} have another recipe than fold {first}")
    if wanted not in ("", recipe[:16]):
        raise FoldwiseError(
            f"its recipe is {recipe[:16]}, not {key}={wanted}: name the run that is meant, or "
            f"leave {key} out"
        )
    return recipe[:16]
