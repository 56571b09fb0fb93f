"""What a fold trains on: its rows, their images and targets, and what they weigh."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from foldwise.competition.corrections import TrainingTargets
from foldwise.competition.folds import FrozenFolds
from foldwise.competition.layout import CompetitionData
from foldwise.competition.splits import inner_part
from foldwise.config import Config
from foldwise.device import seed_for
from foldwise.errors import FoldwiseError
from foldwise.images.augment import Normalize
from foldwise.images.load import Images, JoinedImages
from foldwise.images.pipeline import Pipeline
from foldwise.runs import Run
from foldwise.training import watch
from foldwise.training.budget import Budget
from foldwise.training.pseudo import FoldLabels, counted_as, joined_targets
from foldwise.training.ranks import ALONE, Ranks
from foldwise.training.samplers import fraction_of, strata
from foldwise.training.teacher import Teacher
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
    usable: np.ndarray  # bool (train rows,): with an image that decodes; others get the class prior
    test_images: Images | None
    test_rows: np.ndarray  # int64: the usable ones among the test rows
    pipeline: Pipeline | None = None  # what augments on the CPU
    budget: Budget | None = None  # the time of `train.hours`
    ranks: Ranks = ALONE  # the processes that train together
    pool: Images | None = None  # unlabelled images, of which a fold learns its ``pseudo`` labels
    pseudo: dict[int, FoldLabels] = field(default_factory=dict)


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
    ranks: Ranks = ALONE


def fold_rows(job: Job, fold: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """int64, sorted: the rows that a fold trains on, watches and is scored on.

    It trains on what the other folds have, without dropped rows, or on a fraction of it, and
    without those that are watched, if anything watches. Rows without a usable image are in none.
    Raises FoldwiseError where nothing is left.
    """
    config = job.config
    known = (job.split.fold != fold) & job.mended.kept
    rows = np.flatnonzero(known & job.usable)
    held_rows = np.flatnonzero((job.split.fold == fold) & job.usable)
    if not len(rows):
        why = "its training images do not decode: restore them"
        why = why if known.any() else "corrections.csv drops all of its training rows: keep some"
        raise FoldwiseError(why)
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


def material_of(
    job: Job, fold: int, rows: np.ndarray, normalize: Normalize, teacher: Teacher | None = None
) -> Material:
    """What the fold trains on, with the weights and classes that the settings ask for.

    ``rows``: as of `fold_rows`. The targets are class indices, float flags, or standardised
    numbers. Where the fold has pseudo-labels, their images are rows behind those of all train rows;
    classes are counted with them, and numbers standardised without.
    """
    config, values, images = job.config, job.mended.values, job.images
    scale, by_row = scale_of(config, values[rows]), row_weights(config, job.data, rows)
    counted, labels = values, job.pseudo.get(fold)
    if labels is not None and job.pool is not None:
        images = JoinedImages(images, len(values), job.pool, labels.places)
        rows = np.concatenate([rows, len(values) + np.arange(len(labels.ids))])
        if by_row is not None or config.pseudo.weight != 1:
            by_row = np.ones(len(values), np.float32) if by_row is None else by_row
            theirs = np.full(len(labels.ids), config.pseudo.weight, np.float32)
            by_row = np.concatenate([by_row, theirs])
        counted, values = counted_as(values, labels), joined_targets(values, labels)
    by_class = class_weights(config, counted[rows])
    balanced = config.data.sampler != "shuffle"
    classes = strata(counted[rows], config.competition.task) if balanced else None
    if scale:
        values = (values - scale[0]) / scale[1]
    values = values if values.ndim == 1 else values.astype(np.float32)
    return Material(
        fold, rows, images, torch.from_numpy(values).to(job.device), normalize, job.device,
        job.pipeline, classes,
        class_weights=None if by_class is None else torch.from_numpy(by_class).to(job.device),
        row_weights=None if by_row is None else torch.from_numpy(by_row).to(job.device),
        teacher=teacher, ranks=job.ranks,
    )  # fmt: skip
