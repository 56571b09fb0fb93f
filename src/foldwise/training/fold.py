"""One fold from its rows to its files."""

import dataclasses
import time
import traceback
from dataclasses import dataclass
from functools import partial
from typing import Any, TextIO

import numpy as np
import pandas as pd
import torch

from foldwise import compose
from foldwise.competition.folds import FrozenFolds
from foldwise.competition.layout import CompetitionData
from foldwise.competition.metrics import score
from foldwise.config import Config
from foldwise.errors import MEMORY_ADVICE, FoldwiseError, out_of_memory
from foldwise.files import out_of_space, shown
from foldwise.images.augment import Normalize
from foldwise.images.load import Images
from foldwise.models.build import build_model, place
from foldwise.prediction.predict import predict
from foldwise.provenance import Provenance, prob_columns
from foldwise.runs import Run
from foldwise.training import checkpoint
from foldwise.training.checkpoint import State
from foldwise.training.device import autocast, seed_for
from foldwise.training.ema import Ema
from foldwise.training.loop import Material, epoch_steps, epochs_of, fit
from foldwise.training.optimizer import make_optimizer
from foldwise.training.progress import Progress, say


@dataclass(frozen=True)
class Job:
    """All that the folds of a run share; ``config`` is resolved, nothing in it is automatic."""

    config: Config
    run: Run
    data: CompetitionData
    split: FrozenFolds
    device: torch.device
    labels: np.ndarray  # int64 (train rows,): positions in data.classes
    images: Images  # of the train rows
    test_images: Images | None
    test_rows: np.ndarray  # int64: the test rows with a usable image; others get the class prior


def train_fold(job: Job, fold: int) -> None:
    """Train one fold and write its files, going on from last.ckpt where there is one.

    Writes oof.parquet, test.parquet, metrics.csv and, last, model.safetensors. The traceback of an
    unexpected error goes to train.log. Raises FoldwiseError and Interrupted.
    """
    with job.run.fold_log(fold) as log:
        if fold in job.run.finished():  # by another process, since this one began
            return
        job.run.still_of(job.config)
        try:
            _train(job, fold, log)
        except FoldwiseError as error:
            log.write(f"{error}\n")
            raise type(error)(f"fold {fold}: {error}") from error
        except Exception as error:
            log.write(traceback.format_exc())
            if out_of_space(error):
                raise
            if out_of_memory(error):
                raise FoldwiseError(f"fold {fold}: {MEMORY_ADVICE}") from error
            reason = (str(error).splitlines() or [""])[0]
            raise FoldwiseError(
                f"fold {fold} failed with {type(error).__name__}: {reason} "
                f"(the traceback is in {shown(job.run.fold_folder(fold) / 'train.log')})"
            ) from error


def _train(job: Job, fold: int, log: TextIO) -> None:
    config, run = job.config, job.run
    train_rows = np.flatnonzero(job.split.fold != fold)
    held_rows = np.flatnonzero(job.split.fold == fold)
    steps = epoch_steps(len(train_rows), config)
    state, normalize = beginning(config, len(job.data.classes), fold, steps, job.device)
    provenance = Provenance(fold, compose.recipe_hash(config), job.split.hash, held_out=[fold])
    last, identity = run.checkpoint(fold), provenance.to_json()
    if last.is_file():
        checkpoint.load(last, identity, state)
        say(log, f"fold {fold} goes on at epoch {state.epoch + 1}, step {state.step + 1}")
    look = partial(
        predict,
        batch_size=2 * config.train.batch_size,
        prepare=normalize,
        autocast=partial(autocast, job.device, config.train.precision),
    )

    def evaluate(state: State) -> dict[str, float]:
        rows = shortened(config, held_rows)
        return _validation(job, rows, look(state.result(), job.images, rows))

    targets = torch.from_numpy(job.labels).to(job.device)
    material = Material(fold, train_rows, job.images, targets, normalize, job.device)
    with Progress(fold, *_images_seen(config, state, len(train_rows)), log) as progress:
        fit(config, material, state, progress, evaluate, partial(checkpoint.save, last, identity))

    classes = job.data.classes
    prior = np.bincount(job.labels[train_rows], minlength=len(classes)) / len(train_rows)
    rows = shortened(config, held_rows)
    probs = look(state.result(), job.images, rows)
    state.history[-1] |= _validation(job, rows, probs)
    held = job.data.train.loc[held_rows, ["id", "label"]].reset_index(drop=True)
    held.insert(1, "fold", np.full(len(held), fold, np.int64))
    table, without = _filled(held, np.arange(len(rows)), probs, prior, classes)
    run.write_predictions(fold, "oof", table, dataclasses.replace(provenance, prior=without))
    if job.test_images is not None and job.data.test is not None:
        rows, began = shortened(config, job.test_rows), time.monotonic()
        probs = look(state.result(), job.test_images, rows)
        log.write(f"test: {len(rows) / (time.monotonic() - began):,.0f} images/s\n")
        table, without = _filled(job.data.test[["id"]], rows, probs, prior, classes)
        run.write_predictions(fold, "test", table, dataclasses.replace(provenance, prior=without))
    say(log, _end_line(job, fold, state.history))
    run.write_metrics(fold, state.history)
    run.write_model(fold, state.result().state_dict(), provenance)
    last.unlink(missing_ok=True)


def beginning(
    config: Config, classes: int, fold: int, steps: int, device: torch.device
) -> tuple[State, Normalize]:
    """A fold that has not taken a step, and what its network wants done to the pixels.

    ``steps``: of an epoch. Raises UsageError and FoldwiseError for what cannot be built.
    """
    torch.manual_seed(seed_for(config.seed, fold))
    built = build_model(config.model, classes, config.images.size)
    network = place(built.network, device, config.train.channels_last)
    state = State(
        network=network,
        ema=Ema(network, config.train.ema) if config.train.ema else None,
        optimizer=make_optimizer(network, config.optimizer, device),
        scaler=torch.amp.GradScaler(device.type, enabled=config.train.precision == "fp16"),
        losses=torch.zeros(steps, device=device),
    )
    return state, Normalize(built.mean, built.std, device, config.train.channels_last)


def _images_seen(config: Config, state: State, rows: int) -> tuple[int, int]:
    """Images that the whole training sees, and those that it has seen."""
    steps, size = len(state.losses), min(config.train.batch_size, rows)
    return epochs_of(config) * steps * size, (state.epoch * steps + state.step) * size


def _validation(job: Job, rows: np.ndarray, probs: np.ndarray) -> dict[str, float]:
    """The held-out fold's columns of metrics.csv."""
    names: dict[str, str] = {"val_loss": "log_loss"}
    names[f"val_{job.config.competition.metric}"] = job.config.competition.metric
    return {column: score(metric, job.labels[rows], probs) for column, metric in names.items()}


def _end_line(job: Job, fold: int, history: list[dict[str, Any]]) -> str:
    metric = job.config.competition.metric
    seconds = sum(row["seconds"] for row in history)
    return f"fold {fold}: {metric} {history[-1][f'val_{metric}']:.4f} after {seconds:,.0f} s"


def _filled(
    known: pd.DataFrame, rows: np.ndarray, probs: np.ndarray, prior: np.ndarray, classes: list[str]
) -> tuple[pd.DataFrame, list[str]]:
    """``known`` with ``probs`` in its ``rows`` and the prior in the others, and their ids."""
    table = np.tile(prior.astype(np.float32), (len(known), 1))
    if len(rows):
        table[rows] = probs
    others = known["id"].drop(index=known.index[rows]).tolist()
    columns = pd.DataFrame(table, columns=prob_columns(classes))
    return pd.concat([known.reset_index(drop=True), columns], axis=1), others


def shortened(config: Config, rows: np.ndarray) -> np.ndarray:
    """The rows to predict: all, or two batches of them when debugging."""
    return rows[: 2 * config.train.batch_size] if config.debug else rows
