"""What stands out in a run, and what to try next."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from foldwise.report.predictions import Predictions

CERTAIN = 0.95  # confidence of a mistake that may be the label's
FAR = 4.0  # standard errors from which a slice is worth a line: there are many slices
UNSURE = 0.03  # calibration error from which it is worth a line
RISE = 1.05  # of the validation loss over its lowest, from which training went on too long
MANY = 20  # mistakes from which it says something how they are spread
FALL = 0.97  # of the validation loss in the last fifth of the epochs: it was still learning


@dataclass(frozen=True)
class Advice:
    what: str
    do: str


def advice(
    analysis: dict[str, Any], predictions: Predictions, histories: Sequence[pd.DataFrame]
) -> list[Advice]:
    """The most telling first; nothing where nothing stands out."""
    found = [*_training(histories), *_folds(analysis, predictions)]
    if analysis["task"] == "regression":
        found += _numbers(analysis)
    else:
        found += [*_classes(analysis), *_confidence(analysis, predictions)]
    return found + _slices(analysis)


def _training(histories: Sequence[pd.DataFrame]) -> list[Advice]:
    """By the validation loss alone: train_loss is another quantity, above or below it for reasons
    (smoothing, augmentation, a regression's scale) that say nothing of over- or underfitting."""
    losses = [h["val_loss"].dropna() for h in histories if "val_loss" in h]
    if not losses or min(map(len, losses)) < 5:
        return []
    length = min(map(len, losses))
    mean = np.mean([loss.to_numpy()[-length:] for loss in losses], axis=0)
    lowest = int(mean.argmin())
    if mean[-1] > RISE * mean[lowest]:
        epoch = int(losses[0].index[-1]) - (length - 1 - lowest) + 1
        return [
            Advice(
                f"The validation loss is lowest after epoch {epoch} "
                f"({mean[lowest]:.3f}) and {mean[-1]:.3f} at the end: overfitting",
                "stronger augmentation (augment.preset, mixup, cutmix), optimizer.weight_decay, "
                "model.drop_rate, or fewer train.epochs",
            )
        ]
    before = mean[-max(2, length // 5) - 1]
    if mean[-1] < FALL * before:
        return [
            Advice(
                f"The validation loss was still falling ({before:.3f} to {mean[-1]:.3f} in the "
                "last fifth of the epochs)",
                "more train.epochs, or a larger optimizer.lr",
            )
        ]
    return []


def _folds(analysis: dict[str, Any], predictions: Predictions) -> list[Advice]:
    """Folds that differ by more than as many random rows would (accuracy of classes only)."""
    if analysis["task"] == "regression":
        return []
    rows = [predictions.good[predictions.fold == fold] for fold in np.unique(predictions.fold)]
    if len(rows) < 3:
        return []
    shares = np.array([part.mean() for part in rows])
    share = predictions.good.mean()
    chance = np.sqrt(share * (1 - share) / np.mean([len(part) for part in rows]))
    if not chance or shares.std(ddof=1) < 2 * chance:
        return []
    worst = int(np.unique(predictions.fold)[shares.argmin()])
    return [
        Advice(
            f"The folds differ more than chance would have it (accuracy {shares.min():.3f} to "
            f"{shares.max():.3f}, expected spread {chance:.3f}); fold {worst} is the hardest",
            "look at what its rows have in common; if they belong together, split with folds.group",
        )
    ]


def _classes(analysis: dict[str, Any]) -> list[Advice]:
    found = []
    never = [one for one in analysis["classes"] if one["support"] and not one["said"]]
    if never:
        names = ", ".join(f"{one['class']} ({one['support']:,} rows)" for one in never[:5])
        more = f" and {len(never) - 5} more" if len(never) > 5 else ""
        do = "loss.class_weights=inverse, or data.sampler=balanced"
        found.append(Advice(f"Never said: {names}{more}", do))
    wrong = round((1 - analysis["averages"]["accuracy"]) * analysis["rows"])
    both: dict[frozenset[str], int] = {}
    for pair in analysis["pairs"]:
        key = frozenset((pair["true"], pair["said"]))
        both[key] = both.get(key, 0) + pair["rows"]
    top = sorted(both.items(), key=lambda item: -item[1])[:3]
    share = sum(rows for _, rows in top) / max(wrong, 1)
    size = len(analysis["classes"])
    usual = len(top) / max(size * (size - 1) / 2, 1)
    if wrong >= MANY and share > max(0.3, 3 * usual) and analysis["task"] != "multilabel":
        names = "; ".join(" and ".join(sorted(pair)) for pair, _ in top)
        found.append(
            Advice(
                f"{share:.0%} of the {wrong:,} mistakes are in {len(top)} pairs: {names}",
                "look at these images: larger images.size, or augmentation that keeps them apart",
            )
        )
    return found


def _confidence(analysis: dict[str, Any], predictions: Predictions) -> list[Advice]:
    found = []
    sure = int(((predictions.good == 0) & (predictions.confidence >= CERTAIN)).sum())
    if sure and analysis["task"] != "multilabel":
        found.append(
            Advice(
                f"{sure:,} rows are wrong with a confidence of {CERTAIN:.0%} or more",
                "look at the worst mistakes: wrong labels belong into corrections.csv",
            )
        )
    calibration = analysis["calibration"]
    if calibration["ece"] >= UNSURE:
        high = calibration["bias"] > 0
        too = "too sure of itself" if high else "less sure than it is right"
        do = f"{'' if high else 'less '}loss.smoothing or mixup, or a blend with post=temperature"
        if analysis["task"] == "multilabel":
            too = f"too {'high' if high else 'low'} in its probabilities"
            do = "a threshold for each class (competition.thresholds)"
        found.append(
            Advice(
                f"It is {too}: calibration error {calibration['ece']:.3f}",
                f"{do}, where the metric weighs probabilities",
            )
        )
    return found


def _numbers(analysis: dict[str, Any]) -> list[Advice]:
    found = []
    for one in analysis["numbers"]:
        if one["rmse"] and abs(one["bias"]) > 0.2 * one["rmse"]:
            side = "high" if one["bias"] > 0 else "low"
            found.append(
                Advice(
                    f"{one['number']} is predicted {abs(one['bias']):.3g} too {side} on average",
                    "loss.name=mse fits the mean; mae fits the median",
                )
            )
    return found


def _slices(analysis: dict[str, Any]) -> list[Advice]:
    rows = [
        one for one in analysis.get("slices") or [] if one["z"] is not None and one["z"] <= -FAR
    ]
    return [
        Advice(
            f"Rows with {one['column']} = {one['value']} do worse: {analysis['metric']} "
            f"{one['score'] if one['score'] is None else round(one['score'], 4)} over "
            f"{one['rows']:,} rows",
            "see the slices below; more of such rows, or augmentation towards them",
        )
        for one in rows[:3]
    ]
