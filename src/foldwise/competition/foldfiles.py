"""folds.csv and folds.json: reading them, and the digests by which one vouches for the other."""

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from foldwise.competition.reading.columns import ID_NAMES
from foldwise.competition.reading.tables import (
    Table,
    plain,
    read_table,
    refuse_doubled,
    refuse_empty,
)
from foldwise.errors import FoldwiseError, first_few
from foldwise.files import read_json, shown

FOLD_NAMES = ["fold", "folds", "kfold", "foldid"]
UNKNOWN = "----"  # in place of a label's mark: the row had no image when the marks were made


def read_folds(path: Path) -> dict[str, int]:
    """The fold of each id in folds.csv, in its order.

    Raises FoldwiseError unless every id comes once and the folds are 0..k-1, k > 1, none empty.
    """
    table = read_table(path)
    ids, fold = _column(table, ["id", *ID_NAMES], "id"), _column(table, FOLD_NAMES, "fold")
    refuse_empty(table, ids)
    refuse_doubled(table, ids, "train")
    texts = table.column(fold)
    bad = [i for i, text in enumerate(texts) if not re.fullmatch(r"[0-9]{1,6}(\.0+)?", text)]
    if bad:
        raise FoldwiseError(
            f"{shown(path)} {table.rows(bad)}: '{texts[bad[0]]}' is not a fold: number the folds "
            "0, 1, 2, …"
        )
    numbers = [int(text.partition(".")[0]) for text in texts]
    found = sorted(set(numbers))
    if len(found) < 2 or found != list(range(len(found))):
        raise FoldwiseError(
            f"{shown(path)} has the folds {first_few(found, 10) or 'of no row'}: number at least "
            "two folds 0, 1, 2, … without a gap, or delete the file to have it made"
        )
    return dict(zip(table.column(ids), numbers, strict=True))


def facts_of(
    folds: Mapping[str, int], labels: Mapping[str, str], how: Mapping[str, Any]
) -> dict[str, Any]:
    """What folds.json says: ``how`` the folds were made, and for which rows.

    ``data`` and ``folds`` are digests of the sorted (id, label) and (id, fold) pairs; ``labels``
    has four hex digits a row, sorted by id, that tell which rows were relabelled.
    """
    return {
        **how,
        "rows": len(folds),
        "data": digest(sorted(labels.items())),
        "folds": digest(sorted(folds.items())),
        "labels": "".join(_mark(name, labels.get(name)) for name in sorted(folds)),
    }


def read_facts(path: Path) -> dict[str, Any]:
    """folds.json. Raises FoldwiseError where it is not what facts_of made."""
    facts = read_json(path)
    kinds = {"k": int, "method": str, "rows": int, "data": str, "folds": str, "labels": str}
    whole = isinstance(facts, dict) and all(
        isinstance(facts.get(name), kind) for name, kind in kinds.items()
    )
    if not whole or len(facts["labels"]) != len(UNKNOWN) * facts["rows"]:
        raise FoldwiseError(
            f"{shown(path)} is damaged: put it back from a copy, or delete it, and folds.csv will "
            "be taken as a split of your own"
        )
    return facts


def relabelled(facts: Mapping[str, Any], names: list[str], labels: Mapping[str, str]) -> list[str]:
    """Which of ``names`` (the ids of folds.csv) have another label than folds.json knows.

    Ids without a label (rows whose image is missing) are not compared.
    """
    if facts["data"] == digest(sorted(labels.items())):
        return []
    width = len(UNKNOWN)
    changed = []
    for i, name in enumerate(sorted(names)):
        mark = facts["labels"][width * i : width * (i + 1)]
        if name in labels and mark not in (UNKNOWN, _mark(name, labels[name])):
            changed.append(name)
    if not changed and len(labels) == len(names) and UNKNOWN not in facts["labels"]:
        return ["which, the marks in folds.json do not tell"]  # one change in 65,536
    return changed


def digest(value: Any) -> str:
    """sha256 (hex) of a value of lists, tuples, text and integers."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _mark(name: str, label: str | None) -> str:
    if label is None:
        return UNKNOWN
    text = f"{name}\0{label}"
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[: len(UNKNOWN)]


def _column(table: Table, names: list[str], what: str) -> str:
    found = [name for name in table.frame.columns if plain(name) in names]
    if found:
        return min(found, key=lambda name: names.index(plain(name)))
    raise FoldwiseError(
        f"{shown(table.path)} has no {what} column; the columns there are "
        f"{first_few(table.frame.columns, 20)}: name them id and fold"
    )
