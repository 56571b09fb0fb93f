"""K-fold splits of a train table: stratified, by group, and both at once."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold

from foldwise.competition.layout import CompetitionData
from foldwise.competition.stratify import iterative_folds
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


def split(data: CompetitionData, config: Config) -> np.ndarray:
    """The fold of each row of ``data.train`` (columns id, label and, for group methods, group).

    Returns int64 (n,), 0..k-1, none of them empty. Multilabel rows are stratified by all of their
    labels (iteratively), numbers by their quantiles. The rows are sorted by id first: whatever
    order the table is in, an id is in the same fold. Raises FoldwiseError for classes with fewer
    rows than folds (folds.rare), for fewer groups than folds, and for a fold that would stay empty.
    """
    method, k, where = method_of(config), config.folds.k, shown(data.folder)
    ids = list(data.train["id"])
    order = np.array(sorted(range(len(ids)), key=ids.__getitem__))
    flags = _flags(data.targets.values[order], data.task, k)
    rarest = flags.sum(axis=0)
    if data.task != "regression":
        counts = pd.Series(rarest, index=data.classes[: len(rarest)])
        _refuse_rare(counts[counts > 0], k, config.folds.rare, where)
    if len(ids) < k:
        raise FoldwiseError(f"{where} has {len(ids)} rows, too few for {k} folds: say folds.k=2")
    groups = np.arange(len(ids))
    if method != "stratified":
        names = data.train["group"].to_numpy(dtype=str)[order]
        groups = np.unique(names, return_inverse=True)[1]
        _refuse_few(int(groups.max()) + 1, k, config.folds.group, where)
    fold = np.full(len(ids), -1, dtype=np.int64)
    fold[order] = _folds(method, flags, groups, k, config.folds.seed)
    empty = sorted(set(range(k)) - set(fold.tolist()))
    if empty:
        raise FoldwiseError(
            f"{where}: fold {first_few(empty)} of {k} would have no rows: say a smaller "
            "folds.k, or folds.method=group"
        )
    return fold


def inner_part(data: CompetitionData, rows: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Bool (len(rows),): about ``share`` of some train rows, to watch while training on the others.

    Stratified as the folds are; rows of one group (`folds.group=COLUMN`) stay together. Raises
    FoldwiseError where there are too few rows to leave any of them out.
    """
    k = max(2, round(1 / share))
    values = data.targets.values[rows]
    groups = np.arange(len(rows))
    if "group" in data.train:
        groups = np.unique(data.train["group"].to_numpy(dtype=str)[rows], return_inverse=True)[1]
    if groups.max(initial=-1) + 1 < k:
        raise FoldwiseError(
            f"train.inner={share:g} of {len(rows)} training rows (in {groups.max(initial=-1) + 1} "
            "groups) is nothing to watch: say a larger train.inner, or train.watch=fold"
        )
    flags = _flags(values, data.task, k)
    if flags.sum(axis=0).max() < k:  # nothing to stratify by
        flags = np.ones((len(rows), 1), np.int8)
    method = "stratified_group" if "group" in data.train else "stratified"
    return _folds(method, flags, groups, k, seed) == 0


def _folds(method: str, flags: np.ndarray, groups: np.ndarray, k: int, seed: int) -> np.ndarray:
    """The fold of each row; flags (n, c) are what every fold should have the same share of."""
    rows = len(flags)
    if (flags.sum(axis=1) != 1).any() and method != "group":
        units = int(groups.max()) + 1
        counts, sizes = np.zeros((units, flags.shape[1])), np.bincount(groups, minlength=units)
        np.add.at(counts, groups, flags)
        return iterative_folds(counts, sizes, k, seed)[groups]
    makers = {
        "stratified": StratifiedKFold,
        "group": GroupKFold,
        "stratified_group": StratifiedGroupKFold,
    }
    maker = makers[method](n_splits=k, shuffle=True, random_state=seed)
    fold = np.full(rows, -1, dtype=np.int64)
    with warnings.catch_warnings():  # folds.rare=allow has said that rare classes are known
        warnings.filterwarnings("ignore", message="The least populated class")
        together = None if method == "stratified" else groups
        parts = maker.split(np.zeros(rows), flags.argmax(axis=1), together)
        for number, (_, held_out) in enumerate(parts):
            fold[held_out] = number
    return fold


def _flags(values: np.ndarray, task: str, k: int) -> np.ndarray:
    """0 and 1 (n, c) for what is stratified: classes, labels, or the quantiles of each number."""
    if task == "regression":
        count = max(1, min(10, len(values) // k))
        edges = [np.unique(np.quantile(v, np.linspace(0, 1, count + 1)[1:-1])) for v in values.T]
        bins = [np.searchsorted(e, v, "right") for e, v in zip(edges, values.T, strict=True)]
        return np.hstack([np.eye(count, dtype=np.int8)[b] for b in bins])
    if values.ndim == 2:
        return values.astype(np.int8)
    return np.eye(int(values.max()) + 1, dtype=np.int8)[values]


def _refuse_few(groups: int, k: int, column: str, where: str) -> None:
    if groups < k:
        raise FoldwiseError(
            f"{where}: column '{column}' has {groups} groups, too few for {k} folds: say "
            f"folds.k={max(2, groups)} or fewer, or another folds.group"
        )


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


def _refuse_rare(counts: pd.Series, k: int, rare: str, where: str) -> None:
    few = counts[counts < k]
    if few.empty:
        return
    named = first_few(f"{name} ({count})" for name, count in few.items())
    largest = int(counts.max())
    if largest < k:
        raise FoldwiseError(
            f"{where}: no class has {k} rows, the largest has {largest}: say a smaller folds.k"
        )
    if rare == "error":
        raise FoldwiseError(
            f"{where}: {len(few)} classes have fewer rows than the {k} folds: {named}: "
            "say folds.rare=allow (some folds then hold none of them), or a smaller folds.k"
        )
