"""The training loop: one for every device, model and data set."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from foldwise import interrupt
from foldwise.config import Config
from foldwise.device import autocast, seed_for
from foldwise.errors import FoldwiseError, Interrupted
from foldwise.images.augment import Normalize, augment
from foldwise.images.load import Images, to_device
from foldwise.images.mixing import mix, mixes, soft_targets
from foldwise.images.pipeline import Pipeline
from foldwise.training.checkpoint import State
from foldwise.training.groups import freeze
from foldwise.training.losses import loss_of
from foldwise.training.optimizer import clip_gradients, set_rates
from foldwise.training.progress import Progress
from foldwise.training.schedule import learning_rate, momentum


@dataclass(frozen=True)
class Material:
    """What a fold trains on: ``rows`` of ``images``, with ``targets`` for all of the images."""

    fold: int
    rows: np.ndarray  # int64, the training rows
    images: Images
    targets: Tensor  # (images,) or (images, classes) on the device, as the loss wants them
    normalize: Normalize
    device: torch.device
    pipeline: Pipeline | None = None  # what happens to each image on the CPU


def epoch_steps(rows: int, config: Config) -> int:
    """Steps in an epoch, each a batch.

    Whole batches only, `train.accumulate` of them to an update; where the rows are too few for one
    update, as many batches as there are; one short batch where there is no whole one.
    """
    batches, together = rows // config.train.batch_size, config.train.accumulate
    steps = batches // together * together or max(1, batches)
    return min(2, steps) if config.debug else steps


def epochs_of(config: Config) -> int:
    return 1 if config.debug else config.train.epochs


def fit(
    config: Config,
    material: Material,
    state: State,
    progress: Progress,
    evaluate: Callable[[State], dict[str, float]],
    save: Callable[[State], None],
    watch: Callable[[State], float] | None = None,
) -> None:
    """Train from where ``state`` stands to the last epoch.

    ``evaluate`` gives an epoch's columns of metrics.csv beyond the loop's own (the caller adds the
    last epoch's, from the predictions that it makes anyway); ``save`` is called at the end of each
    epoch, and when a signal asks to stop; ``watch`` gives the value that a plateau schedule waits
    for, after each epoch, more being better. Raises FoldwiseError when the loss is
    not finite, Interrupted after a signal.
    """
    with interrupt.deferred():
        while state.epoch < epochs_of(config):
            began, first = time.monotonic(), state.step
            state.waited, ready = 0.0, began
            if config.optimizer.freeze_epochs:
                frozen = state.epoch < config.optimizer.freeze_epochs
                freeze(state.network, state.optimizer, frozen)
            for rows, batch in _batches(config, material, state.epoch, first, len(state.losses)):
                state.waited += time.monotonic() - ready
                step(config, material, state, rows, batch)
                ready = time.monotonic()
                progress.advance(len(rows))
                if progress.due():
                    loss = _finite_loss(config, state)
                    rate = _rate(config, state, state.step - 1)
                    progress.show(state.epoch, epochs_of(config), loss, rate)
                if state.step % config.train.accumulate == 0 and interrupt.pending():
                    save(state)
                    raise Interrupted(interrupt.pending())
            _finite_loss(config, state)
            _end_epoch(config, material, state, began, first, evaluate)
            if watch:
                state.plateau = state.plateau.after(watch(state), config.schedule)
            progress.line(_epoch_line(config, material.fold, state))
            save(state)
            if interrupt.pending():
                raise Interrupted(interrupt.pending())


def step(config: Config, material: Material, state: State, rows: np.ndarray, batch: Tensor) -> None:
    """One batch: forward and backward, and an update after each `train.accumulate` of them.

    Nothing in here waits for the device.
    """
    position = state.epoch * len(state.losses) + state.step
    torch.manual_seed(seed_for(config.seed, material.fold, state.epoch, state.step))
    began = time.monotonic()
    pixels, targets = prepared(config, material, position, rows, batch)
    state.waited += time.monotonic() - began  # on a GPU: until it is all launched
    with autocast(material.device, config.train.precision):
        logits = state.network(pixels)
    multilabel = config.competition.task == "multilabel"
    loss = loss_of(config.loss, logits.float(), targets, multilabel)
    first = state.step - state.step % config.train.accumulate
    together = min(config.train.accumulate, len(state.losses) - first)
    if state.step == first:
        state.optimizer.zero_grad(set_to_none=True)
    state.scaler.scale(loss / together if together > 1 else loss).backward()
    if state.step == first + together - 1:
        _update(config, state)
    state.losses[state.step] = loss.detach()
    state.step += 1


def _update(config: Config, state: State) -> None:
    """A step of the optimizer, with the gradients and at the rate of this moment."""
    number, total, _ = _updates(config, state, state.step)
    rate = _rate(config, state, state.step)
    set_rates(state.optimizer, rate, momentum(number, total, config.schedule))
    if config.optimizer.clip:
        state.scaler.unscale_(state.optimizer)
        clip_gradients(state.network, state.optimizer, config.optimizer)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    if state.ema:
        state.ema.update(number)


def prepared(
    config: Config, material: Material, position: int, rows: np.ndarray, batch: Tensor
) -> tuple[Tensor, Tensor]:
    """What the network sees of uint8 images, and what it is to say: augmented, normalised, mixed.

    ``position``: the step, counted from the beginning of the training. The caller has seeded.
    """
    half = material.device.type == "cuda" and config.train.precision != "fp32"
    images = augment(batch, config.augment, torch.float16 if half else torch.float32)
    pixels = material.normalize(images)
    targets = material.targets[to_device(torch.from_numpy(rows), material.device)]
    if not mixes(config.augment):
        return pixels, targets
    soft = soft_targets(targets, len(config.competition.classes))
    return mix(pixels, soft, config.augment, position)


def seen(
    config: Config, material: Material, epoch: int, steps: int
) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
    """The rows, pixels and targets of an epoch's steps exactly as training has them.

    For looking: nothing is trained. `material.normalize.undone` makes images of the pixels.
    """
    for step, (rows, batch) in enumerate(_batches(config, material, epoch, 0, steps)):
        torch.manual_seed(seed_for(config.seed, material.fold, epoch, step))
        yield rows, *prepared(config, material, epoch * steps + step, rows, batch)


def _batches(
    config: Config, material: Material, epoch: int, first: int, steps: int
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """The epoch's batches from step ``first``, in an order that only the seed decides."""
    key = (config.seed, material.fold, epoch)
    order = np.random.default_rng(seed_for(*key)).permutation(material.rows)
    size = config.train.batch_size
    parts = [order[n * size : (n + 1) * size] for n in range(first, steps)]
    batches = material.images.batches(parts)
    if material.pipeline:
        batches = material.pipeline.batches(batches, parts, key, material.device)
    return zip(parts, batches, strict=True)


def _updates(config: Config, state: State, step: int) -> tuple[int, int, int]:
    """The update to which a step of this epoch belongs, updates in all, and those of an epoch."""
    each = math.ceil(len(state.losses) / config.train.accumulate)
    return state.epoch * each + step // config.train.accumulate, epochs_of(config) * each, each


def _rate(config: Config, state: State, step: int) -> float:
    """The learning rate of a step of the current epoch."""
    place, peak = _updates(config, state, step), config.optimizer.lr
    return learning_rate(*place, peak, config.schedule, state.plateau.scale)


def _finite_loss(config: Config, state: State) -> float:
    """The mean loss of the epoch so far. Raises FoldwiseError where a step's loss is not finite."""
    losses = state.losses[: state.step].cpu()
    bad = (~torch.isfinite(losses)).nonzero()
    if len(bad):
        step = int(bad[0])
        raise FoldwiseError(
            f"the loss is {losses[step].item()} at step {step + 1} of epoch {state.epoch + 1} "
            f"(learning rate {_rate(config, state, step):.2g}): try a smaller optimizer.lr "
            f"(now {config.optimizer.lr:g}), a smaller optimizer.clip "
            f"(now {config.optimizer.clip:g}; 0 is none), longer schedule.warmup_epochs "
            f"or train.precision=fp32 (now {config.train.precision})"
        )
    return float(losses.mean())


def _end_epoch(
    config: Config,
    material: Material,
    state: State,
    began: float,
    first: int,
    evaluate: Callable[[State], dict[str, float]],
) -> None:
    """Add the epoch's row to the history and stand at the beginning of the next."""
    images = (state.step - first) * min(config.train.batch_size, len(material.rows))
    rate = _rate(config, state, len(state.losses) - 1)
    row = {"epoch": state.epoch + 1, "train_loss": float(state.losses.mean()), "lr": rate}
    seconds = time.monotonic() - began
    row |= {"images_per_second": round(images / seconds, 1)}
    row |= {"waiting": round(state.waited / seconds, 4)}
    state.epoch, state.step = state.epoch + 1, 0
    every = config.train.eval_every
    if every and state.epoch % every == 0 and state.epoch < epochs_of(config):
        row |= evaluate(state)
    row["seconds"] = round(time.monotonic() - began, 3)
    state.history.append(row)


def _epoch_line(config: Config, fold: int, state: State) -> str:
    row = state.history[-1]
    names = ("train_loss", "val_loss", f"val_{config.competition.metric}")
    values = ", ".join(f"{name} {row[name]:.4f}" for name in names if name in row)
    speed = f"lr {row['lr']:.1e}, {row['images_per_second']:,.0f} images/s"
    return f"fold {fold}, epoch {row['epoch']}/{epochs_of(config)}: {values}, {speed}"
