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
from foldwise.competition.corrections import TrainingTargets
from foldwise.competition.folds import FrozenFolds
from foldwise.competition.layout import CompetitionData
from foldwise.competition.metrics import loss_metric, metric_of, watched
from foldwise.config import Config
from foldwise.device import seed_for
from foldwise.errors import MEMORY_ADVICE, FoldwiseError, out_of_memory
from foldwise.files import out_of_space, shown
from foldwise.images.augment import Normalize
from foldwise.images.load import Images
from foldwise.images.pipeline import Pipeline
from foldwise.models.outputs import keep_scale
from foldwise.prediction.fold_model import FoldModel, network_of
from foldwise.provenance import Provenance, label_frame, prediction_columns
from foldwise.runs import Run
from foldwise.training import checkpoint
from foldwise.training.checkpoint import State
from foldwise.training.ema import Ema
from foldwise.training.loop import Material, epoch_steps, epochs_of, fit
from foldwise.training.optimizer import make_optimizer
from foldwise.training.progress import Progress, say

Scale = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Job:
    """All that the folds of a run share; ``config`` is resolved, nothing in it is automatic."""

    config: Config
    run: Run
    data: CompetitionData
    split: FrozenFolds
    device: torch.device
    mended: TrainingTargets  # what is trained on: targets after corrections, and which rows
    images: Images  # of the train rows
    test_images: Images | None
    test_rows: np.ndarray  # int64: the test rows with a usable image; others get the class prior
    pipeline: Pipeline | None = None  # what augments on the CPU


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
    train_rows = training_rows(job, fold)
    held_rows = np.flatnonzero(job.split.fold == fold)
    if not len(train_rows):
        raise FoldwiseError("corrections.csv drops all of its training rows: keep some")
    steps = epoch_steps(len(train_rows), config)
    scale = scale_of(config, job.mended.values[train_rows])
    state, normalize = beginning(config, fold, steps, job.device, scale)
    if state.loaded:
        log.write(state.loaded.line(names=10_000) + "\n")
    provenance = Provenance(fold, compose.recipe_hash(config), job.split.hash, held_out=[fold])
    last, identity = run.checkpoint(fold), provenance.to_json()
    if last.is_file():
        checkpoint.load(last, identity, state)
        say(log, f"fold {fold} goes on at epoch {state.epoch + 1}, step {state.step + 1}")
    look = FoldModel(config, state.result(), normalize, job.device)

    def evaluate(state: State) -> dict[str, float]:
        rows = shortened(config, held_rows)
        return _validation(job, rows, look(job.images, rows, views="none"))

    material = material_of(job, fold, normalize)
    with Progress(fold, *_images_seen(config, state, len(train_rows)), log) as progress:
        fit(config, material, state, progress, evaluate, partial(checkpoint.save, last, identity))

    prior = _prior(job, train_rows)
    rows = shortened(config, held_rows)
    predictions = look(job.images, rows)
    state.history[-1] |= _validation(job, rows, predictions)
    held = _known(job, fold, held_rows)
    table, without = _filled(config, held, np.arange(len(rows)), predictions, prior)
    run.write_predictions(fold, "oof", table, dataclasses.replace(provenance, prior=without))
    if job.test_images is not None and job.data.test is not None:
        rows, began = shortened(config, job.test_rows), time.monotonic()
        predictions = look(job.test_images, rows)
        log.write(f"test: {len(rows) / (time.monotonic() - began):,.0f} images/s\n")
        table, without = _filled(config, job.data.test[["id"]], rows, predictions, prior)
        run.write_predictions(fold, "test", table, dataclasses.replace(provenance, prior=without))
    say(log, _end_line(job, fold, state.history))
    run.write_metrics(fold, state.history)
    run.write_model(fold, state.result().state_dict(), provenance)
    last.unlink(missing_ok=True)


def beginning(
    config: Config, fold: int, steps: int, device: torch.device, scale: Scale | None = None
) -> tuple[State, Normalize]:
    """A fold that has not taken a step, and what its network wants done to the pixels.

    ``config`` is resolved. ``steps``: of an epoch; ``scale``: what a regression's targets are
    standardised with. Raises UsageError and FoldwiseError for what cannot be built.
    """
    torch.manual_seed(seed_for(config.seed, fold))
    built, normalize = network_of(config, device)
    network = built.network
    if scale:
        keep_scale(network, *(torch.from_numpy(part).to(device) for part in scale))
    state = State(
        network=network,
        ema=Ema(network, config.train.ema) if config.train.ema else None,
        optimizer=make_optimizer(network, config.optimizer, device),
        scaler=torch.amp.GradScaler(device.type, enabled=config.train.precision == "fp16"),
        losses=torch.zeros(steps, device=device),
        loaded=built.loaded,
    )
    return state, normalize


def scale_of(config: Config, values: np.ndarray) -> Scale | None:
    """Mean and standard deviation, float64 (m,), of a regression's training targets (n, m)."""
    if config.competition.task != "regression":
        return None
    spread = values.std(axis=0)
    return values.mean(axis=0), np.where(spread > 0, spread, 1.0)


def training_rows(job: Job, fold: int) -> np.ndarray:
    """int64: the rows that a fold trains on."""
    return np.flatnonzero((job.split.fold != fold) & job.mended.kept)


def material_of(job: Job, fold: int, normalize: Normalize) -> Material:
    """What a fold trains on: class indices, float flags, or standardised numbers as targets."""
    rows, values = training_rows(job, fold), job.mended.values
    if scale := scale_of(job.config, values[rows]):
        values = (values - scale[0]) / scale[1]
    values = values if values.ndim == 1 else values.astype(np.float32)
    targets = torch.from_numpy(values).to(job.device)
    return Material(fold, rows, job.images, targets, normalize, job.device, job.pipeline)


def _prior(job: Job, train_rows: np.ndarray) -> np.ndarray:
    """float64 (classes,): the classes' shares of the training rows, or the numbers' means."""
    values = job.mended.values[train_rows]
    if values.ndim == 2:
        return values.mean(axis=0)
    return np.bincount(values, minlength=len(job.data.classes)) / len(values)


def _known(job: Job, fold: int, rows: np.ndarray) -> pd.DataFrame:
    """id, fold and the labels that are scored, of held-out rows."""
    train = job.data.train
    labels = label_frame(job.config.competition, train["label"], job.data.targets.values)
    held = pd.concat([train[["id"]], labels], axis=1).loc[rows].reset_index(drop=True)
    held.insert(1, "fold", np.full(len(held), fold, np.int64))
    return held


def _images_seen(config: Config, state: State, rows: int) -> tuple[int, int]:
    """Images that the whole training sees, and those that it has seen."""
    steps, size = len(state.losses), min(config.train.batch_size, rows)
    return epochs_of(config) * steps * size, (state.epoch * steps + state.step) * size


def _validation(job: Job, rows: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """The held-out fold's columns of metrics.csv."""
    settings, targets = job.config.competition, job.data.targets.values[rows]
    metrics = [metric_of(settings.metric, settings), *watched(settings)]
    columns = {"val_loss": loss_metric(settings)(targets, predictions)}
    return columns | {f"val_{metric.name}": metric(targets, predictions) for metric in metrics}


def _end_line(job: Job, fold: int, history: list[dict[str, Any]]) -> str:
    metric = job.config.competition.metric
    seconds = sum(row["seconds"] for row in history)
    return f"fold {fold}: {metric} {history[-1][f'val_{metric}']:.4f} after {seconds:,.0f} s"


def _filled(
    config: Config, known: pd.DataFrame, rows: np.ndarray, values: np.ndarray, prior: np.ndarray
) -> tuple[pd.DataFrame, list[str]]:
    """``known`` with ``values`` in its ``rows`` and the prior in the others, and their ids."""
    table = np.tile(prior.astype(np.float32), (len(known), 1))
    if len(rows):
        table[rows] = values
    others = known["id"].drop(index=known.index[rows]).tolist()
    columns = pd.DataFrame(table, columns=prediction_columns(config.competition))
    return pd.concat([known.reset_index(drop=True), columns], axis=1), others


def shortened(config: Config, rows: np.ndarray) -> np.ndarray:
    """The rows to predict: all, or two batches of them when debugging."""
    return rows[: 2 * config.train.batch_size] if config.debug else rows
