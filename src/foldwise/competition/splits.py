"""K-fold splits of a train table: stratified, by group, and both at once."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold

from foldwise.config import Config
from foldwise.errors import FoldwiseError, UsageError, first_few
from foldwise.files import shown


def method_of(config: Config) -> str:
    """folds.method with ``auto`` decided. Raises UsageError for a group method without a group."""
    method = config.folds.method
    if method == "auto":
        return "stratified_group" if config.folds.group else "stratified"
    if method != "stratified" and not config.folds.group:
        raise UsageError(
            f"folds.method={method} wants folds.group=COLUMN, the column whose equal values stay "
            "together"
        )
    if method == "stratified" and config.folds.group:
        raise UsageError(
            f"folds.method=stratified takes no heed of folds.group={config.folds.group}: "
            "say folds.method=stratified_group, or leave folds.group out"
        )
    return method


def split(train: pd.DataFrame, config: Config, folder: Path) -> np.ndarray:
    """The fold of each row of ``train`` (columns id, label and, for group methods, group).

    Returns int64 (n,), 0..k-1, none of them empty. The rows are sorted by id first: whatever order
    the table is in, an id is in the same fold. Raises FoldwiseError for classes with fewer rows
    than folds (folds.rare), for fewer groups than folds, and for a fold that would stay empty.
    """
    method, k = method_of(config), config.folds.k
    ids = list(train["id"])
    order = sorted(range(len(ids)), key=ids.__getitem__)
    rows = train.iloc[order]
    labels = np.unique(rows["label"].to_numpy(dtype=str), return_inverse=True)[1]
    counts = train["label"].value_counts()
    _refuse_rare(counts, k, config.folds.rare, folder)
    groups = None
    if method != "stratified":
        groups = np.unique(rows["group"].to_numpy(dtype=str), return_inverse=True)[1]
        if groups.max() + 1 < k:
            raise FoldwiseError(
                f"{shown(folder)}: column '{config.folds.group}' has {groups.max() + 1} groups, "
                f"too few for {k} folds: say folds.k={max(2, groups.max() + 1)} or fewer, "
                "or another folds.group"
            )
    makers = {
        "stratified": StratifiedKFold,
        "group": GroupKFold,
        "stratified_group": StratifiedGroupKFold,
    }
    maker = makers[method](n_splits=k, shuffle=True, random_state=config.folds.seed)
    fold = np.full(len(rows), -1, dtype=np.int64)
    positions = np.array(order)
    with warnings.catch_warnings():  # folds.rare=allow has said that rare classes are known
        warnings.filterwarnings("ignore", message="The least populated class")
        for number, (_, held_out) in enumerate(maker.split(np.zeros(len(rows)), labels, groups)):
            fold[positions[held_out]] = number
    empty = sorted(set(range(k)) - set(fold.tolist()))
    if empty:
        raise FoldwiseError(
            f"{shown(folder)}: fold {first_few(empty)} of {k} would have no rows: say a smaller "
            "folds.k, or folds.method=group"
        )
    return fold


def refuse_straddling(fold: np.ndarray, group: pd.Series, column: str, path: Path) -> None:
    """Raises FoldwiseError naming the groups (n,) whose rows are in more than one fold (n,)."""
    folds_of = pd.Series(fold).groupby(group.to_numpy(dtype=object)).nunique()
    straddling = list(folds_of.index[folds_of > 1])
    if straddling:
        raise FoldwiseError(
            f"{shown(path)}: {len(straddling)} groups of column '{column}' are in more than one "
            f"fold: {first_few(straddling)}: mend folds.csv or the column, or delete folds.csv and "
            "folds.json to split anew"
        )


def _refuse_rare(counts: pd.Series, k: int, rare: str, folder: Path) -> None:
    few = counts[counts < k].sort_index()
    if few.empty:
        return
    named = first_few(f"{name} ({count})" for name, count in few.items())
    largest = int(counts.max())
    if largest < k:
        raise FoldwiseError(
            f"{shown(folder)}: no class has {k} rows, the largest has {largest}: say a smaller "
            "folds.k"
        )
    if rare == "error":
        raise FoldwiseError(
            f"{shown(folder)}: {len(few)} classes have fewer rows than the {k} folds: {named}: "
            "say folds.rare=allow (some folds then hold none of them), or a smaller folds.k"
        )
