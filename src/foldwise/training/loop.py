"""The training loop: one for every device, model and data set."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from foldwise import interrupt
from foldwise.config import Config
from foldwise.device import autocast, seed_for
from foldwise.errors import FoldwiseError, Interrupted
from foldwise.images.augment import augment
from foldwise.images.load import to_device
from foldwise.images.mixing import mix, mix_weighted, mixes, soft_targets
from foldwise.images.window import random_part
from foldwise.models.outputs import kind_of, reader
from foldwise.training import watch
from foldwise.training.budget import Clock, TimeUp
from foldwise.training.checkpoint import State
from foldwise.training.groups import freeze
from foldwise.training.losses import distillation, loss_of
from foldwise.training.material import Material
from foldwise.training.memory import can_be_parted, memory_mb, parted, parts_line, smaller_parts
from foldwise.training.optimizer import clip_gradients, peak_rate, set_rates
from foldwise.training.progress import Progress
from foldwise.training.ranks import Ranks
from foldwise.training.samplers import epoch_order
from foldwise.training.schedule import learning_rate, momentum

ONE_CLASS = ("multiclass", "ordinal")  # tasks whose rows have one class each


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
    evaluate: Callable[[State, bool], dict[str, float]],
    save: Callable[[State], None],
    clock: Clock | None = None,
) -> None:
    """Train from where ``state`` stands to the end.

    That is the last epoch, or where early stopping or the ``clock`` (of `train.hours`) says so.
    ``evaluate`` gives the columns of metrics.csv beyond the loop's own, and is told whether the
    epoch is the last (whose scores the caller adds, from the predictions that it makes anyway).
    ``save`` is called at the end of each epoch (``state.step`` is 0 then), and when a signal or the
    clock ends it all before. Where the memory does not hold a batch, it goes through the network in
    twice as many parts. Raises FoldwiseError when the loss is not finite, Interrupted after a
    signal, TimeUp.
    """
    with interrupt.deferred():
        while _goes_on(state, clock, material.ranks) and not watch.has_stopped(
            config, state.history
        ):
            began, first = time.monotonic(), state.step
            state.waited = 0.0
            if config.optimizer.freeze_epochs:
                frozen = state.epoch < config.optimizer.freeze_epochs
                freeze(state.network, state.optimizer, frozen)
            while not _through(config, material, state, progress, save, clock):
                smaller_parts(config, state)
                progress.line(parts_line(config, material.fold, state))
            if not state.step:  # the time was up with the epoch before
                break
            _finite_loss(config, state)
            _end_epoch(config, material, state, began, first, evaluate)
            progress.line(_epoch_line(config, material.fold, state))
            save(state)
            if signum := material.ranks.agreed(interrupt.pending()):
                raise Interrupted(signum)


def _through(
    config: Config,
    material: Material,
    state: State,
    progress: Progress,
    save: Callable[[State], None],
    clock: Clock | None,
) -> bool:
    """Take the steps of the epoch that are left; False where the memory did not hold one."""
    ready = time.monotonic()
    batches = _batches(config, material, state.epoch, state.step, len(state.losses))
    try:
        for rows, batch in batches:
            if not _goes_on(state, clock, material.ranks):
                break
            state.waited += time.monotonic() - ready
            step(config, material, state, rows, batch)
            ready = time.monotonic()
            progress.advance(len(rows))
            if progress.due():
                loss, rate = _finite_loss(config, state), _rate(config, state, state.step - 1)
                progress.show(state.epoch, _epochs_ahead(state), loss, rate)
            if state.step % config.train.accumulate == 0:
                _end_early(state, save, clock, material.ranks)
    except Exception as error:
        if not can_be_parted(config, state, error):
            raise
        return False
    return True


def _goes_on(state: State, clock: Clock | None, ranks: Ranks) -> bool:
    """Whether there are steps to take; the plan is made anew where the time decides."""
    if clock and clock.planned:
        state.total = ranks.agreed(clock.total(state.taken))
    return state.taken < state.total


def _end_early(
    state: State, save: Callable[[State], None], clock: Clock | None, ranks: Ranks
) -> None:
    """Save and end it all after a signal, or where the time of `train.hours` is up."""
    if signum := ranks.agreed(interrupt.pending()):
        save(state)
        raise Interrupted(signum)
    if clock and not clock.planned and ranks.agreed(clock.up()):
        save(state)
        raise TimeUp


def step(config: Config, material: Material, state: State, rows: np.ndarray, batch: Tensor) -> None:
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
    rate = _rate(config, state, state.step)
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
    parts = [material.ranks.share(part) for part in parts]
    batches = material.images.batches(parts)
    if material.pipeline:
        batches = material.pipeline.batches(batches, parts, key, material.device)
    return zip(parts, batches, strict=True)


def _updates(config: Config, state: State, step: int) -> tuple[int, int, int]:
    """The update to which a step of this epoch belongs, updates in all, and those of an epoch."""
    together = config.train.accumulate
    each = math.ceil(len(state.losses) / together)
    epochs, rest = divmod(state.total, len(state.losses))
    return state.epoch * each + step // together, epochs * each + math.ceil(rest / together), each


def _rate(config: Config, state: State, step: int) -> float:
    """The learning rate of a step of the current epoch."""
    peak = peak_rate(config.optimizer, config.train.batch_size * config.train.accumulate)
    place = _updates(config, state, step)
    return learning_rate(*place, peak, config.schedule, state.plateau.scale)


def _epochs_ahead(state: State) -> int:
    """Epochs of the whole training, as far as it is known."""
    return math.ceil(state.total / len(state.losses))


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
    evaluate: Callable[[State, bool], dict[str, float]],
) -> None:
    """Add the epoch's row to the history, act on what is watched, and stand at the next epoch."""
    images = (state.step - first) * min(config.train.batch_size, len(material.rows))
    rate = _rate(config, state, state.step - 1)
    losses = material.ranks.mean(state.losses[: state.step])
    row = {"epoch": state.epoch + 1, "train_loss": float(losses.mean())}
    row |= _train_accuracy(config, material, state) | {"lr": rate}
    if state.norm is not None:
        row |= {"grad_norm": float(state.norm) / math.ceil(state.step / config.train.accumulate)}
    seconds = time.monotonic() - began
    row |= {"images_per_second": round(images / seconds, 1)}
    row |= {"waiting": round(state.waited / seconds, 4), "memory_mb": memory_mb(material.device)}
    if state.parts > 1:
        row |= {"parts": state.parts}
    state.epoch, state.step, state.norm = state.epoch + 1, 0, None
    row |= evaluate(state, state.taken >= state.total)
    row["seconds"] = round(time.monotonic() - began, 3)
    state.history.append(row)
    if watch.watches(config):
        if config.train.keep == "best" and watch.improved(config, state.history):
            state.best = {k: v.clone() for k, v in state.result().state_dict().items()}
        state.plateau = state.plateau.after(watch.newest(config, state.history), config.schedule)


def _train_accuracy(config: Config, material: Material, state: State) -> dict[str, float]:
    """The share of the epoch's images that are right, as they were seen and when they were."""
    if config.competition.task not in ONE_CLASS:
        return {}
    right = material.ranks.mean(state.right[: state.step]).cpu().double().mean()
    size = min(config.train.batch_size, len(material.rows))
    return {"train_accuracy": float(right) * material.ranks.count / size}


def _epoch_line(config: Config, fold: int, state: State) -> str:
    row, metric = state.history[-1], config.competition.metric
    names = ("train_loss", "train_accuracy", "val_loss", f"val_{metric}", f"inner_{metric}")
    values = ", ".join(f"{name} {row[name]:.4f}" for name in names if name in row)
    speed = f"lr {row['lr']:.1e}, {row['images_per_second']:,.0f} images/s"
    return f"fold {fold}, epoch {row['epoch']}/{_epochs_ahead(state)}: {values}, {speed}"
