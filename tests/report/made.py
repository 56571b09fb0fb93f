"""Runs whose predictions are drawn, written through `Run` as the trainer writes them."""

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from foldwise import compose
from foldwise.begin import begin_run
from foldwise.competition.metrics import metric_of
from foldwise.config import Config
from foldwise.provenance import Provenance, label_frame, prediction_columns
from foldwise.recipe import recipe_hash
from foldwise.runs import Run
from foldwise.whole import combine

HARD = ["猫, 犬", '<b>"owl"</b> & co', "$100$", "a|b", "</script><script>alert(1)</script>"]


def make_run(
    name: str,
    task: str = "multiclass",
    classes: Sequence[str] = ("ant", "bee", "cat", "dog"),
    rows: int = 400,
    folds: Sequence[int] = (0, 1, 2, 3, 4),
    skill: float = 2.0,
    seed: int = 0,
    never: Sequence[str] = (),
    end: bool = True,
    **settings: object,
) -> Run:
    """A run on competition ``made`` whose answers are right more often the larger ``skill``.

    The truth depends on ``rows`` and the classes alone: such runs share their rows. ``never``:
    classes that are never said. ``settings``: of the config, with double underscores for dots.
    ``end=False`` leaves the folds uncombined, as while others are in training.
    """
    config = Config(run=name)
    config.competition.slug, config.competition.task = "made", task
    config.competition.classes = list(classes)
    metric = {"multilabel": "f1_macro", "ordinal": "quadratic_weighted_kappa", "regression": "rmse"}
    config.competition.metric = metric.get(task, "accuracy")
    config.model.name, config.images.size = "convnet2", 8
    for key, value in settings.items():
        compose.set_value(config, key.replace("__", "."), value)
    truth = np.random.default_rng(99)
    noise = np.random.default_rng(seed)
    targets, values = _drawn(config, truth, noise, rows, skill, never)
    ids = [f"id{n:06d}" for n in range(rows)]
    fold_of = truth.permutation(np.arange(rows) % 5)
    run = Run(name)
    begin_run(run, config, "folds", list(folds))
    recipe = recipe_hash(config)
    columns = prediction_columns(config.competition)
    for fold in folds:
        here = fold_of == fold
        names = [classes[n] for n in targets[here]] if targets.ndim == 1 else [""] * here.sum()
        table = pd.DataFrame({"id": np.array(ids)[here], "fold": fold})
        labels = label_frame(config.competition, pd.Series(names, dtype=str), targets[here])
        said = pd.DataFrame(values[here].astype(np.float32), columns=columns)
        origin = Provenance(fold, recipe, "folds", [fold])
        run.write_predictions(fold, "oof", pd.concat([table, labels, said], axis=1), origin)
        run.write_metrics(fold, _history(config, fold))
        _write_model(run, fold)
    if end:
        _, oof, _ = combine(run, ids)
        run.write_scores(_scores(config, oof, targets, values, fold_of, folds))
    return run


def _drawn(
    config: Config,
    truth: np.random.Generator,
    noise: np.random.Generator,
    rows: int,
    skill: float,
    never: Sequence[str],
) -> tuple[np.ndarray, np.ndarray]:
    """Targets and predictions, in the shapes of `competition.metrics`."""
    settings, size = config.competition, len(config.competition.classes)
    if settings.task == "regression":
        targets = truth.normal(5, 2, (rows, size))
        return targets, targets + noise.normal(0, 2 / skill, targets.shape)
    if settings.task == "multilabel":
        targets = (truth.random((rows, size)) < 0.3).astype(np.int64)
        logits = skill * (2 * targets - 1) + noise.normal(0, 1.5, targets.shape)
        return targets, 1 / (1 + np.exp(-logits))
    targets = truth.integers(0, size, rows)
    logits = noise.normal(0, 1, (rows, size))
    logits[np.arange(rows), targets] += skill
    near = (targets + 1) % size
    logits[np.arange(rows), near] += skill / 2
    logits[:, [settings.classes.index(name) for name in never]] -= 50
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    return targets, probs / probs.sum(axis=1, keepdims=True)


def _history(config: Config, fold: int) -> list[dict[str, float]]:
    metric = f"val_{config.competition.metric}"
    return [
        {
            "epoch": epoch + 1, "train_loss": 2 / (epoch + 1),
            "train_accuracy": 1 - 0.6 / (epoch + 1), "lr": 0.01 / (epoch + 1),
            "images_per_second": 1000.0, "waiting": 0.1, "val_loss": 2.1 / (epoch + 1 + fold / 9),
            metric: 1 - 0.5 / (epoch + 1), "seconds": 1.5,
        }
        for epoch in range(6)
    ]  # fmt: skip


def _write_model(run: Run, fold: int) -> None:
    """A model.safetensors of 6 learned numbers, without torch: a header and zeros."""
    tensors = {
        "head.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "bn.running_mean": {"dtype": "F32", "shape": [2], "data_offsets": [24, 32]},
    }
    header = json.dumps({"__metadata__": {"foldwise": "{}"}, **tensors}).encode()
    path = run.fold_folder(fold) / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(32))


def _scores(
    config: Config,
    oof: pd.DataFrame,
    targets: np.ndarray,
    values: np.ndarray,
    fold_of: np.ndarray,
    folds: Sequence[int],
) -> dict[str, object]:
    metric = metric_of(config.competition.metric, config.competition)
    parts = {str(k): metric(targets[fold_of == k], values[fold_of == k]) for k in folds}
    there = np.isin(fold_of, folds)
    return {
        "metric": metric.name, "greater_is_better": metric.greater_is_better, "folds": parts,
        "mean": float(np.mean(list(parts.values()))),
        "std": float(np.std(list(parts.values()), ddof=1)) if len(parts) > 1 else None,
        "oof": metric(targets[there], values[there]), "watched": {}, "selection": "ema",
    }  # fmt: skip
