"""The predictions of a blend's members, by id."""

import numpy as np
import pandas as pd

from foldwise.ensemble.checks import (
    Kind,
    Member,
    have_test,
    origins,
    recipe_of,
    same_folds,
    same_settings,
)
from foldwise.ensemble.evidence import Oof
from foldwise.errors import FoldwiseError, first_few
from foldwise.files import shown
from foldwise.provenance import Provenance, prediction_columns, targets_of
from foldwise.runs import Run

Array = np.ndarray


class Members:
    """Runs that fit together; their predictions are read when they are asked for.

    Raises FoldwiseError, naming runs and folds, where they do not fit, or where one has seen the
    labels that it is to be scored on (without ``checks``, ``seen`` has these folds). known: the
    rows of all folds in the order of the train table: id, fold, labels. rows: of each fold, its
    rows there, in the order of its tables. test_ids: None without a test set. hashes: the members'
    recipes.
    """

    def __init__(
        self, members: list[Member], resident_gb: float, metric: str = "auto", checks: bool = True
    ) -> None:
        self.members = members
        self.settings = same_settings(members, metric)
        self.columns = prediction_columns(self.settings)
        self.folds = same_folds(members)
        self._has_test = have_test(members, self.folds)
        self._origins = origins(members, self.folds, self.columns, self._has_test, checks)
        self.hashes = [recipe_of(member, self.folds[0]) for member in members]
        tables = [self._labels(fold) for fold in self.folds]
        self.known, self.rows = self._sorted(tables)
        self.targets = targets_of(self.settings, self.known)
        self._ids = dict(zip(self.folds, (table["id"] for table in tables), strict=True))
        self.test_ids = self._test_ids()
        self._orders: dict[tuple[int, Kind, int | None, str], Array | None] = {}
        self._held: Array | None = None
        if 4 * len(members) * len(self.columns) * len(self.known) <= resident_gb * 2**30:
            self._held = self._all()

    @property
    def seen(self) -> list[int]:
        """The folds whose labels have reached what predicts them."""
        return [k for k in self.folds if k not in self.origin(k, "oof").held_out]

    @property
    def names(self) -> list[str]:
        return [member.name for member in self.members]

    def origin(self, fold: int, kind: Kind) -> Provenance:
        """What a blend of the members' tables of a fold is made from; the recipe is another."""
        return self._origins[kind, fold]

    def oof(self, fold: int, member: int) -> Array:
        """A member's predictions of a fold's rows, float32 (c, rows)."""
        if self._held is not None:
            return self._held[member][:, self._place(fold)]
        return self._read(member, "oof", fold)

    def test(self, fold: int | None, member: int) -> Array:
        """Of the test rows, by a fold's model or (None) by the run, float32 (c, rows)."""
        if fold is None and self.members[member].views:
            parts = [self._read(member, "test", k) for k in self.folds]
            return np.asarray(np.mean(parts, axis=0, dtype=np.float32))
        return self._read(member, "test", fold)

    def whole(self, member: int) -> Array:
        """A member's OOF predictions in the order of ``known``, float32 (c, n)."""
        values = np.empty((len(self.columns), len(self.known)), np.float32)
        for fold in self.folds:
            values[:, self.rows[fold]] = self.oof(fold, member)
        return values

    def evidence(self) -> Oof:
        """All OOF predictions, fold after fold."""
        order = np.concatenate([self.rows[fold] for fold in self.folds])
        fold = self.known["fold"].to_numpy()[order]
        shape = (len(self.members), len(self.columns), len(order))
        return Oof(shape, self.targets[order], fold, self.oof, self._held)

    def _all(self) -> Array:
        held = np.empty((len(self.members), len(self.columns), len(self.known)), np.float32)
        for member in range(len(self.members)):
            for fold in self.folds:
                held[member][:, self._place(fold)] = self._read(member, "oof", fold)
        return held

    def _place(self, fold: int) -> slice:
        """Of a fold's rows, fold after fold."""
        before = sum(len(self.rows[k]) for k in self.folds if k < fold)
        return slice(before, before + len(self.rows[fold]))

    def _labels(self, fold: int) -> pd.DataFrame:
        """id, fold and labels of a fold's rows, as the first member has them."""
        first = self.members[0]
        views = first.tables(fold)[0]
        names, _ = first.run.header(fold, "oof", views)
        known = [name for name in names if name not in set(self.columns)]
        return first.run.predictions(fold, "oof", views, known)[0]

    def _sorted(self, tables: list[pd.DataFrame]) -> tuple[pd.DataFrame, dict[int, Array]]:
        """The folds' rows together in the order of the train table, and where each fold's are."""
        run = self.members[0].run
        wanted = run.predictions(None, "oof", "", ["id"])[0]["id"]
        known = pd.concat(tables, ignore_index=True)
        index = pd.Index(wanted)
        places = index.get_indexer(known["id"]) if index.is_unique else np.array([-1])
        if (places < 0).any() or len(known) != len(wanted):
            raise FoldwiseError(
                f"{shown(run.table(None, 'oof'))} has not the rows of its folds: train {run.name} "
                "once more with the same words (finished folds are kept, the tables are written)"
            )
        sizes = np.cumsum([len(table) for table in tables])[:-1]
        rows = dict(zip(self.folds, np.split(places, sizes), strict=True))
        return known.iloc[np.argsort(places, kind="stable")].reset_index(drop=True), rows

    def _test_ids(self) -> pd.Series | None:
        if not self._has_test:
            return None
        return self.members[0].run.predictions(None, "test", "", ["id"])[0]["id"]

    def _read(self, member: int, kind: Kind, fold: int | None) -> Array:
        one = self.members[member]
        tables = [""] if fold is None else one.tables(fold)
        total = self._table(member, kind, fold, tables[0])
        for views in tables[1:]:
            total = total + self._table(member, kind, fold, views)
        return total / np.float32(len(tables)) if len(tables) > 1 else total

    def _table(self, member: int, kind: Kind, fold: int | None, views: str) -> Array:
        """The predictions of a table, by the ids of the first member's, float32 (c, rows)."""
        run, key = self.members[member].run, (member, kind, fold, views)
        if key not in self._orders:
            self._orders[key] = self._order(run, kind, fold, views)
        frame, _ = run.predictions(fold, kind, views, self.columns)
        values = np.ascontiguousarray(frame[self.columns].to_numpy(np.float32).T)
        if not np.isfinite(values).all():
            c, row = np.argwhere(~np.isfinite(values))[0]
            ids = run.predictions(fold, kind, views, ["id"])[0]["id"]
            raise FoldwiseError(
                f"{shown(run.table(fold, kind, views))}: {self.columns[c]} of id '{ids[row]}' is "
                f"{values[c, row]}: predict or train that again, with a smaller optimizer.lr if it "
                "stays so"
            )
        order = self._orders[key]
        return values if order is None else np.ascontiguousarray(values[:, order])

    def _order(self, run: Run, kind: Kind, fold: int | None, views: str) -> Array | None:
        """Where the rows of a table are, by id; None where they are in order."""
        wanted = self._ids[fold] if kind == "oof" and fold is not None else self.test_ids
        ids = run.predictions(fold, kind, views, ["id"])[0]["id"]
        assert wanted is not None
        if ids.equals(wanted):
            return None
        index = pd.Index(ids)
        order = index.get_indexer(wanted) if index.is_unique else np.array([-1])
        extra = [name for name in ids if name not in set(wanted)]
        missing = [name for name in wanted if name not in set(ids)]
        if missing or extra or len(ids) != len(wanted):
            said = [f"lacks {len(missing)} ids ({first_few(missing)})"] if missing else []
            said += [f"has {len(extra)} others ({first_few(extra)})"] if extra else []
            raise FoldwiseError(
                f"{shown(run.table(fold, kind, views))} {' and '.join(said) or 'has ids twice'}, "
                f"beside {self.members[0].run.name}: train that again, or leave {run.name} out"
            )
        return np.asarray(order)
