"""What a run decides before it trains, and refuses: every automatic setting, what does not fit."""

import sys

import torch

from foldwise.competition.folds import FrozenFolds
from foldwise.competition.layout import CompetitionData
from foldwise.competition.metrics import automatic_metric, metric_of, thresholds, watched
from foldwise.competition.submission import sample_is_labels
from foldwise.compose import flat
from foldwise.config import Blend, Config
from foldwise.device import automatic_precision
from foldwise.errors import UsageError
from foldwise.images.decode import threads
from foldwise.images.pipeline import Pipeline, pipeline_of
from foldwise.models.build import automatic_model
from foldwise.models.outputs import LOSS_OF_TASK, LOSSES_OF_TASK
from foldwise.prediction.sources import decide_look
from foldwise.prediction.views import names_of
from foldwise.training import watch
from foldwise.training.samplers import check_sampler
from foldwise.training.schedule import check_schedule
from foldwise.training.tracker import check_tracker
from foldwise.training.weights import check_class_weights, check_weights_digest

# Settings (what their names begin with) that mean nothing where the setting before is not said.
SOURCES = {
    "pseudo.run": "pseudo.",
    "distill.run": "distill.",
    "model.weights": "model.weights_digest",
    "data.weights": "data.weights_digest",
}


def near_duplicates(data: CompetitionData, config: Config) -> list[str]:
    """The group of near-duplicates of each train row, for folds.group=duplicates."""
    from foldwise.audit.duplicates import duplicate_groups

    print("looking for near-duplicates among the training images", file=sys.stderr)
    return duplicate_groups(data.train["file"].tolist(), threads(config.images.workers))


def decide(config: Config, data: CompetitionData, split: FrozenFolds, device: torch.device) -> None:
    """Replace every setting that is still automatic by a decision."""
    config.folds.k = split.k  # a split of the user's own may have another
    settings = config.competition
    settings.classes, settings.task = data.classes, data.task
    if settings.metric == "auto":
        settings.metric = automatic_metric(data.task, sample_is_labels(data))
    if config.loss.name == "auto":
        config.loss.name = LOSS_OF_TASK[data.task]
    decide_look(config, data)
    if config.model.name == "auto":
        config.model.name = automatic_model(config.images.size)
    if config.model.weights:
        config.model.pretrained = False  # the recipe may say true: a file takes its place
    if config.data.weights:
        config.data.weights_digest = check_weights_digest(config, data)
    if config.train.precision == "auto":
        config.train.precision = automatic_precision(device)
    if config.train.precision == "fp16" and device.type == "cpu":
        raise UsageError("train.precision=fp16 needs a GPU; on a CPU use auto, bf16 or fp32")


def refuse_unfit(config: Config) -> None:
    """Raises UsageError for a loss, schedule, metrics or views that do not fit."""
    settings = config.competition
    if config.blend != Blend():
        raise UsageError("blend.… are settings of blends: ./run.sh help blend")
    _refuse_without_source(config)
    fit = LOSSES_OF_TASK[settings.task]
    if config.loss.name not in fit:
        raise UsageError(
            f"loss.name={config.loss.name} is no loss for a {settings.task} competition: "
            f"take {' or '.join(fit)}"
        )
    seen, side = config.images.crop_pct, config.images.decode_size
    if side and round(side * seen) < config.images.size:
        raise UsageError(
            f"images.decode_size={side} is too small for {config.images.size} pixels out of "
            f"{seen:g} of the side: say {round(config.images.size / seen)} or more, or 0"
        )
    check_schedule(config.schedule)
    watch.check_watching(config)
    check_tracker(config.train.tracker)
    if not config.train.epochs and not config.train.hours:
        raise UsageError(
            "train.epochs=auto (which 0 means, too) is as many as fit into train.hours: say that "
            "as well, or 1 epoch or more"
        )
    check_class_weights(config)
    check_sampler(config)
    names_of(config.tta.views, config.images.size)
    metric_of(settings.metric, settings)
    watched(settings)
    thresholds(settings)


def _refuse_without_source(config: Config) -> None:
    """Raises UsageError for a setting that would do nothing: what it is about is not named."""
    said, default = flat(config), flat(Config())
    for source, keys in SOURCES.items():
        for key in [key for key in said if key.startswith(keys) and key != source]:
            if not said[source] and said[key] != default[key]:
                raise UsageError(
                    f"{key}={said[key]} does nothing without {source}: say that as well, or leave "
                    f"it out (in the recipe, too): {key}={default[key]}"
                )


def pipeline_for(config: Config) -> Pipeline | None:
    """What augments on the CPU. Raises UsageError for what cannot be, or has no meaning."""
    settings, task = config.augment, config.competition.task
    if settings.cutmix and task == "regression":
        raise UsageError(
            f"augment.cutmix={settings.cutmix:g} has no meaning in a regression: half an image "
            "does not have half its number; take augment.mixup"
        )
    wrong = [zoom for zoom in settings.scales if not 0.1 <= zoom <= 10]
    if wrong:
        raise UsageError(f"augment.scales has {wrong[0]:g}: a zoom must be from 0.1 to 10")
    workers = threads(config.images.workers)
    return pipeline_of(settings, config.images, config.model.in_chans, workers)
