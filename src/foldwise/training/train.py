"""The main job: from a config to trained folds, tables, scores and a submission."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from foldwise import compose
from foldwise.begin import begin_run, stay, to_train
from foldwise.competition import layout
from foldwise.competition.corrections import TrainingTargets, training_targets
from foldwise.competition.folds import FrozenFolds, frozen_folds
from foldwise.competition.layout import CompetitionData
from foldwise.competition.submission import check_submission
from foldwise.config import Config
from foldwise.device import describe, pick_device, prepare
from foldwise.errors import Interrupted, first_few
from foldwise.images.pipeline import asked_of_cpu
from foldwise.models.weights import Loaded
from foldwise.prediction.fold_model import FoldModel
from foldwise.prediction.sources import open_sources
from foldwise.recipe import adopt
from foldwise.runs import Run
from foldwise.software import software
from foldwise.training.budget import TimeUp, budget_of
from foldwise.training.decide import decide, near_duplicates, pipeline_for, refuse_unfit
from foldwise.training.fold import beginning, train_fold
from foldwise.training.material import Job
from foldwise.training.pseudo import Labeller, labels_of
from foldwise.training.ranks import Ranks, together
from foldwise.training.results import finish
from foldwise.training.start import check_start
from foldwise.training.teacher import check_teacher
from foldwise.training.trial import check_fit, decide_batch_size, decide_compile

TOO_FAST = 2e-3  # learning rate of AdamW at which pretrained weights are lost


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


Labelling = Callable[[Config, CompetitionData, FrozenFolds, list[int]], Labeller]


def train(config: Config, labelling: Labelling | None = None) -> None:
    """Train the folds that ``config.fold`` names and that are not finished, and write the results.

    ``labelling`` says who labels unlabelled images for these folds, where pseudo.run names a run.
    Creates oof/<run>/ and, once all folds are there, submissions/<run>.csv. Finished folds are
    skipped, or trained again with ``config.overwrite``. Under torchrun the processes train each
    fold together. Raises FoldwiseError, UsageError, Interrupted.
    """
    with together() as ranks:
        with ranks.first_alone():
            ready = _prepared(config, ranks, labelling)
            if ranks.first:
                if not config.debug:  # a look whether all fits decides nothing
                    ready.split.freeze()
                begin_run(ready.run, ready.config, ready.split.hash, ready.folds)
        try:
            _train(ready, ranks)
        except Interrupted as error:  # what overwrite=true asked for is done: do not say it again
            raise Interrupted(error.signum, begun=True) from error


def _prepared(config: Config, ranks: Ranks, labelling: Labelling | None) -> Prepared:
    """Read all, decide all, and refuse what will not work. Writes nothing of the run."""
    data = layout.load(config)
    split = frozen_folds(data, config, partial(near_duplicates, data, config), freeze=False)
    folds = compose.parse_folds(config.fold, split.k)
    run, device = Run(config.run), ranks.device(pick_device(config.train.device))
    if not ranks.first or stay(run, config, folds):
        adopt(config, run.config())
    decide(config, data, split, device)
    mended = training_targets(data, config.competition)
    config.competition.corrections = mended.setting
    kind = check_submission(config.competition, data)
    refuse_unfit(config)
    if config.distill.run:
        config.distill.recipe = check_teacher(config, split.hash, folds)
    if config.model.weights:
        config.model.weights_digest = check_start(config, split.hash, folds)
    labeller = None
    if config.pseudo.run and labelling:
        labeller = labelling(config, data, split, folds)
        config.pseudo.recipe, config.pseudo.pool_digest = labeller.recipe, labeller.pool_digest
    pipeline = pipeline_for(config)
    waiting = to_train(run, config, folds)
    state, normalize = beginning(config, folds[0], 1, device)  # refuses what cannot be built
    if waiting:
        check_fit(FoldModel(config, state.network, normalize, device))
    loaded = state.loaded
    del state
    rows = int(len(split.fold) * (split.k - 1) / split.k * config.data.fraction)
    tried = [decide_batch_size(config, rows, device)] if waiting else []
    tried += [decide_compile(config, rows * config.train.epochs * len(folds), device)]
    ranks.check_batch(config)
    job = None
    if waiting:
        place = torch.device("cpu") if pipeline else device  # the CPU augments them first
        pseudo = {k: labels_of(config, run, k, labeller) for k in waiting} if labeller else {}
        pool = labeller.files if labeller else None
        sources = open_sources(config, data, place, device, pool)
        job = Job(
            config, run, data, split, device, mended,
            images=sources.train, usable=sources.train_usable,
            test_images=sources.test, test_rows=sources.test_rows,
            pipeline=pipeline, budget=budget_of(config, len(waiting)), ranks=ranks,
            pool=sources.pool, pseudo={k: labels for k, labels in pseudo.items() if labels},
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
    if config.optimizer.lr >= TOO_FAST and _starts_trained(config):
        lines.append(
            f"optimizer.lr={config.optimizer.lr:g} may undo what the first weights know: "
            "config=finetune has rates for them"
        )
    if config.distill.run:
        lines.append(f"taught by {config.distill.run}, fold by fold")
    if config.pseudo.run:
        lines.append(f"pseudo-labels by {config.pseudo.run}, fold by fold")
    asked = asked_of_cpu(config.augment)
    if config.augment.on == "cpu":
        lines.append("augmentation by albumentations, on the CPU")
    elif asked:
        lines.append(f"augmentation: {', '.join(asked)} on the CPU, the rest on the device")
    return lines


def _starts_trained(config: Config) -> bool:
    """Whether a network for other labels is trained on, by an optimizer of AdamW's rates."""
    model, name = config.model, config.optimizer.name
    other = model.pretrained or (model.weights and not Run(model.weights).config_file.is_file())
    return bool(other) and "adam" in name
