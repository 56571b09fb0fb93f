"""Images of a folder predicted by a run's folds, into tables beside its own."""

import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.bar import counted
from foldwise.competition.foldfiles import digest
from foldwise.competition.reading.imagefiles import index_images
from foldwise.device import prepare
from foldwise.errors import FoldwiseError, first_few
from foldwise.files import shown
from foldwise.images.decode import find_broken, threads
from foldwise.images.load import open_images
from foldwise.images.pack import WORTH, open_pack, room_for
from foldwise.prediction.fold_model import device_of, load_fold, look_of
from foldwise.provenance import prediction_columns
from foldwise.runs import Run


def pool_of(folder: str) -> tuple[list[str], str]:
    """The images below a folder, as paths below it, sorted, and 16 hex digits that stand for them.

    The digits are of names and sizes: a copy of the folder has the same. Raises FoldwiseError where
    there are none.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise FoldwiseError(f"pseudo.pool={folder} is no folder: name one with images in it")
    names = sorted(index_images(path).paths)
    if not names:
        raise FoldwiseError(f"pseudo.pool={folder} has no images in it")
    return names, digest([(name, str((path / name).stat().st_size)) for name in names])[:16]


def predict_pool(
    run: Run, fold: int, names: list[str], folder: Path, packs: Path, table: str, views: str = ""
) -> None:
    """Write fold<k>/<table>.parquet, with other ``views`` <table>.<views>.parquet, if missing.

    ``names``: of `pool_of`, below ``folder``. Images that do not decode are named and get no row.
    Where it is worth it, the images are decoded into ``packs``. Raises FoldwiseError.
    """
    if _is_there(run, fold, table, views):
        return
    config, files = run.config(), [str(folder / name) for name in names]
    device = device_of(config)
    prepare(config.train, device)
    look = look_of(config)
    workers, size = threads(config.images.workers), len(files) * look.bytes
    pack = None
    if size >= WORTH and config.images.pack == "auto" and room_for(packs, size):
        pack = open_pack(files, look, packs, workers)
        broken = {files[n]: reason for n, reason in pack.broken.items()}
    else:
        broken = _broken_of(tuple(files), workers)
    _say_broken(tuple(f"{shown(Path(path))} {reason}" for path, reason in broken.items()))
    if len(broken) == len(files):
        raise FoldwiseError(
            f"none of the {len(files)} images below {shown(folder)} can be decoded: name another "
            "pseudo.pool"
        )
    rows = np.array([n for n, path in enumerate(files) if path not in broken], np.int64)
    images = open_images(files, look, device, workers, 0.0, pack)
    with run.fold_kept(fold):
        model, origin = load_fold(run, fold, device)
        with counted(len(rows), f"images of the pool predicted by {run.name}") as advance:
            p = model(images, rows, views, advance)
        found = pd.DataFrame(p, columns=prediction_columns(config.competition))
        found.insert(0, "id", [names[n] for n in rows])
        run.write_predictions(fold, table, found, origin, views)


@lru_cache(maxsize=1)  # every fold of every network behind a source has the same pool
def _broken_of(files: tuple[str, ...], workers: int) -> dict[str, str]:
    return find_broken(files, workers, None)


@lru_cache(maxsize=1)
def _say_broken(said: tuple[str, ...]) -> None:
    if said:
        print(f"{len(said)} images of the pool are left out: {first_few(said)}", file=sys.stderr)


def _is_there(run: Run, fold: int, table: str, views: str) -> bool:
    """Whether the fold's network of today has predicted it."""
    path = run.table(fold, table, views)
    if not path.is_file():
        return False
    return run.header(fold, table, views)[1] == run.model_provenance(fold)
