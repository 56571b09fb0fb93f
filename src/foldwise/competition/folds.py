"""The frozen split of a competition: made once, written down, verified at every start."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn

from foldwise.competition.folder import place_to_write
from foldwise.competition.foldfiles import digest, facts_of, read_facts, read_folds, relabelled
from foldwise.competition.layout import CompetitionData
from foldwise.competition.splits import method_of, refuse_straddling, split
from foldwise.config import Config
from foldwise.config import Folds as FoldSettings
from foldwise.errors import FoldwiseError, first_few, nearest
from foldwise.files import json_text, shown, write_text

ANEW = "delete folds.csv and folds.json to split anew (runs on the old folds then fit no more)"


@dataclass(frozen=True)
class FrozenFolds:
    """fold: int64 (n,), the fold of each train row in the train table's order; hash: of the split.

    The hash is the sha256 over the sorted (id, fold, label) triples: it is the same for the same
    folds in whatever order the train table is, and another one once a label has changed.
    """

    fold: np.ndarray
    k: int
    hash: str
    pending: tuple[tuple[Path, str], ...] = ()  # files that are not written yet, in their order

    def freeze(self) -> None:
        """Write what is not written: from now on the split is this one."""
        for path, text in self.pending:
            if not path.exists():
                write_text(path, text)


def frozen_folds(
    data: CompetitionData,
    config: Config,
    duplicates: Callable[[], list[str]] | None = None,
    freeze: bool = True,
) -> FrozenFolds:
    """The folds in folds.csv, which is made where it is missing; folds.json vouches for it.

    ``duplicates`` finds the group of each train row for folds.group=duplicates (where the train
    table has no such column); it is called only when a split is made. ``freeze=False`` leaves it to
    the caller to write a new split down, once everything else is known to be right.

    A folds.csv without folds.json is the user's own: it is checked, and folds.json written with the
    method ``supplied``. Raises FoldwiseError where the files, the train table and the settings
    contradict each other (rows added, removed or relabelled, another k), and UsageError for a group
    method without folds.group. Nothing is ever split again in silence.
    """
    place = data.folder if (data.folder / "folds.csv").exists() else place_to_write(data.folder)
    table, facts_file = place / "folds.csv", place / "folds.json"
    method = method_of(config)
    labels = dict(zip(data.train["id"].tolist(), data.train["label"].tolist(), strict=True))
    if facts_file.exists():
        facts = read_facts(facts_file)
        _refuse_other_settings(facts, config, method, table)
        if table.exists():
            folds = read_folds(table)
        else:
            folds = _made_again(facts, _grouped(data, config, duplicates), config, table)
    elif table.exists():
        folds = read_folds(table)
        facts = facts_of(folds, labels, {"k": max(folds.values()) + 1, "method": "supplied"})
        _refuse_other_settings(facts, config, method, table)
    else:
        folds = _made(_grouped(data, config, duplicates), config)
        how = {"k": config.folds.k, "method": method, "group": config.folds.group}
        how |= {"seed": config.folds.seed, "scikit_learn": sklearn.__version__}
        facts = facts_of(folds, labels, how)
    _refuse_other_rows(folds, facts, data, labels, table)
    fold = np.array([folds[name] for name in labels], dtype=np.int64)
    _refuse_bad_split(fold, facts["k"], data, config, table)
    # folds.json goes first: alone, as a killed call may leave it, it is enough to make folds.csv.
    pending = []
    if not facts_file.exists():
        pending.append((facts_file, json_text(facts)))
    if not table.exists():
        rows = pd.DataFrame({"id": list(folds), "fold": list(folds.values())})
        pending.append((table, rows.to_csv(index=False, lineterminator="\n")))
    triples = zip(labels, fold.tolist(), labels.values(), strict=True)
    frozen = FrozenFolds(fold, facts["k"], digest(sorted(triples)), tuple(pending))
    if freeze:
        frozen.freeze()
    return frozen


def _grouped(
    data: CompetitionData, config: Config, duplicates: Callable[[], list[str]] | None
) -> CompetitionData:
    """The data with a column ``group`` of near-duplicates, where that is what folds.group wants."""
    if config.folds.group != "duplicates" or "group" in data.train or duplicates is None:
        return data
    return replace(data, train=data.train.assign(group=duplicates()))


def _made(data: CompetitionData, config: Config) -> dict[str, int]:
    fold = split(data, config)
    return dict(zip(data.train["id"].tolist(), fold.tolist(), strict=True))


def _made_again(
    facts: Mapping[str, Any], data: CompetitionData, config: Config, path: Path
) -> dict[str, int]:
    """The folds that folds.json tells of, for a folds.csv that is not there."""
    if facts["method"] != "supplied":
        folds = _made(data, config)
        if digest(sorted(folds.items())) == facts["folds"]:
            return folds
    raise FoldwiseError(
        f"{shown(path)} is missing, and the folds that folds.json tells of cannot be made again: "
        "put folds.csv back, or delete folds.json to split anew"
    )


def _refuse_other_settings(
    facts: Mapping[str, Any], config: Config, method: str, path: Path
) -> None:
    """The folds.* settings must be those of the frozen folds; supplied ones only have a k."""
    # What is left at its default takes what is frozen.
    said, default = config.folds, FoldSettings()
    now = {name: getattr(said, name) for name in ("k", "group", "seed")}
    now = {name: value for name, value in now.items() if value != getattr(default, name)}
    if said.method != default.method or said.group:
        now["method"] = method
    if facts["method"] == "supplied":
        now = {name: value for name, value in now.items() if name == "k"}
    other = [name for name, value in now.items() if facts.get(name) != value]
    if other:
        frozen = " ".join(f"folds.{name}={facts.get(name)}" for name in other)
        asked = " ".join(f"folds.{name}={now[name]}" for name in other)
        raise FoldwiseError(
            f"{shown(path)} is frozen with {frozen}, and the settings now say {asked}: "
            f"say {frozen}, or {ANEW}"
        )


def _refuse_other_rows(
    folds: Mapping[str, int],
    facts: Mapping[str, Any],
    data: CompetitionData,
    labels: Mapping[str, str],
    path: Path,
) -> None:
    """The frozen rows must be those of the train table, with the same labels, in any order."""
    if digest(sorted(folds.items())) != facts["folds"]:
        raise FoldwiseError(
            f"{shown(path)} was changed after folds.json was written: put the old folds.csv back, "
            "or delete folds.json if the change is meant (runs on the old folds then fit no more)"
        )
    dropped = set(data.dropped)
    added = [name for name in labels if name not in folds]
    removed = [name for name in folds if name not in labels and name not in dropped]
    changed = [] if added or removed else relabelled(facts, list(folds), labels)
    found = {"added": added, "removed": removed, "relabelled": changed}
    said = [f"{len(ids)} {word} ({first_few(ids)})" for word, ids in found.items() if ids]
    if not said:
        return
    if facts["method"] == "supplied" and not (path.parent / "folds.json").exists():
        hint = nearest(added[0], removed) if added and removed else ""
        raise FoldwiseError(
            f"{shown(path)} does not fit the train table, in which rows were {', '.join(said)}"
            f"{hint}: write each train id once, verbatim, or delete folds.csv to have it made"
        )
    raise FoldwiseError(
        f"the train rows are not those that {shown(path)} was made for: {', '.join(said)}: "
        f"put them back as they were, or {ANEW}"
    )


def _refuse_bad_split(
    fold: np.ndarray, k: int, data: CompetitionData, config: Config, path: Path
) -> None:
    empty = sorted(set(range(k)) - set(fold.tolist()))
    if empty:
        raise FoldwiseError(
            f"{shown(path)}: no train row with an image is in fold {first_few(empty)}: "
            f"add the missing images, or {ANEW}"
        )
    if (
        config.folds.group and "group" in data.train
    ):  # duplicates were looked for when the split was made
        refuse_straddling(fold, data.train["group"], config.folds.group, path)
