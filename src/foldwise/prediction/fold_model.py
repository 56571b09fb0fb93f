"""A fold's network with all that decides about its predictions: built, or loaded from its run."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from foldwise.config import Config
from foldwise.device import autocast, pick_device
from foldwise.errors import FoldwiseError, UsageError, first_few
from foldwise.files import shown
from foldwise.images.augment import Normalize
from foldwise.images.load import Images
from foldwise.images.pack import Look
from foldwise.images.window import decode_side, middle
from foldwise.models.build import BuiltModel, build_model, place
from foldwise.models.outputs import keep_scale, outputs, reader
from foldwise.prediction.predict import predict
from foldwise.prediction.tta import views_of
from foldwise.provenance import Provenance
from foldwise.recipe import recipe_hash
from foldwise.runs import Run


@dataclass(frozen=True)
class FoldModel:
    """A network on its device; ``config`` is resolved. Call it to predict.

    ``network`` takes what ``pixels`` makes of uint8 images.
    """

    config: Config
    network: nn.Module
    normalize: Normalize
    device: torch.device

    def pixels(self, images: Tensor) -> Tensor:
        """What the network takes of uint8 images as they are decoded: their middle, normalised."""
        return self.normalize(middle(images, self.config.images))

    def __call__(
        self,
        images: Images,
        rows: np.ndarray,
        views: str = "",
        advance: Callable[[int], object] = lambda count: None,
    ) -> np.ndarray:
        """float32 (len(rows), classes), as of `predict`, from the config's views or from others.

        Raises UsageError for views that there are not.
        """
        config = self.config
        return predict(
            self.network,
            images,
            rows,
            batch_size=2 * config.train.batch_size,
            prepare=self.pixels,
            autocast=partial(autocast, self.device, config.train.precision),
            read=reader(config.loss.name, config.competition.task, self.network),
            views=list(views_of(views or config.tta.views, config.images.size).values()),
            space=config.tta.space,
            advance=advance,
        )


def look_of(config: Config) -> Look:
    """What a run's networks are shown of a row's file: decoded, and not yet cropped."""
    return Look(decode_side(config.images), config.model.in_chans, config.images.clahe)


def network_of(
    config: Config, device: torch.device, first_weights: bool = True
) -> tuple[BuiltModel, Normalize]:
    """A resolved config's network on ``device``, and what it wants done to the pixels.

    ``first_weights=False`` is for a network whose trained weights come next.
    Raises UsageError and FoldwiseError for what cannot be built.
    """
    width = outputs(config.loss.name, len(config.competition.classes))
    built = build_model(config.model, width, config.images.size, first_weights)
    place(built.network, device, config.train.channels_last)
    mean = _each(config.images.mean, built.mean, "mean")
    std = _each(config.images.std, built.std, "std")
    return built, Normalize(mean, std, device, config.train.channels_last)


def _each(said: list[float], own: list[float], key: str) -> list[float]:
    """A number a channel: what ``images.<key>`` says of each image of a row, or the model's."""
    if not said:
        return own
    counts = {1, 3, len(own)} if len(own) % 3 == 0 else {1, len(own)}
    if (
        len(said) not in counts
        or not all(0 <= n <= 1 for n in said)
        or (key == "std" and 0 in said)
    ):
        raise UsageError(
            f"images.{key}={said}: say one number for each of {len(own)} channels, or one for all, "
            f"of pixels from 0 to 1 (divide by 255)"
        )
    return said * (len(own) // len(said))


def device_of(config: Config) -> torch.device:
    """Where a finished run predicts: on its ``train.device``, or on what another machine has."""
    try:
        return pick_device(config.train.device)
    except UsageError:
        return pick_device("auto")


def folds_to_predict(run: Run, folds: list[int], part_of: str = "") -> list[int]:
    """``folds``, or all that are finished; those that are not are then named on stderr.

    ``part_of``: the blend that is made of the run, if any. Raises FoldwiseError where none of the
    run's folds has a network, as no blend's have, or one of ``folds`` is not finished.
    """
    there = [fold for fold in run.finished() if run.model_file(fold).is_file()]
    if not there:
        of = f", and {part_of} is made of it" if part_of else ""
        what = "a blend has none: name its members" if run.is_blend() else "train it"
        raise FoldwiseError(
            f"{run.name} has no network to predict with{of}: {what}, or name another run"
        )
    run.refuse_unfinished(folds)
    others = [fold for fold in range(run.config().folds.k) if fold not in there]
    if others and not folds:
        print(f"folds {first_few(others)} of {run.name} are not finished", file=sys.stderr)
    return folds or there


def load_fold(
    run: Run, fold: int, device: torch.device, epoch: int = 0
) -> tuple[FoldModel, Provenance]:
    """The network of a finished fold in eval mode, its weights frozen, and what it was made from.

    ``epoch``: with the weights that train.save_every kept then. It predicts on a device of the same
    kind exactly as in training. Raises FoldwiseError for weights that are missing, damaged, or not
    of this run and fold.
    """
    config = run.config()
    tensors, origin = run.model(fold, epoch)
    path = shown(run.model_file(fold, epoch))
    advice = "train that fold again (fold=K overwrite=true)"
    if origin.recipe_hash != recipe_hash(config):
        raise FoldwiseError(
            f"{path} was made by another recipe than {shown(run.config_file)} now says: restore "
            f"the two together, or {advice}"
        )
    beside = run.table(fold, "oof").is_file()  # not where the weights alone were copied to
    if origin.fold != fold or (beside and not origin.same_recipe(run.provenance(fold))):
        raise FoldwiseError(
            f"{path} is not the network that made the tables beside it: restore it, or {advice}"
        )
    if config.train.precision == "fp16" and device.type == "cpu":  # as training refuses it there
        config.train.precision = "fp32"
    built, normalize = network_of(config, device, first_weights=False)
    if config.competition.task == "regression":
        mean, std = torch.zeros(2, len(config.competition.classes), device=device)
        keep_scale(built.network, mean, std)
    try:
        built.network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise FoldwiseError(
            f"{path} does not fit {config.model.name} ({reason}): restore it, or {advice}"
        ) from error
    network = built.network.eval().requires_grad_(False)
    return FoldModel(config, network, normalize, device), origin
