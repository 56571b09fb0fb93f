"""Arrays of images and of labels: .npy, .npz, and pickles, read without running their code."""

import io
import pickle
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foldwise.competition.reading.tables import plain
from foldwise.errors import FoldwiseError
from foldwise.files import shown

SUFFIXES = (".npz", ".npy", ".pkl", ".pickle")
BATCH = re.compile(r"data_batch(_\d+)?|test_batch|train|test", re.IGNORECASE)  # CIFAR's own names
_LABELS = re.compile(r".*(labels?|targets?|classes|fine|coarse).*|y|.*[a-z]y|y(train|test|val).*")
_IDS = re.compile(r".*(ids?|filenames?|names?)")
# What a pickle of arrays, lists, dicts and text needs; anything else in it is refused unread.
_ALLOWED = {
    *((module, "_reconstruct") for module in ("numpy.core.multiarray", "numpy._core.multiarray")),
    *((module, "scalar") for module in ("numpy.core.multiarray", "numpy._core.multiarray")),
    *((module, "_frombuffer") for module in ("numpy.core.numeric", "numpy._core.numeric")),
    *(("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")),
}


@dataclass(frozen=True)
class Array:
    """One array of a file. kind: images, labels or ids; part: train, test, val, or '' if unsaid."""

    path: Path
    member: str  # '' where the file is the array
    kind: str
    part: str
    values: np.ndarray
    planes: bool  # flat rows are all red, then all green, then all blue, as in the CIFAR batches

    @property
    def where(self) -> str:
        return shown(self.path) + (f":{self.member}" if self.member else "")


def find_arrays(files: list[Path]) -> list[Array]:
    """The arrays of ``files`` that are images, labels or ids, sorted by file name.

    Raises FoldwiseError for a file that cannot be read, or not without running code in it.
    """
    found = sorted(filter(_has_arrays, files), key=_by_number)
    return [array for path in found for array in _arrays_of(path)]


def _by_number(path: Path) -> list[Any]:
    """data_batch_2 before data_batch_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(path))]


def _has_arrays(path: Path) -> bool:
    if path.suffix.lower() in SUFFIXES:
        return True
    return bool(BATCH.fullmatch(path.name)) and path.open("rb").read(1) == b"\x80"


def _arrays_of(path: Path) -> list[Array]:
    try:
        if path.suffix.lower() == ".npy":
            content = {"": np.load(path, mmap_mode="r", allow_pickle=False)}
        elif path.suffix.lower() == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                content = {name: archive[name] for name in archive.files}
        else:
            content = _unpickled(path)
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else "it is cut off"
        raise FoldwiseError(
            f"{shown(path)} cannot be read as arrays ({reason}): put a whole copy there, or move "
            "it out of the competition's folder"
        ) from error
    pickled = path.suffix.lower() not in (".npz", ".npy")
    found = [_array(path, name, np.asarray(values), pickled) for name, values in content.items()]
    return [array for array in found if array is not None]


def _array(path: Path, member: str, values: np.ndarray, pickled: bool) -> Array | None:
    """What an array is, by its name and shape; None for one that is of no use here."""
    name = plain(member) if member and not re.fullmatch(r"arr_?\d*", member) else plain(path.stem)
    part = part_of(name) or part_of(plain(path.stem))
    kind = ""
    numbers = values.dtype.kind in "uifb"
    wide = (values.ndim == 2 and values.shape[1] >= 36) or values.ndim in (3, 4)
    if numbers and wide and not _LABELS.fullmatch(name):
        kind = "images"
    elif values.ndim in (1, 2) and values.dtype.kind in "uifbUS" and _LABELS.fullmatch(name):
        kind = "labels"
    elif values.ndim == 1 and values.dtype.kind in "uiUS" and _IDS.fullmatch(name):
        kind = "ids"
    return Array(path, member, kind, part, values, pickled) if kind else None


def part_of(name: str) -> str:
    """train, test or val, as a plain name says; '' where it says nothing."""
    if "databatch" in name or "train" in name:
        return "train"
    found = re.search(r"test|val(?!ue)", name)
    return found[0] if found else ""


class _Unpickler(pickle.Unpickler):
    """Builds arrays, lists, dicts and text, and refuses to call anything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return super().find_class(module, name)
        raise ValueError(f"it would run {module}.{name}, which no array needs")


def _unpickled(path: Path) -> dict[str, Any]:
    """The arrays and lists of a pickled dict, such as CIFAR's batches (data, labels, filenames)."""
    try:
        value = _Unpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except (pickle.UnpicklingError, AttributeError, ImportError, IndexError, TypeError) as error:
        raise ValueError(str(error) or "it is no pickle") from error
    if isinstance(value, np.ndarray):
        value = {"": value}
    if not isinstance(value, dict):
        return {}
    named = {k.decode("latin1") if isinstance(k, bytes) else str(k): v for k, v in value.items()}
    return {k: np.asarray(v) for k, v in named.items() if isinstance(v, np.ndarray | list)}
