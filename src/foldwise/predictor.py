"""Any run as what predicts other images: its folds' networks, or its members' and how to mix them.

A blend of blends is a tree, whose leaves are trained runs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from foldwise import compose
from foldwise.config import Config
from foldwise.device import prepare
from foldwise.ensemble.checks import Member
from foldwise.ensemble.mixture import Mixture, mixture_of, refuse_changed
from foldwise.errors import FoldwiseError, UsageError
from foldwise.prediction.files import Part, networks_of, predicted, stream
from foldwise.prediction.fold_model import FoldModel, device_of, folds_to_predict
from foldwise.prediction.views import named_so, names_of
from foldwise.provenance import prediction_columns, targets_of
from foldwise.runs import Run


@dataclass(frozen=True)
class Networks:
    """The folds of a trained run; ``views``: the mean of these sets ('': the run's own)."""

    folds: list[int]
    models: list[FoldModel]
    views: list[str]

    def __call__(self, part: Part) -> dict[str, np.ndarray]:
        """Of each fold, float32 (usable images, classes)."""
        found = {}
        for fold, model in zip(self.folds, self.models, strict=True):
            each = [predicted(model, part, views) for views in self.views]
            found[f"fold{fold}"] = each[0] if len(each) == 1 else mean(each)
        return found


@dataclass(frozen=True)
class Blended:
    """The members of a blend, by name, and the rule that mixes them."""

    members: "dict[str, Networks | Blended]"
    mixture: Mixture

    def __call__(self, part: Part) -> dict[str, np.ndarray]:
        """Of each member, float32 (usable images, classes)."""
        return {name: together(member, member(part)) for name, member in self.members.items()}


Source = Networks | Blended


def together(source: Source, each: dict[str, np.ndarray]) -> np.ndarray:
    """What ``source`` says, from what its folds or members do."""
    if isinstance(source, Blended):
        return source.mixture(list(each.values()))
    return mean(list(each.values()))


def mean(parts: Sequence[np.ndarray]) -> np.ndarray:
    """float32, as the mean over the folds in test.parquet is taken."""
    total = np.zeros(parts[0].shape, np.float64)
    for part in parts:
        total += part
    return (total / len(parts)).astype(np.float32)


@dataclass(frozen=True)
class Predictor:
    """A run that predicts. models: all networks, each once."""

    run: Run
    config: Config
    source: Source
    models: list[FoldModel]
    views: str

    @property
    def members(self) -> list[str]:
        """The folds, or of a blend the members."""
        if isinstance(self.source, Blended):
            return list(self.source.members)
        return [f"fold{fold}" for fold in self.source.folds]

    def __call__(self, files: Sequence[str]) -> "Iterator[Predicted]":
        """The files part after part, in their order.

        Raises FoldwiseError for a network that predicts what is not finite.
        """
        prior: np.ndarray | None = None
        for part in stream(self.models, files, self.views):
            if part.broken and prior is None:
                prior = class_prior(self.run, self.config)
            values = np.empty((0, len(self.config.competition.classes)), np.float32)
            each = dict.fromkeys(self.members, values)
            if len(part.usable):
                each = self.source(part)
                values = together(self.source, each)
            lost = np.flatnonzero(~np.isfinite(values).all(axis=1))
            if len(lost):
                raise FoldwiseError(
                    f"{self.run.name} predicts no number for "
                    f"{files[part.start + part.usable[lost[0]]]}: train it again with a smaller "
                    "optimizer.lr"
                )
            all_members = {name: _filled(part, value, prior) for name, value in each.items()}
            yield Predicted(part.start, _filled(part, values, prior), all_members, part.broken)


@dataclass(frozen=True)
class Predicted:
    """Rows ``start`` and on: float32 (n, classes), also of each member; broken ones have the prior.

    broken: {position in the part: what is wrong}.
    """

    start: int
    values: np.ndarray
    members: dict[str, np.ndarray]
    broken: dict[int, str]


def _filled(part: Part, values: np.ndarray, prior: np.ndarray | None) -> np.ndarray:
    if prior is None:
        return values
    rows = np.tile(prior, (part.count, 1))
    rows[part.usable] = values
    return rows


def predictor_of(name: str, folds: str, views: str, epoch: int = 0) -> Predictor:
    """``folds``: as in ``fold=``, or '' for all that are finished; ``views``: '' for the run's own.

    ``epoch``: with the weights that train.save_every kept then; a blend has none.

    One fold of a blend is its members' with the parameters that it was scored with; of several
    folds the members' means are blended as the test set was. All networks are in memory. Raises
    FoldwiseError, naming the member, where one has no network; UsageError for folds and views.
    """
    run = Run(name)
    config = run.config()
    if epoch and run.is_blend():
        raise UsageError(f"epoch={epoch}: {name} is a blend, without networks: name a member")
    device = device_of(config)
    prepare(config.train, device)
    wanted = compose.parse_folds(folds, config.folds.k) if folds else []
    if views:
        names_of(views, config.images.size or 32)  # a misspelt one is said before anything is read
    loaded = Loaded(device, wanted[0] if len(wanted) == 1 else None, epoch, {})
    source = _source(run, wanted, [views], loaded, "")
    models = [model for models in loaded.models.values() for model in models]
    return Predictor(run, config, source, models, views)


@dataclass(frozen=True)
class Loaded:
    """models: by run and folds, however many blends they are in. one: the only fold, or None.

    epoch: of the networks, 0 for the run's own.
    """

    device: torch.device
    one: int | None
    epoch: int
    models: dict[tuple[str, tuple[int, ...]], list[FoldModel]]


def _source(run: Run, folds: list[int], views: list[str], loaded: Loaded, blend: str) -> Source:
    if run.is_blend():
        run.refuse_unfinished(folds)
        _refuse_ranks(run)
        mixture = mixture_of(run, loaded.one)
        refuse_changed(run, mixture.members)
        members: dict[str, Source] = {}
        for member in mixture.members:
            inside = views if views != [""] else _views_of(member)
            members[member.name] = _source(
                member.run, folds or run.finished(), inside, loaded, run.name
            )
        return Blended(members, mixture)
    wanted = folds_to_predict(run, folds, blend)
    key = run.name, tuple(wanted)
    if key not in loaded.models:
        loaded.models[key] = networks_of(run, wanted, loaded.device, loaded.epoch)
    return Networks(wanted, loaded.models[key], views)


def _refuse_ranks(blend: Run) -> None:
    if blend.config().blend.method == "rank":
        raise FoldwiseError(
            f"{blend.name} blends ranks among the rows of its tables, which other images do not "
            "have: predict with one of its members, or with a blend of method=mean"
        )


def _views_of(member: Member) -> list[str]:
    """The views of a blend's member, as tta= says them; '' is its own."""
    folds = member.run.finished()  # of one without any it is said later what it lacks
    return [named_so(views) for views in member.tables(folds[0])] if folds else [""]


def class_prior(run: Run, config: Config) -> np.ndarray:
    """float32 (classes,): the shares of the classes (or means of the numbers) in the run's OOF.

    Raises FoldwiseError where the run has no OOF tables.
    """
    settings, total, rows = config.competition, np.zeros(0), 0
    for fold in run.finished():
        names, _ = run.header(fold, "oof")
        labels = [
            name for name in names if name not in {"id", "fold", *prediction_columns(settings)}
        ]
        targets = targets_of(settings, run.predictions(fold, "oof", "", labels)[0])
        if targets.ndim == 1:
            targets = np.eye(len(settings.classes))[targets.astype(np.int64)]
        total = total + targets.sum(axis=0) if rows else targets.sum(axis=0)
        rows += len(targets)
    return (total / max(rows, 1)).astype(np.float32)
