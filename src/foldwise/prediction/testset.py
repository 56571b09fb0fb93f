"""A finished run on a test set that it has not seen: what an inference kernel does."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from foldwise.competition import layout
from foldwise.competition.layout import CompetitionData
from foldwise.config import Config
from foldwise.device import automatic_precision, prepare
from foldwise.errors import FoldwiseError, first_few
from foldwise.images.decode import find_broken, threads
from foldwise.images.load import Images, open_images
from foldwise.images.pack import open_pack, room_for
from foldwise.prediction.fold_model import device_of, load_fold, look_of
from foldwise.provenance import prediction_columns
from foldwise.runs import Run


@dataclass(frozen=True)
class Predicted:
    """table: id and the mean of the folds' predictions; prior: ids that got the class prior."""

    config: Config
    data: CompetitionData
    table: pd.DataFrame
    prior: list[str]


def predict_test(
    run: Run, folder: Path, views: Sequence[str] = ("",), place: Path | None = None
) -> Predicted:
    """The test set of the competition in ``folder``, predicted by the run's finished folds.

    ``views``: each is predicted, and their mean is taken ('': the run's own). Images that are
    missing or broken get the class prior. Beside the table a few batches are in memory; decoded
    images are in ``place`` (None: among temporary files), where it has room. Raises FoldwiseError.
    """
    if place is None:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
            return predict_test(run, folder, views, Path(temporary))
    config = run.config()
    config.competition.slug = str(folder)
    config.images.missing, folds = "drop", run.finished()
    data = layout.load(config)
    if data.test is None or not folds:
        lacks = "a test set" if folds else "a finished fold"
        raise FoldwiseError(f"{folder.name}, {run.name}: there is no {lacks} to predict with")
    device = device_of(config)
    prepare(config.train, device)
    images, usable = _opened(config, data.test["file"].tolist(), place, device)
    total = np.zeros((len(data.test), len(config.competition.classes)))
    for fold in folds:
        model, _ = load_fold(run, fold, device)
        if config.train.precision != "fp32":  # the fast one of this device, not of another
            model.config.train.precision = automatic_precision(device)
        for one in views if len(usable) else ():
            total[usable] += model(images, usable, one)
        print(f"{run.name} fold {fold}: {len(usable):,} images predicted", flush=True)
    total /= len(folds) * len(views)
    others = np.setdiff1d(np.arange(len(total)), usable)
    total[others] = _prior(data)
    prior = data.test["id"].iloc[others].tolist()
    if prior:
        print(f"{len(prior)} images are missing or broken: the class prior for {first_few(prior)}")
    values = pd.DataFrame(total.astype(np.float32), columns=prediction_columns(config.competition))
    return Predicted(config, data, pd.concat([data.test[["id"]], values], axis=1), prior)


def _opened(
    config: Config, files: list[str], place: Path, device: torch.device
) -> tuple[Images, np.ndarray]:
    """The images, and the rows (int64) of those that can be used."""
    look = look_of(config)
    workers = threads(config.images.workers)
    pack = None
    if room_for(place, len(files) * look.bytes):
        pack = open_pack(files, look, place, workers)
        broken = set(pack.broken)
    else:
        bad = find_broken([name for name in files if name], workers, None)
        broken = {row for row, name in enumerate(files) if not name or name in bad}
    images = open_images(files, look, device, workers, 0.0, pack)
    return images, np.array([row for row in range(len(files)) if row not in broken], np.int64)


def _prior(data: CompetitionData) -> np.ndarray:
    """float64 (classes,): the classes' shares of the training rows, or the numbers' means."""
    values = data.targets.values
    if values.ndim == 2:
        return values.mean(axis=0)
    return np.bincount(values, minlength=len(data.classes)) / len(values)
