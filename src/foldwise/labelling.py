"""Who labels unlabelled images for a run, and a run trained with such labels.

On the roof, since what chooses labels and what trains on them do not know each other.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.competition.folder import packs_of
from foldwise.competition.folds import FrozenFolds
from foldwise.competition.layout import CompetitionData
from foldwise.config import Config
from foldwise.ensemble.pseudo import check_pseudo, choose
from foldwise.ensemble.rounds import described
from foldwise.ensemble.source import (
    Pool,
    check_source,
    held_out_of,
    networks_of,
    opinion,
    voices,
)
from foldwise.errors import FoldwiseError, UsageError, first_few
from foldwise.files import shown, write_json
from foldwise.images.decode import threads
from foldwise.prediction.pool import pool_of, predict_pool
from foldwise.runs import Run
from foldwise.training.pseudo import FoldLabels, targets_of_table
from foldwise.training.train import train
from foldwise.training.weights import class_counts


@dataclass
class Labels:
    """Who labels the images of a pool for the folds of a run."""

    config: Config
    data: CompetitionData
    split: FrozenFolds
    folds: list[int]
    recipe: str
    pool: Pool
    pool_digest: str = ""
    names: list[str] = field(default_factory=list)  # of the images of a folder

    @property
    def run(self) -> Run:
        return Run(self.config.pseudo.run)

    @property
    def files(self) -> list[str]:
        """The images of the pool: all test images in their order, or those of a folder."""
        if self.data.test is not None and not self.pool_digest:
            return self.data.test["file"].tolist()
        return [str(Path(self.config.pseudo.pool, name)) for name in self._ids]

    @cached_property
    def _ids(self) -> list[str]:
        """The ids of the files."""
        if self.data.test is not None and not self.pool_digest:
            return self.data.test["id"].tolist()
        self._predict(self.folds[0])
        return sorted(opinion(self.run, self.folds[0], self.pool).ids)

    @cached_property
    def _twins(self) -> set[str]:
        """The ids of the pool's images that nearly duplicate a training image."""
        from foldwise.audit.duplicates import duplicate_groups

        print("looking for near-duplicates of training images in the pool", file=sys.stderr)
        pool = {name: path for name, path in zip(self._ids, self.files, strict=True) if path}
        train = self.data.train["file"].tolist()
        groups = duplicate_groups([*train, *pool.values()], threads(self.config.images.workers))
        known = set(groups[: len(train)])
        return {n for n, group in zip(pool, groups[len(train) :], strict=True) if group in known}

    def labels(self, fold: int) -> FoldLabels | None:
        """Those that the fold learns; None where they weigh nothing. Raises FoldwiseError."""
        wanted, settings = self.config.pseudo, self.config.competition
        if not wanted.weight:
            return None
        self._predict(fold)
        found = opinion(self.run, fold, self.pool)
        usable = {name for name, path in zip(self._ids, self.files, strict=True) if path}
        usable -= set(found.prior)
        rows = np.flatnonzero([name in usable for name in found.ids])
        ids = [found.ids[n] for n in rows]
        asked = voices(self.config, fold, self.pool, ids) if wanted.agree else []
        allowed = None
        if wanted.duplicates == "drop":
            allowed = np.array([name not in self._twins for name in ids], bool)
        others = self.data.targets.values[self.split.fold != fold]
        counts = class_counts(others, len(settings.classes)) if others.ndim == 1 else np.zeros(0)
        try:
            chosen = choose(found.p[rows], ids, settings, wanted, counts, asked, allowed)
        except FoldwiseError as error:
            raise FoldwiseError(f"pseudo-labels of fold {fold}: {error}") from error
        steps = ", ".join(f"{name} {count:,}" for name, count in chosen.counts.items())
        never = [name for name, count in chosen.classes.items() if not count]
        none = f"; none of {first_few(never)}" if never else ""
        print(f"pseudo-labels of fold {fold} by {self.run.name}: {steps}{none}", file=sys.stderr)
        names = [ids[n] for n in chosen.rows]
        held_out = held_out_of(self.run, fold, self.pool)
        return FoldLabels(names, self._places(names), chosen.targets, held_out)

    def again(self, stored: pd.DataFrame, held_out: list[int]) -> FoldLabels:
        """Those of a table that an earlier call has written."""
        ids = stored["id"].tolist()
        return FoldLabels(ids, self._places(ids), targets_of_table(self.config, stored), held_out)

    def _places(self, ids: Sequence[str]) -> np.ndarray:
        places = pd.Index(self._ids).get_indexer(pd.Index(ids))
        if (places < 0).any():
            lost = [name for name, place in zip(ids, places, strict=True) if place < 0]
            raise FoldwiseError(
                f"{len(lost)} images that {self.run.name} has labelled are not in {self.pool.said} "
                f"any more (the first is '{lost[0]}'): put them back"
            )
        return places

    def _predict(self, fold: int) -> None:
        """Have a folder's images predicted by the networks behind the source, once."""
        if self.pool_digest:
            folder, packs = Path(self.config.pseudo.pool), packs_of(self.data.folder)
            for run, views in networks_of(self.run):
                predict_pool(run, fold, self.names, folder, packs, self.pool.table, views)


def labelling(
    config: Config, data: CompetitionData, split: FrozenFolds, folds: list[int]
) -> Labels:
    """Who labels for a run with pseudo.run; a pseudo.pool is made absolute in ``config``.

    Raises FoldwiseError and UsageError for what cannot.
    """
    check_pseudo(config.pseudo, config.competition)
    recipe, wanted = check_source(config, split.hash, folds), config.pseudo
    if not wanted.pool:
        if data.test is None:
            raise UsageError(
                "there is no test set to take unlabelled images from: say pseudo.pool=FOLDER"
            )
        return Labels(config, data, split, folds, recipe, Pool("test", "the test set"))
    names, mark = pool_of(wanted.pool)
    wanted.pool = str(Path(wanted.pool).expanduser().absolute())  # from whatever folder it is said
    if wanted.pool_digest not in ("", mark):
        raise FoldwiseError(
            f"pseudo.pool={wanted.pool} holds other images than the recipe means: their digest is "
            f"{mark}, not pseudo.pool_digest={wanted.pool_digest}; restore the folder, or leave "
            "the digest out"
        )
    pool = Pool(f"pool-{mark}", shown(Path(wanted.pool)))
    return Labels(config, data, split, folds, recipe, pool, mark, names)


def train_round(config: Config, words: list[str]) -> None:
    """Train a run with pseudo-labels, and write its pseudo.json; ``words``: the command's."""
    if config.gpus > 1 and not config.debug:
        from foldwise.training.gpus import train_on_gpus

        train_on_gpus(config, words, labelling)
    else:
        train(config, labelling)
    run = Run(config.run)
    if run.finished():
        write_json(run.folder / "pseudo.json", described(run))
