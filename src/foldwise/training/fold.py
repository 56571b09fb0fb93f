"""One fold from its rows to its files."""

import dataclasses
import time
import traceback
from collections.abc import Callable
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
from foldwise.competition.splits import inner_part
from foldwise.config import Config
from foldwise.device import autocast, seed_for
from foldwise.errors import MEMORY_ADVICE, FoldwiseError, out_of_memory
from foldwise.files import out_of_space, shown
from foldwise.images.augment import Normalize
from foldwise.images.load import Images
from foldwise.images.pipeline import Pipeline
from foldwise.models.build import build_model, place
from foldwise.models.outputs import keep_scale, outputs, reader
from foldwise.prediction.predict import predict
from foldwise.prediction.tta import SIMPLE, views_of
from foldwise.provenance import Provenance, label_frame, prediction_columns
from foldwise.runs import Run
from foldwise.training import checkpoint, watch
from foldwise.training.budget import Budget, Clock, TimeUp
from foldwise.training.checkpoint import State
from foldwise.training.ema import Ema
from foldwise.training.loop import Material, epoch_steps, epochs_of, fit
from foldwise.training.optimizer import make_optimizer
from foldwise.training.progress import Progress, say
from foldwise.training.samplers import fraction_of, strata
from foldwise.training.teacher import Teacher, load_teacher
from foldwise.training.tracker import tracker
from foldwise.training.weights import class_weights, row_weights

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
    budget: Budget | None = None  # the time of `train.hours`


def train_fold(job: Job, fold: int) -> None:
    """Train one fold and write its files, going on from last.ckpt where there is one.

    Writes oof.parquet, test.parquet, metrics.csv and, last, model.safetensors. The traceback of an
    unexpected error goes to train.log. Raises FoldwiseError, Interrupted and TimeUp.
    """
    with job.run.fold_log(fold) as log:
        if fold in job.run.finished():  # by another process, since this one began
            return
        job.run.still_of(job.config)
        try:
            _train(job, fold, log)
            if job.budget:
                job.budget.folds -= 1
        except TimeUp:
            raise
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
    train_rows, inner_rows, held_rows = fold_rows(job, fold)
    steps = epoch_steps(len(train_rows), config)
    scale = scale_of(config, job.mended.values[train_rows])
    state, normalize = beginning(config, fold, steps, job.device, scale)
    if state.loaded:
        log.write(state.loaded.line(names=10_000) + "\n")
    teacher = load_teacher(config, fold, normalize, job.device)
    held_out = [fold] if teacher is None or fold in teacher.held_out else []
    provenance = Provenance(fold, compose.recipe_hash(config), job.split.hash, held_out)
    last, identity = run.checkpoint(fold), provenance.to_json()
    if last.is_file():
        checkpoint.load(last, identity, state)
        say(log, f"fold {fold} goes on at epoch {state.epoch + 1}, step {state.step + 1}")
    look = partial(
        predict,
        batch_size=2 * config.train.batch_size,
        prepare=normalize,
        autocast=partial(autocast, job.device, config.train.precision),
        read=reader(config.loss.name, config.competition.task, state.result()),
        views=list(views_of(config.tta.views, config.images.size).values()),
        space=config.tta.space,
    )

    def evaluate(state: State, last: bool) -> dict[str, float]:
        parts = {"inner": inner_rows} if len(inner_rows) else {}
        every = config.train.eval_every
        if watch.optimistic(config) or (every and state.epoch % every == 0 and not last):
            parts["val"] = held_rows
        columns: dict[str, float] = {}
        for part, rows in parts.items():
            rows = shortened(config, rows)
            seen = look(state.result(), job.images, rows, views=[SIMPLE["plain"]])
            columns |= _scores(job, part, rows, seen)
        return columns

    def save(state: State) -> None:
        checkpoint.save(last, identity, state)
        every = config.train.save_every
        if state.step == 0:
            track(state.history[-1])
            if every and state.epoch % every == 0:
                tensors = state.result().state_dict()
                run.write_model(fold, tensors, provenance, f"epoch{state.epoch:03d}")

    material = _material(job, fold, train_rows, scale, normalize, teacher)
    clock = _clock(job, partial(look, state.result(), job.images), held_rows)
    track, end_tracking = tracker(config, run, fold)
    with Progress(fold, *_images_seen(config, state, len(train_rows)), log) as progress:
        fit(config, material, state, progress, evaluate, save, clock)
    if state.best:
        state.result().load_state_dict(state.best)

    prior = _prior(job, train_rows)
    rows = shortened(config, held_rows)
    predictions = look(state.result(), job.images, rows)
    chosen = state.history[watch.best_epoch(config, state.history) - 1 if state.best else -1]
    chosen |= _scores(job, "val", rows, predictions)
    held = _known(job, fold, held_rows)
    table, without = _filled(config, held, np.arange(len(rows)), predictions, prior)
    run.write_predictions(fold, "oof", table, dataclasses.replace(provenance, prior=without))
    if job.test_images is not None and job.data.test is not None:
        rows, began = shortened(config, job.test_rows), time.monotonic()
        predictions = look(state.result(), job.test_images, rows)
        log.write(f"test: {len(rows) / (time.monotonic() - began):,.0f} images/s\n")
        table, without = _filled(config, job.data.test[["id"]], rows, predictions, prior)
        run.write_predictions(fold, "test", table, dataclasses.replace(provenance, prior=without))
    track(chosen)
    end_tracking()
    say(log, _end_line(job, fold, state, chosen))
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
    width = outputs(config.loss.name, len(config.competition.classes))
    built = build_model(config.model, width, config.images.size)
    network = place(built.network, device, config.train.channels_last)
    if scale:
        keep_scale(network, *(torch.from_numpy(part).to(device) for part in scale))
    state = State(
        network=network,
        ema=Ema(network, config.train.ema, config.train.ema_warmup) if config.train.ema else None,
        optimizer=make_optimizer(network, config.optimizer, device),
        scaler=torch.amp.GradScaler(device.type, enabled=config.train.precision == "fp16"),
        losses=torch.zeros(steps, device=device),
        total=epochs_of(config) * steps,
        loaded=built.loaded,
    )
    if config.train.compile == "on":
        network.compile()
    return state, Normalize(built.mean, built.std, device, config.train.channels_last)


def fold_rows(job: Job, fold: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """int64, sorted: the rows that a fold trains on, watches and is scored on.

    It trains on what the other folds have, without dropped rows, or on a fraction of it, and
    without those that are watched, if anything watches. Raises FoldwiseError where nothing is left.
    """
    config = job.config
    rows = np.flatnonzero((job.split.fold != fold) & job.mended.kept)
    held_rows = np.flatnonzero(job.split.fold == fold)
    if not len(rows):
        raise FoldwiseError("corrections.csv drops all of its training rows: keep some")
    if config.data.fraction < 1:
        classes = strata(job.mended.values[rows], config.competition.task)
        rows = fraction_of(rows, classes, config.data.fraction, config.seed)
    if not watch.inner(config):
        return rows, rows[:0], held_rows
    seed = seed_for(config.seed, fold) % 2**32
    part = inner_part(job.data, rows, config.train.inner, seed)
    return rows[~part], rows[part], held_rows


def scale_of(config: Config, values: np.ndarray) -> Scale | None:
    """Mean and standard deviation, float64 (m,), of a regression's training targets (n, m)."""
    if config.competition.task != "regression":
        return None
    spread = values.std(axis=0)
    return values.mean(axis=0), np.where(spread > 0, spread, 1.0)


def _material(
    job: Job,
    fold: int,
    rows: np.ndarray,
    scale: Scale | None,
    normalize: Normalize,
    teacher: Teacher | None,
) -> Material:
    """What the fold trains on, with the weights and classes that the settings ask for."""
    config, values = job.config, job.mended.values[rows]
    by_class = class_weights(config, values)
    by_row = row_weights(config, job.data, rows)
    balanced = config.data.sampler != "shuffle"
    return Material(
        fold, rows, job.images, _training_tensor(job, scale).to(job.device), normalize, job.device,
        job.pipeline,
        classes=strata(values, config.competition.task) if balanced else None,
        class_weights=None if by_class is None else torch.from_numpy(by_class).to(job.device),
        row_weights=None if by_row is None else torch.from_numpy(by_row).to(job.device),
        teacher=teacher,
    )  # fmt: skip


def _training_tensor(job: Job, scale: Scale | None) -> torch.Tensor:
    """The targets as the loss wants them: class indices, float flags, or standardised numbers."""
    values = job.mended.values
    if scale:
        values = (values - scale[0]) / scale[1]
    return torch.from_numpy(values if values.ndim == 1 else values.astype(np.float32))


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


def _clock(job: Job, look: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> Clock | None:
    """The time that `train.hours` gives the fold, less that of its predictions (from a few)."""
    if job.budget is None:
        return None
    sample = rows[: 4 * job.config.train.batch_size]
    look(sample)  # the first is slower
    began = time.monotonic()
    look(sample)
    each = (time.monotonic() - began) / len(sample)
    deadline = job.budget.deadline(each * (len(rows) + len(job.test_rows)))
    clock = Clock(deadline, planned=not job.config.train.epochs)
    if clock.up():
        raise TimeUp
    return clock


def _images_seen(config: Config, state: State, rows: int) -> tuple[int, int]:
    """Images that the whole training sees, and those that it has seen."""
    size = min(config.train.batch_size, rows)
    return state.total * size, state.taken * size


def _scores(job: Job, part: str, rows: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """The columns of metrics.csv of a part of the train rows: val (the held-out fold) or inner."""
    settings = job.config.competition
    targets = (job.mended if part == "inner" else job.data.targets).values[rows]
    metrics = [metric_of(settings.metric, settings), *watched(settings)]
    columns = {f"{part}_loss": loss_metric(settings)(targets, predictions)}
    return columns | {f"{part}_{metric.name}": metric(targets, predictions) for metric in metrics}


def _end_line(job: Job, fold: int, state: State, chosen: dict[str, Any]) -> str:
    metric, history = job.config.competition.metric, state.history
    seconds = sum(row["seconds"] for row in history)
    line = f"fold {fold}: {metric} {chosen[f'val_{metric}']:.4f} after {seconds:,.0f} s"
    if state.best:
        line += f", epoch {chosen['epoch']} of {len(history)}"
    if watch.optimistic(job.config):
        line += " (optimistic: train.watch=fold)"
    return line


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
