"""distill.run=NAME: a finished run whose models teach, each only about rows that it knows."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from foldwise.config import Config
from foldwise.errors import FoldwiseError, UsageError, first_few
from foldwise.images.augment import Normalize
from foldwise.models.outputs import kind_of
from foldwise.prediction.fold_model import load_fold
from foldwise.provenance import Provenance, common_recipe
from foldwise.runs import Run


@dataclass(frozen=True)
class Teacher:
    """A trained network that looks at the student's batches."""

    network: nn.Module
    size: int  # of the images that it knows
    scale: Tensor | None  # float32 (channels, 1, 1): from the student's normalisation to its own;
    offset: Tensor | None  # None where they are the same
    held_out: list[int]  # of its provenance

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Logits (n, outputs) of the student's pixels (n, channels, height, width)."""
        if self.scale is not None and self.offset is not None:
            pixels = pixels * self.scale + self.offset
        if pixels.shape[-1] != self.size:
            pixels = functional.interpolate(pixels, self.size, mode="bilinear", antialias=True)
        return self.network(pixels)


def check_teacher(config: Config, folds_hash: str, folds: list[int]) -> str:
    """16 hex digits of the recipe hash of distill.run: what the student's hash sees of it.

    Raises FoldwiseError and UsageError unless the run's models of the ``folds`` hold them out, on
    the split of ``folds_hash``, and can tell what the student wants to know.
    """
    name = config.distill.run
    if name == config.run:
        raise UsageError(f"distill.run={name} is this run itself: a teacher is another one")
    run = Run(name)
    if not run.config_file.is_file() and _is_file(name):
        raise FoldwiseError(
            f"distill.run={name} is a file, and a teacher is a run: ./run.sh model.name=… "
            f"model.weights={name} train.epochs=1 optimizer.lr=0 run=NAME makes one of it "
            "(docs/training.md, Distillation); then say distill.run=NAME"
        )
    if run.is_blend():
        raise _refusal(config, "it has no models, as blends have none: name one of its runs")
    theirs = run.config()
    run.refuse_unfinished(folds)
    _refuse_strange(config, theirs)
    origins = {k: run.model_provenance(k) for k in folds}
    try:
        recipe = common_recipe(origins, folds_hash, "distill.recipe", config.distill.recipe)
    except FoldwiseError as error:
        raise _refusal(config, str(error)) from error
    _refuse_seen(config, origins)
    return recipe


def _is_file(name: str) -> bool:
    path = Path(name).expanduser()
    return path.is_file() or path.suffix in (".safetensors", ".pt", ".pth", ".bin", ".ckpt")


def load_teacher(
    config: Config, fold: int, normalize: Normalize, device: torch.device
) -> Teacher | None:
    """distill.run's model of a fold; None without one.

    ``config`` is a student's that `check_teacher` has seen, ``normalize`` what its network wants.
    Raises FoldwiseError where the file is damaged.
    """
    if not config.distill.run:
        return None
    model, origin = load_fold(Run(config.distill.run), fold, device)
    own = model.normalize
    scale = offset = None
    if not (torch.equal(own.scale, normalize.scale) and torch.equal(own.offset, normalize.offset)):
        scale = own.scale / normalize.scale
        offset = (own.offset - normalize.offset * scale)[:, None, None]
        scale = scale[:, None, None]
    return Teacher(model.network, model.config.images.size, scale, offset, origin.held_out)


def _refusal(config: Config, reason: str) -> FoldwiseError:
    return FoldwiseError(f"distill.run={config.distill.run} cannot teach {config.run}: {reason}")


def _refuse_strange(config: Config, theirs: Config) -> None:
    """Raises FoldwiseError for a teacher of other things, or of images that look otherwise."""
    ours = config.competition
    if ours.task == "regression":
        raise _refusal(config, "distillation is for classes, and this is a regression")
    if theirs.competition.task != ours.task:
        raise _refusal(config, f"it is {theirs.competition.task}, and this is {ours.task}")
    if theirs.competition.classes != ours.classes:
        raise _refusal(
            config,
            f"it knows the classes {first_few(theirs.competition.classes)}, and these are "
            f"{first_few(ours.classes)}",
        )
    kinds = [kind_of(c.loss.name, ours.task) for c in (theirs, config)]
    if kinds[0] != kinds[1]:
        raise _refusal(
            config,
            f"with loss.name={theirs.loss.name} its outputs are {kinds[0]}, and with "
            f"loss.name={config.loss.name} these are {kinds[1]}: take {theirs.loss.name}",
        )
    for key, there, here in (
        ("model.in_chans", theirs.model.in_chans, config.model.in_chans),
        ("images.clahe", theirs.images.clahe, config.images.clahe),
    ):
        if there != here:
            raise _refusal(config, f"its images have {key}={there:g}, and these {here:g}")


def _refuse_seen(config: Config, origins: dict[int, Provenance]) -> None:
    """Raises FoldwiseError for models that know labels of the rows that they are not to know."""
    seen = [k for k, origin in origins.items() if k not in origin.held_out]
    if seen and config.checks:
        raise _refusal(
            config,
            f"its models of the folds {first_few(seen)} have seen labels of the fold that they "
            "are named for, so the student's score would be worth nothing",
        )
