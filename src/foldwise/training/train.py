"""The main job: from a config to trained folds, tables, scores and a submission."""

import platform
import subprocess
import sys
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from foldwise import compose
from foldwise.competition import layout
from foldwise.competition.corrections import TrainingTargets, training_targets
from foldwise.competition.folds import FrozenFolds, frozen_folds
from foldwise.competition.layout import CompetitionData
from foldwise.competition.metrics import automatic_metric, metric_of, thresholds, watched
from foldwise.competition.submission import check_submission, sample_is_labels
from foldwise.config import Config
from foldwise.device import automatic_precision, describe, pick_device, prepare
from foldwise.errors import Interrupted, UsageError, first_few
from foldwise.images.decode import threads
from foldwise.images.pipeline import Pipeline, asked_of_cpu, pipeline_of
from foldwise.models.build import automatic_model
from foldwise.models.outputs import LOSS_OF_TASK, LOSSES_OF_TASK
from foldwise.models.weights import Loaded, check_digest
from foldwise.prediction.sources import decide_look, open_sources
from foldwise.prediction.tta import views_of
from foldwise.runs import Run
from foldwise.training.fold import Job, beginning, train_fold
from foldwise.training.results import finish

PACKAGES = ("torch", "torchvision", "timm", "numpy", "pandas", "scikit-learn", "pyarrow")


def train(config: Config) -> None:
    """Train the folds that ``config.fold`` names and that are not finished, and write the results.

    Creates oof/<run>/ and, once all folds are there, submissions/<run>.csv. Finished folds are
    skipped, or trained again with ``config.overwrite``. Raises FoldwiseError, UsageError,
    Interrupted.
    """
    data = layout.load(config)
    split = frozen_folds(data, config, partial(near_duplicates, data, config), freeze=False)
    folds = compose.parse_folds(config.fold, split.k)
    run, device = Run(config.run), pick_device(config.train.device)
    if set(run.started()) - set(run.replaced(config, folds)):
        compose.adopt(config, run.config())
    decide(config, data, split, device)
    mended = training_targets(data, config.competition)
    config.competition.corrections = mended.setting
    kind = check_submission(config.competition, data)
    _refuse_unfit(config)
    pipeline = _pipeline(config)
    loaded = beginning(config, folds[0], 1, device)[0].loaded  # refuses what cannot be built
    done = set(run.finished()) - set(run.replaced(config, folds))
    sources = None
    if not done.issuperset(folds):
        place = torch.device("cpu") if pipeline else device  # the CPU augments them first
        sources = open_sources(config, data, place, device)
    if not config.debug:  # a look whether all fits decides nothing
        split.freeze()
    run.begin(config, split.hash, folds)
    try:
        waiting = [k for k in folds if k not in run.finished()]
        if waiting and sources:
            run.write_environment({**describe(device), **software()})
            _announce(config, data, mended, device, kind, waiting, loaded)
            prepare(config.train, device)
            job = Job(
                config, run, data, split, device, mended,
                images=sources.train, test_images=sources.test, test_rows=sources.usable,
                pipeline=pipeline,
            )  # fmt: skip
            for fold in waiting:
                train_fold(job, fold)
        else:
            print(
                f"{run.name}: folds {first_few(folds)} are finished (overwrite=true: train again)"
            )
        finish(run, config, data, split)
    except Interrupted as error:  # what overwrite=true asked for has been done: do not say it again
        raise Interrupted(error.signum, begun=True) from error


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
        config.model.weights_digest = check_digest(config.model)
    if config.train.precision == "auto":
        config.train.precision = automatic_precision(device)
    if config.train.precision == "fp16" and device.type == "cpu":
        raise UsageError("train.precision=fp16 needs a GPU; on a CPU use auto, bf16 or fp32")


def _refuse_unfit(config: Config) -> None:
    """Raises UsageError for a loss, metrics, thresholds or views that do not fit."""
    settings = config.competition
    fit = LOSSES_OF_TASK[settings.task]
    if config.loss.name not in fit:
        raise UsageError(
            f"loss.name={config.loss.name} is no loss for a {settings.task} competition: "
            f"take {' or '.join(fit)}"
        )
    views_of(config.tta.views, config.images.size)
    metric_of(settings.metric, settings)
    watched(settings)
    thresholds(settings)


def _pipeline(config: Config) -> Pipeline | None:
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
    return pipeline_of(settings, config.images.size, config.model.in_chans, workers)


def _announce(
    config: Config,
    data: CompetitionData,
    mended: TrainingTargets,
    device: torch.device,
    kind: str,
    folds: list[int],
    loaded: Loaded | None,
) -> None:
    lines = [data.said[0], data.said[1] + (f": {kind}" if kind else "")]
    if data.dropped:
        lines.append(
            f"{len(data.dropped)} training rows without an image are left out: "
            f"{first_few(data.dropped)}"
        )
    if mended.said:
        lines.append(mended.said)
    if loaded:
        lines.append(loaded.line())
    lines.append(
        f"{config.run}: {config.model.name} at {config.images.size} pixels, "
        f"{config.train.precision} on {device.type}, folds {', '.join(map(str, folds))}"
    )
    asked = asked_of_cpu(config.augment)
    if config.augment.on == "cpu":
        lines.append("augmentation by albumentations, on the CPU")
    elif asked:
        lines.append(f"augmentation: {', '.join(asked)} on the CPU, the rest on the device")
    print("\n".join(lines), file=sys.stderr)


def software() -> dict[str, str]:
    """Versions of what shapes the result, and the commit of the code, for environment.json."""
    facts = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "?"
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        facts["commit"] = done.stdout.strip()
    except (OSError, subprocess.SubprocessError):  # no git, or no clone: nothing depends on it
        facts["commit"] = ""
    return facts
