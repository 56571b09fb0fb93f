"""The main job: from a config to trained folds, tables, scores and a submission."""

import platform
import subprocess
import sys
from dataclasses import dataclass
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
from foldwise.training import watch
from foldwise.training.budget import TimeUp, budget_of
from foldwise.training.fold import beginning, train_fold
from foldwise.training.material import Job
from foldwise.training.ranks import Ranks, together
from foldwise.training.results import finish
from foldwise.training.samplers import check_sampler
from foldwise.training.schedule import check_schedule
from foldwise.training.teacher import check_teacher
from foldwise.training.tracker import check_tracker
from foldwise.training.trial import decide_batch_size, decide_compile
from foldwise.training.weights import check_class_weights, check_weights_digest

PACKAGES = ("torch", "torchvision", "timm", "numpy", "pandas", "scikit-learn", "pyarrow")


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to be trained, with nothing in its config left open."""

    config: Config
    run: Run
    data: CompetitionData
    split: FrozenFolds
    folds: list[int]  # that the call names
    job: Job | None  # None where they are all finished
    said: list[str]  # what a person should read before the training


def train(config: Config) -> None:
    """Train the folds that ``config.fold`` names and that are not finished, and write the results.

    Creates oof/<run>/ and, once all folds are there, submissions/<run>.csv. Finished folds are
    skipped, or trained again with ``config.overwrite``. Under torchrun the processes train each
    fold together. Raises FoldwiseError, UsageError, Interrupted.
    """
    with together() as ranks:
        with ranks.first_alone():
            ready = _prepared(config, ranks)
            if ranks.first:
                if not config.debug:  # a look whether all fits decides nothing
                    ready.split.freeze()
                ready.run.begin(ready.config, ready.split.hash, ready.folds)
        try:
            _train(ready, ranks)
        except Interrupted as error:  # what overwrite=true asked for is done: do not say it again
            raise Interrupted(error.signum, begun=True) from error


def _prepared(config: Config, ranks: Ranks) -> Prepared:
    """Read all, decide all, and refuse what will not work. Writes nothing of the run."""
    data = layout.load(config)
    split = frozen_folds(data, config, partial(duplicates_of, data, config), freeze=False)
    folds = compose.parse_folds(config.fold, split.k)
    run, device = Run(config.run), ranks.device(pick_device(config.train.device))
    if not ranks.first or set(run.started()) - set(run.replaced(config, folds)):
        compose.adopt(config, run.config())
    decide(config, data, split, device)
    mended = training_targets(data, config.competition)
    config.competition.corrections = mended.setting
    kind = check_submission(config.competition, data)
    _refuse_unfit(config)
    if config.distill.run:
        config.distill.recipe = check_teacher(config, split.hash, folds)
    pipeline = _pipeline(config)
    done = set(run.finished()) - set(run.replaced(config, folds))
    waiting = [k for k in folds if k not in done]
    rows = int(len(split.fold) * (split.k - 1) / split.k * config.data.fraction)
    tried = [decide_batch_size(config, rows, device)] if waiting else []
    tried += [decide_compile(config, rows * config.train.epochs * len(folds), device)]
    ranks.check_batch(config)
    loaded = beginning(config, folds[0], 1, device)[0].loaded  # refuses what cannot be built
    job = None
    if waiting:
        place = torch.device("cpu") if pipeline else device  # the CPU augments them first
        sources = open_sources(config, data, place, device)
        job = Job(
            config, run, data, split, device, mended,
            images=sources.train, test_images=sources.test, test_rows=sources.usable,
            pipeline=pipeline, budget=budget_of(config, len(waiting)), ranks=ranks,
        )  # fmt: skip
    said = [*_announcement(config, data, mended, device, kind, waiting, loaded), *tried]
    return Prepared(config, run, data, split, folds, job, [line for line in said if line])


def _train(ready: Prepared, ranks: Ranks) -> None:
    run, config, job = ready.run, ready.config, ready.job
    if job:
        if ranks.first:
            run.write_environment({**describe(job.device), **software()})
        print("\n".join(ready.said), file=sys.stderr)
        prepare(config.train, job.device)
        _train_folds(job, [k for k in ready.folds if k not in run.finished()])
    else:
        print(
            f"{run.name}: folds {first_few(ready.folds)} are finished (overwrite=true: train again)"
        )
    if ranks.first and run.finished():  # or train.hours was up before
        finish(run, config, ready.data, ready.split)


def _train_folds(job: Job, folds: list[int]) -> None:
    """One after the other, until they are done or the time of `train.hours` is."""
    try:
        for fold in folds:
            train_fold(job, fold)
    except TimeUp:
        print(
            f"train.hours={job.config.train.hours:g} is used up; what is finished is saved, and "
            "the same command goes on",
            file=sys.stderr,
        )


def duplicates_of(data: CompetitionData, config: Config) -> list[str]:
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
    if config.data.weights:
        config.data.weights_digest = check_weights_digest(config, data)
    if config.train.precision == "auto":
        config.train.precision = automatic_precision(device)
    if config.train.precision == "fp16" and device.type == "cpu":
        raise UsageError("train.precision=fp16 needs a GPU; on a CPU use auto, bf16 or fp32")


def _refuse_unfit(config: Config) -> None:
    """Raises UsageError for a loss, schedule, metrics or views that do not fit."""
    settings = config.competition
    fit = LOSSES_OF_TASK[settings.task]
    if config.loss.name not in fit:
        raise UsageError(
            f"loss.name={config.loss.name} is no loss for a {settings.task} competition: "
            f"take {' or '.join(fit)}"
        )
    check_schedule(config.schedule)
    watch.check_watching(config)
    check_tracker(config.train.tracker)
    if not config.train.epochs and not config.train.hours:
        raise UsageError("train.epochs=auto is as many as fit into train.hours: say that too")
    check_class_weights(config)
    check_sampler(config)
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


def _announcement(
    config: Config,
    data: CompetitionData,
    mended: TrainingTargets,
    device: torch.device,
    kind: str,
    folds: list[int],
    loaded: Loaded | None,
) -> list[str]:
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
    if config.distill.run:
        lines.append(f"taught by {config.distill.run}, fold by fold")
    asked = asked_of_cpu(config.augment)
    if config.augment.on == "cpu":
        lines.append("augmentation by albumentations, on the CPU")
    elif asked:
        lines.append(f"augmentation: {', '.join(asked)} on the CPU, the rest on the device")
    return lines


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
