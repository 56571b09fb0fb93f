"""Runs with the files that training leaves, made without training: predictions of a known skill."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from foldwise.begin import begin_run
from foldwise.config import Config
from foldwise.provenance import Provenance, label_frame, prediction_columns
from foldwise.recipe import recipe_hash
from foldwise.runs import Run
from foldwise.whole import combine

FOLDS, ROWS, TEST = 4, 240, 60
CLASSES = {
    "multiclass": ["cat", "dog", "owl"],
    "multilabel": ["cat", "dog", "owl"],
    "ordinal": ["0", "1", "2", "3"],
    "regression": ["size"],
}
METRICS = {"ordinal": "quadratic_weighted_kappa", "regression": "rmse", "multilabel": "f1_macro"}


@dataclass
class Truth:
    """The rows of a competition: what is true of train and test, and the fold of each train row."""

    task: str = "multiclass"
    rows: int = ROWS
    test: int = TEST
    folds: int = FOLDS
    seed: int = 0
    classes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        self.classes = self.classes or CLASSES[self.task]
        self.train_targets, self.test_targets = (
            self._targets(random, n) for n in (self.rows, self.test)
        )
        self.ids = [f"tr{i:03d}" for i in range(self.rows)]
        self.test_ids = [f"te{i:03d}" for i in range(self.test)]
        self.fold = random.permutation(self.rows) % self.folds

    def _targets(self, random: np.random.Generator, rows: int) -> np.ndarray:
        c = len(self.classes)
        if self.task == "regression":
            return random.normal(5, 2, (rows, c))
        if self.task == "multilabel":
            return (random.random((rows, c)) < 0.4).astype(np.uint8)
        return random.integers(0, c, rows)

    def guesses(self, targets: np.ndarray, skill: float, seed: int) -> np.ndarray:
        """float32 (n, c): predictions that know the truth by ``skill``, under noise."""
        random = np.random.default_rng(seed)
        c = len(self.classes)
        if self.task == "regression":
            return (targets + random.normal(0, 1 / skill, targets.shape)).astype(np.float32)
        if self.task == "multilabel":
            z = skill * (2.0 * targets - 1) + random.normal(0, 1, targets.shape)
            return (1 / (1 + np.exp(-z))).astype(np.float32)
        z = skill * np.eye(c)[targets] + random.normal(0, 1, (len(targets), c))
        p = np.exp(z)
        return (p / p.sum(axis=1, keepdims=True)).astype(np.float32)

    def config(self, run: str, **competition: object) -> Config:
        config = Config(run=run)
        config.competition.slug = "pets"
        config.competition.task, config.competition.classes = self.task, self.classes
        config.competition.metric = METRICS.get(self.task, "accuracy")
        config.folds.k = self.folds
        for key, value in competition.items():
            setattr(config.competition, key, value)
        return config


def make_run(
    name: str,
    truth: Truth,
    skill: float = 1.0,
    seed: int = 0,
    folds: list[int] | None = None,
    split: str = "split",
    held_out: dict[int, list[int]] | None = None,
    **competition: object,
) -> Run:
    """oof/<name>, as training leaves it. ``held_out``: of folds that hold something else out."""
    config = truth.config(name, **competition)
    config.seed = seed
    run, settings = Run(name), config.competition
    folds = list(range(truth.folds)) if folds is None else folds
    begin_run(run, config, split, folds)
    columns = prediction_columns(settings)
    if truth.train_targets.ndim == 1:
        labels = pd.Series([truth.classes[t] for t in truth.train_targets], dtype=object)
    else:
        labels = pd.Series([""] * truth.rows, dtype=object)
    known = pd.concat(
        [pd.DataFrame({"id": truth.ids}), label_frame(settings, labels, truth.train_targets)],
        axis=1,
    )
    known.insert(1, "fold", truth.fold)
    oof = truth.guesses(truth.train_targets, skill, seed)
    for fold in folds:
        origin = Provenance(fold, recipe_hash(config), split, (held_out or {}).get(fold, [fold]))
        rows = np.flatnonzero(truth.fold == fold)
        table = pd.DataFrame(oof[rows], columns=columns)
        table = pd.concat([known.iloc[rows].reset_index(drop=True), table], axis=1)
        run.write_predictions(fold, "oof", table, origin)
        if truth.test:
            test = truth.guesses(truth.test_targets, skill, 1000 + 10 * seed + fold)
            table = pd.DataFrame(test, columns=columns)
            table.insert(0, "id", truth.test_ids)
            run.write_predictions(fold, "test", table, origin)
        run.write_model(fold, {}, origin)
    combine(run, truth.ids)
    return run


def tiny_frame(ids: list[str], fold: int | None = None, seed: int = 0) -> pd.DataFrame:
    probs = np.random.default_rng(seed).dirichlet([1, 1], len(ids)).astype(np.float32)
    table = pd.DataFrame({"id": ids})
    if fold is not None:
        table["fold"], table["label"] = fold, "a"
    return pd.concat([table, pd.DataFrame(probs, columns=["prob_a", "prob_b, c"])], axis=1)


def tiny_provenance(fold: int = 0, recipe: str = "recipe") -> Provenance:
    return Provenance(fold, recipe, "folds", [fold])


def tiny_fold(
    run: Run, fold: int, ids: list[str], test_ids: list[str], seed: int, recipe: str = "recipe"
) -> pd.DataFrame:
    """A finished fold, as the trainer leaves it."""
    origin = tiny_provenance(fold, recipe)
    run.write_predictions(fold, "oof", tiny_frame(ids, fold, seed), origin)
    test = tiny_frame(test_ids, seed=seed + 10)
    run.write_predictions(fold, "test", test, origin)
    run.write_model(fold, {}, origin)
    return test
