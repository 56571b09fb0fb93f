"""One fold from its rows to its files."""

import contextlib
import dataclasses
import io
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, TextIO

import numpy as np
import pandas as pd
import torch

from foldwise.begin import refuse_taken
from foldwise.competition.foldfiles import digest
from foldwise.competition.metrics import loss_metric, metric_of, watched
from foldwise.config import Config
from foldwise.device import seed_for
from foldwise.errors import MEMORY_ADVICE, FoldwiseError, out_of_memory
from foldwise.files import out_of_space, shown
from foldwise.images.augment import Normalize
from foldwise.images.load import Images
from foldwise.models.outputs import keep_scale
from foldwise.prediction.fold_model import FoldModel, network_of
from foldwise.provenance import Provenance, label_frame, prediction_columns
from foldwise.recipe import recipe_hash
from foldwise.training import checkpoint, watch
from foldwise.training.budget import Clock, TimeUp
from foldwise.training.checkpoint import State
from foldwise.training.ema import Ema
from foldwise.training.loop import epoch_steps, epochs_of, fit
from foldwise.training.material import Job, Scale, fold_rows, material_of, scale_of
from foldwise.training.optimizer import make_optimizer
from foldwise.training.progress import Progress, say
from foldwise.training.pseudo import FoldLabels, write_labels
from foldwise.training.start import fold_start, holds_out
from foldwise.training.teacher import Teacher, load_teacher
from foldwise.training.tracker import tracker


def train_fold(job: Job, fold: int) -> None:
    """Train one fold and write its files, going on from last.ckpt where there is one.

    Writes oof.parquet, test.parquet, metrics.csv and, last, model.safetensors. The traceback of an
    unexpected error goes to train.log. Raises FoldwiseError, Interrupted and TimeUp.
    """
    first = job.ranks.first
    with job.run.fold_log(fold) if first else contextlib.nullcontext(io.StringIO()) as log:
        if job.ranks.agreed(first and fold in job.run.finished()):  # by another call meanwhile
            return
        refuse_taken(job.run, job.config)
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
    labels = job.pseudo.get(fold)
    count = len(train_rows) + (len(labels.ids) if labels else 0)
    steps = epoch_steps(count, config)
    scale = scale_of(config, job.mended.values[train_rows])
    state, normalize = beginning(config, fold, steps, job.device, scale)
    if state.loaded:
        log.write(state.loaded.line(names=10_000) + "\n")
    teacher = load_teacher(config, fold, normalize, job.device)
    provenance = _origin(job, fold, teacher, labels)
    if labels and job.ranks.first:
        write_labels(config, run, labels, provenance)
        say(log, f"fold {fold} learns {len(labels.ids):,} pseudo-labels")
    last, identity = run.checkpoint(fold), provenance.to_json() + _left_out(job)
    if last.is_file():
        checkpoint.load(last, identity, state)
        say(log, f"fold {fold} goes on at epoch {state.epoch + 1}, step {state.step + 1}")
    state.parallel = job.ranks.parallel(state.network, job.device, config)
    look = partial(_look, job, FoldModel(config, state.result(), normalize, job.device))

    def evaluate(state: State, last: bool) -> dict[str, float]:
        parts = {"inner": inner_rows} if len(inner_rows) else {}
        every = config.train.eval_every
        if watch.optimistic(config) or (every and state.epoch % every == 0 and not last):
            parts["val"] = held_rows
        columns: dict[str, float] = {}
        for part, rows in parts.items():
            rows = shortened(config, rows)
            columns |= _scores(job, part, rows, look(job.images, rows, views="none"))
        return columns

    def save(state: State) -> None:
        if not job.ranks.first:
            return
        checkpoint.save(last, identity, state)
        every = config.train.save_every
        if state.step == 0:
            track(state.history[-1])
            if every and state.epoch % every == 0:
                tensors = state.result().state_dict()
                run.write_model(fold, tensors, provenance, state.epoch)

    material = material_of(job, fold, train_rows, normalize, teacher)
    clock = _clock(job, partial(look, job.images), held_rows)
    track, end_tracking = tracker(config, run, fold, job.ranks.first)
    with Progress(fold, *_images_seen(config, state, count), log) as progress:
        fit(config, material, state, progress, evaluate, save, clock)
    if state.best:
        state.result().load_state_dict(state.best)

    predictions = look(job.images, shortened(config, held_rows))
    chosen = state.history[watch.best_epoch(config, state.history) - 1 if state.best else -1]
    prior = _prior(job, train_rows)
    chosen |= _scores(job, "val", *_with_prior(job, fold, predictions, prior))
    test = _test_predictions(job, look, log)
    if not job.ranks.first:
        return
    _write_predictions(job, fold, provenance, prior, predictions, test)
    track(chosen)
    end_tracking()
    say(log, _end_line(job, fold, state, chosen))
    run.write_metrics(fold, state.history)
    run.write_model(fold, state.result().state_dict(), provenance)
    last.unlink(missing_ok=True)


def _origin(job: Job, fold: int, teacher: Teacher | None, labels: FoldLabels | None) -> Provenance:
    """Of the fold's network and tables: held out is what all that it learns from holds out."""
    known = [part.held_out for part in (teacher, labels) if part]
    kept = all(fold in held_out for held_out in known)
    kept = kept and holds_out(job.config, fold, job.split.hash)
    recipe = recipe_hash(job.config)
    return Provenance(fold, recipe, job.split.hash, [fold] if kept else [])


def _left_out(job: Job) -> str:
    """Stands for the train rows whose images do not decode; '' where all do."""
    names = job.data.train["id"][~job.usable].tolist()
    return f" without {digest([(name, '') for name in names])}" if names else ""


def _look(
    job: Job, model: FoldModel, images: Images, rows: np.ndarray, views: str = ""
) -> np.ndarray:
    """Predictions of the rows, of which each process makes its share."""
    job.ranks.same_buffers(model.network)
    return job.ranks.gathered(model(images, job.ranks.share(rows), views))


def _test_predictions(
    job: Job, look: Callable[[Images, np.ndarray], np.ndarray], log: TextIO
) -> np.ndarray | None:
    """Of the usable test rows; None without a test set."""
    if job.test_images is None:
        return None
    began = time.monotonic()
    test = look(job.test_images, shortened(job.config, job.test_rows))
    log.write(f"test: {len(test) / (time.monotonic() - began):,.0f} images/s\n")
    return test


def _write_predictions(
    job: Job,
    fold: int,
    provenance: Provenance,
    prior: np.ndarray,
    oof: np.ndarray,
    test: np.ndarray | None,
) -> None:
    """oof.parquet and test.parquet; rows without a prediction get the ``prior``."""
    config, held_rows = job.config, np.flatnonzero(job.split.fold == fold)
    places = shortened(config, np.flatnonzero(job.usable[held_rows]))
    known = [("oof", _known(job, fold, held_rows), places, oof)]
    if test is not None and job.data.test is not None:
        rows = shortened(config, job.test_rows)
        known.append(("test", job.data.test[["id"]], rows, test))
    for name, table, rows, values in known:
        filled, without = _filled(config, table, rows, values, prior)
        origin = dataclasses.replace(provenance, prior=without)
        job.run.write_predictions(fold, name, filled, origin)


def beginning(
    config: Config, fold: int, steps: int, device: torch.device, scale: Scale | None = None
) -> tuple[State, Normalize]:
    """A fold that has not taken a step, and what its network wants done to the pixels.

    ``config`` is resolved. ``steps``: of an epoch; ``scale``: what a regression's targets are
    standardised with. Raises UsageError and FoldwiseError for what cannot be built.
    """
    torch.manual_seed(seed_for(config.seed, fold))
    built, normalize = network_of(fold_start(config, fold), device)
    network = built.network
    if scale:
        keep_scale(network, *(torch.from_numpy(part).to(device) for part in scale))
    state = State(
        network=network,
        ema=Ema(network, config.train.ema, config.train.ema_warmup) if config.train.ema else None,
        optimizer=make_optimizer(network, config.optimizer, device),
        scaler=torch.amp.GradScaler(device.type, enabled=config.train.precision == "fp16"),
        losses=torch.zeros(steps, device=device),
        right=torch.zeros(steps, dtype=torch.int64, device=device),
        total=epochs_of(config) * steps,
        loaded=built.loaded,
    )
    if config.train.compile == "on":
        built.network.compile()
    return state, normalize


def _prior(job: Job, train_rows: np.ndarray) -> np.ndarray:
    """float64 (classes,): the classes' shares of the training rows, or the numbers' means."""
    values = job.mended.values[train_rows]
    if values.ndim == 2:
        return values.mean(axis=0)
    return np.bincount(values, minlength=len(job.data.classes)) / len(values)


def _with_prior(
    job: Job, fold: int, predictions: np.ndarray, prior: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The held-out rows and what is said of them: those without a usable image have the prior."""
    held = job.split.fold == fold
    rows, others = np.flatnonzero(held & job.usable), np.flatnonzero(held & ~job.usable)
    said = np.tile(prior.astype(np.float32), (len(others), 1))
    together = np.concatenate([predictions.reshape(-1, len(prior)), said])
    return np.concatenate([shortened(job.config, rows), others]), together


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
    each = (time.monotonic() - began) / max(1, len(sample))
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
