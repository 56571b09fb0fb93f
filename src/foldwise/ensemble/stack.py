"""Stacking: a model of scikit-learn over the members' logits (Wolpert, 1992)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from foldwise.config import Blend, Competition
from foldwise.ensemble.evidence import logits

Array = np.ndarray
TREES: dict[str, Any] = {"max_iter": 100, "max_leaf_nodes": 15, "min_samples_leaf": 20}


@dataclass(frozen=True)
class Stacker:
    """One model for all classes, or one for each label of a row and each number.

    classes: of each model, those that its training rows have. mean and scale: of the features.
    """

    models: list[Any]
    classes: list[Array]
    mean: Array
    scale: Array
    settings: Competition


def features(read: Callable[[int], Array], members: int, settings: Competition) -> Array:
    """float32 (n, members, c): logits, or the numbers of a regression."""
    parts = [read(member).T for member in range(members)]
    plain = settings.task == "regression"
    return np.stack([p if plain else logits(p, settings.task) for p in parts], axis=1)


def learn(x: Array, targets: Array, settings: Competition, blend: Blend, seed: int) -> Stacker:
    """A stacker of features (n, members, c) and targets in the shapes of `competition.metrics`.

    Of several labels and of several numbers each has a model of its own, that sees the members'
    values of that column alone.
    """
    mean, scale = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    scale = np.where(scale > 0, scale, 1)
    x = ((x - mean) / scale).astype(np.float32)
    columns = targets[:, None] if targets.ndim == 1 else targets
    models, classes = [], []
    for column in range(columns.shape[1]):
        y = columns[:, column]
        model = _model(settings.task, blend, seed) if len(np.unique(y)) > 1 else None
        if model is not None:
            model.fit(_seen(x, column, settings), y)
        models.append(model)
        classes.append(np.unique(y))
    return Stacker(models, classes, mean, scale, settings)


def stacked(stacker: Stacker, x: Array) -> Array:
    """Predictions of features (n, members, c), float32 (c, n); a class never seen has 0."""
    settings = stacker.settings
    x = ((x - stacker.mean) / stacker.scale).astype(np.float32)
    out = np.zeros((len(settings.classes), len(x)), np.float32)
    for column, (model, classes) in enumerate(zip(stacker.models, stacker.classes, strict=True)):
        seen = _seen(x, column, settings)
        if settings.task == "regression":
            out[column] = classes[0] if model is None else model.predict(seen)
            continue
        p = np.ones((1, len(x))) if model is None else model.predict_proba(seen).T
        if settings.task == "multilabel":
            out[column] = p[list(classes).index(1)] if 1 in classes else 0
        else:
            out[classes.astype(int)] = p
    return out


def _seen(x: Array, column: int, settings: Competition) -> Array:
    """What a model sees: all values of a row, or all members' of a column."""
    if settings.task in ("multilabel", "regression"):
        return x[:, :, column]
    return x.reshape(len(x), -1)


def _model(task: str, blend: Blend, seed: int) -> Any:
    if blend.learner == "trees":
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        kind = HistGradientBoostingRegressor if task == "regression" else None
        kind = kind or HistGradientBoostingClassifier
        return kind(early_stopping=False, random_state=seed, **TREES)
    from sklearn.linear_model import LogisticRegression, Ridge

    if task == "regression":
        return Ridge(alpha=blend.strength)
    return LogisticRegression(C=1 / blend.strength, max_iter=1000)
