"""One batch: what the network sees of it, its loss, and the update that it ends."""

import contextlib
import math
import time

import numpy as np
import torch
from torch import Tensor

from foldwise.config import Config
from foldwise.device import autocast, seed_for
from foldwise.images.augment import augment
from foldwise.images.load import to_device
from foldwise.images.mixing import mix, mix_weighted, mixes, soft_targets
from foldwise.images.window import random_part
from foldwise.models.outputs import kind_of, reader
from foldwise.training.checkpoint import State
from foldwise.training.losses import distillation, loss_of
from foldwise.training.material import Material
from foldwise.training.memory import parted
from foldwise.training.optimizer import clip_gradients, peak_rate, set_rates
from foldwise.training.schedule import learning_rate, momentum

ONE_CLASS = ("multiclass", "ordinal")  # tasks whose rows have one class each


def train_step(
    config: Config, material: Material, state: State, rows: np.ndarray, batch: Tensor
) -> None:
    """One batch: forward and backward, and an update after each `train.accumulate` of them.

    Nothing in here waits for the device.
    """
    key = (config.seed, material.fold, state.epoch, state.step, *material.ranks.key())
    torch.manual_seed(seed_for(*key))
    began = time.monotonic()
    pixels, targets, weights = prepared(config, material, state.taken, rows, batch)
    state.waited += time.monotonic() - began  # on a GPU: until it is all launched
    first = state.step - state.step % config.train.accumulate
    together = min(config.train.accumulate, len(state.losses) - first)
    if state.step == first:
        state.optimizer.zero_grad(set_to_none=True)
    state.losses[state.step].zero_()
    state.right[state.step].zero_()
    ends = state.step == first + together - 1
    parts = parted(len(rows), state.parts)
    for part in parts:
        weight = None if weights is None else weights[part]
        with _averaged(state, ends and part is parts[-1]):
            loss, right = _loss(config, material, state, pixels[part], targets[part], weight)
            share = 1 if state.parts == 1 else len(targets[part]) / len(rows)
            scale = share / together
            state.scaler.scale(loss if scale == 1 else loss * scale).backward()
        state.losses[state.step] += loss.detach() * share
        state.right[state.step] += right
    if ends:
        _update(config, state)
    state.step += 1


def _averaged(state: State, last: bool) -> contextlib.AbstractContextManager[None]:
    """Several processes average the gradients of an update once, in the last backward pass."""
    if state.parallel is None or last:
        return contextlib.nullcontext()
    return state.parallel.no_sync()


def _update(config: Config, state: State) -> None:
    """A step of the optimizer, with the gradients and at the rate of this moment."""
    number, total, _ = _updates(config, state, state.step)
    rate = rate_of(config, state, state.step)
    set_rates(state.optimizer, rate, momentum(number, total, config.schedule))
    if config.optimizer.clip:
        state.scaler.unscale_(state.optimizer)
        norm = clip_gradients(state.network, state.optimizer, config.optimizer)
        if norm is not None:
            state.norm = norm if state.norm is None else state.norm + norm
    state.scaler.step(state.optimizer)
    state.scaler.update()
    if state.ema:
        state.ema.update(number)


def _loss(
    config: Config,
    material: Material,
    state: State,
    pixels: Tensor,
    targets: Tensor,
    weights: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The mean loss of a batch, by its labels and its teacher's, and how many rows are right."""
    with autocast(material.device, config.train.precision):
        logits = (state.parallel or state.network)(pixels)
        taught = material.teacher(pixels) if material.teacher else None
    logits, task = logits.float(), config.competition.task
    loss = loss_of(
        config.loss, logits, targets, task == "multilabel", material.class_weights, weights
    )
    right = _right(config, state, logits.detach(), targets)
    if taught is None:
        return loss, right
    softmax, settings = kind_of(config.loss.name, task) == "a softmax", config.distill
    soft = distillation(logits, taught.float(), settings.temperature, softmax, weights)
    return torch.lerp(loss, soft, settings.alpha), right


def _right(config: Config, state: State, logits: Tensor, targets: Tensor) -> Tensor:
    """int64 (): rows whose likeliest class is their own, of mixed images the heavier one.

    0 where rows have no single class.
    """
    task = config.competition.task
    if task not in ONE_CLASS:
        return state.right.new_zeros(())
    labels = targets.argmax(dim=1) if targets.ndim == 2 else targets
    return (reader(config.loss.name, task, state.network)(logits).argmax(dim=1) == labels).sum()


def prepared(
    config: Config, material: Material, position: int, rows: np.ndarray, batch: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """What the network sees of uint8 images, what it is to say, and what that weighs.

    Cropped, augmented, normalised, mixed.

    ``position``: the step, counted from the beginning of the training. The caller has seeded.
    """
    half = material.device.type == "cuda" and config.train.precision != "fp32"
    parts, settings = random_part(batch, config.images, config.augment)
    images = augment(parts, settings, torch.float16 if half else torch.float32)
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


def _updates(config: Config, state: State, step: int) -> tuple[int, int, int]:
    """The update to which a step of this epoch belongs, updates in all, and those of an epoch."""
    together = config.train.accumulate
    each = math.ceil(len(state.losses) / together)
    epochs, rest = divmod(state.total, len(state.losses))
    return state.epoch * each + step // together, epochs * each + math.ceil(rest / together), each


def rate_of(config: Config, state: State, step: int) -> float:
    """The learning rate of a step of the current epoch."""
    peak = peak_rate(config.optimizer, config.train.batch_size * config.train.accumulate)
    place = _updates(config, state, step)
    return learning_rate(*place, peak, config.schedule, state.plateau.scale)
