"""The training loop: one for every device, model and data set."""

import math
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from foldwise import interrupt
from foldwise.config import Config
from foldwise.device import seed_for
from foldwise.errors import FoldwiseError, Interrupted
from foldwise.recipe import watches
from foldwise.training import watch
from foldwise.training.budget import Clock, TimeUp
from foldwise.training.checkpoint import State
from foldwise.training.groups import freeze
from foldwise.training.material import Material
from foldwise.training.memory import can_be_parted, memory_mb, parts_line, smaller_parts
from foldwise.training.progress import Progress
from foldwise.training.ranks import Ranks
from foldwise.training.samplers import epoch_order
from foldwise.training.step import ONE_CLASS, prepared, rate_of, train_step


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
            train_step(config, material, state, rows, batch)
            ready = time.monotonic()
            progress.advance(len(rows))
            if progress.due():
                loss, rate = _finite_loss(config, state), rate_of(config, state, state.step - 1)
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
            f"(learning rate {rate_of(config, state, step):.2g}): try a smaller optimizer.lr "
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
    rate = rate_of(config, state, state.step - 1)
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
    if watches(config):
        if config.train.keep == "best" and watch.improved(config, state.history):
            state.best = {k: v.clone() for k, v in state.result().state_dict().items()}
        state.plateau = state.plateau.after(watch.newest(config, state.history), config.schedule)


def _train_accuracy(config: Config, material: Material, state: State) -> dict[str, float]:
    """The share of the epoch's images that are right, as they were seen and when they were."""
    if config.competition.task not in ONE_CLASS:
        return {}
    if (state.right[: state.step] < 0).any():  # of a checkpoint that did not count them
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
