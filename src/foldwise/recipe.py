"""What makes two configs the same recipe: the settings that shape the result, and their hash."""

import hashlib
import json
from typing import Any

from foldwise.compose import flat, set_value
from foldwise.config import DECIDED, DECIDING, NOT_THE_RESULT, Config

# Settings whose default means "decide": a run that goes on keeps what was decided when it was made.
AUTOMATIC = (
    *("competition.task", "competition.metric", "competition.classes", "images.size"),
    *("model.name", "model.in_chans", "loss.name", "train.precision"),
)


def recipe_hash(config: Config) -> str:
    """SHA-256 (hex) over the settings that shape the result, and over nothing else.

    Those at their defaults are left out, so that a setting that a later version adds changes no
    hash of an earlier one.
    """
    default, shaping = flat(Config()), _shaping(config)
    others = {key: value for key, value in shaping.items() if value != default[key]}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


def _shaping(config: Config) -> dict[str, Any]:
    """The settings that shape the result: some of them only where they decide something.

    train.hours where it decides the epochs, the metric where it is watched.
    """
    left_out = NOT_THE_RESULT | ({"train.hours"} if config.train.epochs else set())
    if watches(config):
        left_out = left_out - {"competition.metric"}
        if config.competition.metric.partition(":")[0] in DECIDED:
            left_out = left_out - DECIDING
    return {key: value for key, value in flat(config).items() if key not in left_out}


def watches(config: Config) -> bool:
    """Whether the metric is looked at after each epoch: it chooses weights, rates or the end."""
    train = config.train
    return bool(train.patience or train.keep == "best" or config.schedule.name == "plateau")


def differences(old: Config, new: Config) -> list[str]:
    """``key: old -> new`` for each setting that makes the two another recipe."""
    before, after = flat(old), flat(new)
    keys = _shaping(old).keys() | _shaping(new).keys()
    return [f"{k}: {v} -> {after[k]}" for k, v in before.items() if k in keys and v != after[k]]


def adopt(config: Config, stored: Config) -> None:
    """Fill the automatic settings that the command leaves open with what the run decided."""
    default, ours, theirs = flat(Config()), flat(config), flat(stored)
    for key in AUTOMATIC:
        if ours[key] == default[key]:
            set_value(config, key, theirs[key])
    if not config.train.batch_size:
        config.train.batch_size = stored.train.batch_size
        config.optimizer.lr_batch = stored.optimizer.lr_batch
