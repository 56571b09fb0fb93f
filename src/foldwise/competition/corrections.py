"""corrections.csv: labels mended for training, and for nothing else."""

from dataclasses import dataclass, replace

import numpy as np

from foldwise.competition.foldfiles import digest
from foldwise.competition.layout import CompetitionData
from foldwise.competition.reading.tables import Table, read_table, refuse_doubled, refuse_empty
from foldwise.competition.targets import read_targets
from foldwise.config import Competition
from foldwise.errors import FoldwiseError, UsageError, first_few, nearest
from foldwise.files import shown

DROP = "drop"


@dataclass(frozen=True)
class TrainingTargets:
    """values: as in Targets, corrected; kept: bool (n,), the rows to train on.

    setting: what competition.corrections becomes: a digest of the corrections, or as it was.
    """

    values: np.ndarray
    kept: np.ndarray
    setting: str
    said: str = ""


def training_targets(data: CompetitionData, settings: Competition) -> TrainingTargets:
    """The targets to train on: those of the train table, but for what corrections.csv says.

    A row of it has an id, a label (or ``drop``, where no class is called so) and a reason. The
    split and the scored labels never change by it. Raises FoldwiseError for rows that fit nothing,
    and where a run was begun with other corrections.
    """
    path, values = data.folder / "corrections.csv", data.targets.values
    everything = np.ones(len(values), dtype=bool)
    if settings.corrections == "off" or (settings.corrections == "auto" and not path.is_file()):
        return TrainingTargets(values, everything, settings.corrections)
    table = _checked(read_table(path), data)
    labels = [cell.strip() for cell in table.column("label")]
    names = table.column("id")
    mark = digest(sorted(zip(names, labels, strict=True)))[:16]
    if settings.corrections not in ("auto", mark):
        raise UsageError(
            f"competition.corrections={settings.corrections} are not those of {shown(path)} "
            f"({mark}): say auto or off"
        )
    dropping = [label == DROP and DROP not in data.classes for label in labels]
    place = {name: i for i, name in enumerate(data.train["id"])}
    values, kept = values.copy(), everything
    kept[[place[n] for n, drop in zip(names, dropping, strict=True) if drop and n in place]] = False
    mended = Table(path, table.frame[[not drop for drop in dropping]])
    if len(mended.frame):
        given = [] if data.task == "regression" else data.classes
        how = replace(settings, task=data.task, classes=given)
        targets = read_targets(mended, ["label"], how)
        for name, value in zip(mended.column("id"), targets.values, strict=True):
            if name in place:
                values[place[name]] = value
    if not kept.any():
        raise FoldwiseError(f"{shown(path)} drops every training row: keep some")
    said = f"{shown(path)}: {len(mended.frame)} training labels corrected, {sum(dropping)} dropped"
    return TrainingTargets(values, kept, mark, said)


def corrected_ids(data: CompetitionData) -> list[str]:
    """The ids that corrections.csv has; none where there is no such file."""
    path = data.folder / "corrections.csv"
    return _checked(read_table(path), data).column("id") if path.is_file() else []


def _checked(table: Table, data: CompetitionData) -> Table:
    """The table with columns id and label, whose ids are train ids and come once."""
    for column in ("id", "label"):
        if column not in table.names:
            raise FoldwiseError(
                f"{shown(table.path)} has no column '{column}': its header is id,label,reason, and "
                f"a label may be '{DROP}'"
            )
    refuse_empty(table, "id")
    refuse_doubled(table, "id", "corrected")
    if data.task != "multilabel":
        refuse_empty(table, "label")
    known = {*data.train["id"], *data.dropped}
    strange = [i for i, name in enumerate(table.column("id")) if name not in known]
    if strange:
        name = table.column("id")[strange[0]]
        raise FoldwiseError(
            f"{shown(table.path)} {table.rows(strange)}: no training row has the id '{name}'"
            f"{nearest(name, known)}: write train ids verbatim, or delete the row; "
            f"the first train ids are {first_few(data.train['id'], 3)}"
        )
    return table
