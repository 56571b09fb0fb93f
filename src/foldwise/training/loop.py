"""The training loop: one for every device, model and data set."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from foldwise import interrupt
from foldwise.config import Config
from foldwise.errors import FoldwiseError, Interrupted
from foldwise.images.augment import Normalize, augment
from foldwise.images.load import Images, to_device
from foldwise.images.mixing import mix, mix_weighted, mixes, soft_targets
from foldwise.images.pipeline import Pipeline
from foldwise.models.outputs import kind_of
from foldwise.training.checkpoint import State
from foldwise.training.device import autocast, seed_for
from foldwise.training.losses import distillation, loss_of
from foldwise.training.progress import Progress
from foldwise.training.samplers import epoch_order
from foldwise.training.schedule import learning_rate
from foldwise.training.teacher import Teacher


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
    classes: np.ndarray | None = None  # int64 (rows,), by which data.sampler balances
    class_weights: Tensor | None = None  # float32 (classes,) on the device
    row_weights: Tensor | None = None  # float32 (images,) on the device
    teacher: Teacher | None = None


def epoch_steps(rows: int, config: Config) -> int:
    """Steps in an epoch: whole batches only, or one short batch where there is no whole one."""
    steps = max(1, rows // config.train.batch_size)
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
) -> None:
    """Train from where ``state`` stands to the last epoch.

    ``evaluate`` gives an epoch's columns of metrics.csv beyond the loop's own (the caller adds the
    last epoch's, from the predictions that it makes anyway); ``save`` is called at the end of each
    epoch, and when a signal asks to stop. Raises FoldwiseError when the loss is
    not finite, Interrupted after a signal.
    """
    with interrupt.deferred():
        while state.epoch < epochs_of(config):
            began, first = time.monotonic(), state.step
            state.waited, ready = 0.0, began
            for rows, batch in _batches(config, material, state.epoch, first, len(state.losses)):
                state.waited += time.monotonic() - ready
                step(config, material, state, rows, batch)
                ready = time.monotonic()
                progress.advance(len(rows))
                if progress.due():
                    loss = _finite_loss(config, state)
                    rate = _rate(config, state, state.step - 1)
                    progress.show(state.epoch, epochs_of(config), loss, rate)
                if interrupt.pending():
                    save(state)
                    raise Interrupted(interrupt.pending())
            _finite_loss(config, state)
            _end_epoch(config, material, state, began, first, evaluate)
            progress.line(_epoch_line(config, material.fold, state))
            save(state)
            if interrupt.pending():
                raise Interrupted(interrupt.pending())


def step(config: Config, material: Material, state: State, rows: np.ndarray, batch: Tensor) -> None:
    """One batch: forward, backward, update. Nothing in here waits for the device."""
    position = state.epoch * len(state.losses) + state.step
    torch.manual_seed(seed_for(config.seed, material.fold, state.epoch, state.step))
    rate = _rate(config, state, state.step)
    for group in state.optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)
    began = time.monotonic()
    pixels, targets, weights = prepared(config, material, position, rows, batch)
    state.waited += time.monotonic() - began  # on a GPU: until it is all launched
    loss = _loss(config, material, state, pixels, targets, weights)
    state.optimizer.zero_grad(set_to_none=True)
    state.scaler.scale(loss).backward()
    if config.optimizer.clip:
        state.scaler.unscale_(state.optimizer)
        torch.nn.utils.clip_grad_norm_(state.network.parameters(), config.optimizer.clip)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    if state.ema:
        state.ema.update(position)
    state.losses[state.step] = loss.detach()
    state.step += 1


def _loss(
    config: Config,
    material: Material,
    state: State,
    pixels: Tensor,
    targets: Tensor,
    weights: Tensor | None,
) -> Tensor:
    """The mean loss of a batch: by its labels, and by its teacher where there is one."""
    with autocast(material.device, config.train.precision):
        logits = state.network(pixels)
        taught = material.teacher(pixels) if material.teacher else None
    logits, task = logits.float(), config.competition.task
    loss = loss_of(
        config.loss, logits, targets, task == "multilabel", material.class_weights, weights
    )
    if taught is None:
        return loss
    softmax, settings = kind_of(config.loss.name, task) == "a softmax", config.distill
    soft = distillation(logits, taught.float(), settings.temperature, softmax, weights)
    return torch.lerp(loss, soft, settings.alpha)


def prepared(
    config: Config, material: Material, position: int, rows: np.ndarray, batch: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """What the network sees of uint8 images, what it is to say, and what that weighs.

    Augmented, normalised, mixed.

    ``position``: the step, counted from the beginning of the training. The caller has seeded.
    """
    half = material.device.type == "cuda" and config.train.precision != "fp32"
    images = augment(batch, config.augment, torch.float16 if half else torch.float32)
    pixels = material.normalize(images)
    chosen = to_device(torch.from_numpy(rows), material.device)
    targets = material.targets[chosen]
    weights = None if material.row_weights is None else material.row_weights[chosen]
    if not mixes(config.augment):
        return pixels, targets, weights
    soft = soft_targets(targets, len(config.competition.classes))
    if weights is None:
        return *mix(pixels, soft, config.augment, position), None
    return mix_weighted(pixels, soft, weights, config.augment, position)


def seen(
    config: Config, material: Material, epoch: int, steps: int
) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
    """The rows, pixels and targets of an epoch's steps exactly as training has them.

    For looking: nothing is trained. `material.normalize.undone` makes images of the pixels.
    """
    for step, (rows, batch) in enumerate(_batches(config, material, epoch, 0, steps)):
        torch.manual_seed(seed_for(config.seed, material.fold, epoch, step))
        yield rows, *prepared(config, material, epoch * steps + step, rows, batch)[:2]


def _batches(
    config: Config, material: Material, epoch: int, first: int, steps: int
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """The epoch's batches from step ``first``, in an order that only the seed decides."""
    key = (config.seed, material.fold, epoch)
    order = epoch_order(config.data.sampler, material.rows, material.classes, key)
    size = config.train.batch_size
    parts = [order[n * size : (n + 1) * size] for n in range(first, steps)]
    batches = material.images.batches(parts)
    if material.pipeline:
        batches = material.pipeline.batches(batches, parts, key, material.device)
    return zip(parts, batches, strict=True)


def _rate(config: Config, state: State, step: int) -> float:
    """The learning rate of a step of the current epoch."""
    steps = len(state.losses)
    position = state.epoch * steps + step
    peak = config.optimizer.lr
    return learning_rate(position, epochs_of(config) * steps, steps, peak, config.schedule)


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
