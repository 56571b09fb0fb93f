"""A competition's folder: where it is, and what its name is."""

import os
from pathlib import Path

from foldwise.errors import FoldwiseError, UsageError, nearest
from foldwise.files import home, shown


def folder_of(slug: str) -> Path:
    """``input/<slug>`` under the project's home, or the path itself when ``slug`` has a slash.

    Raises UsageError when ``slug`` is empty.
    """
    if not slug.strip():
        raise UsageError("competition= is empty: name a folder under input/, or give a path")
    if "/" in slug or slug in (".", ".."):
        return _absolute(slug)
    return home() / "input" / slug


def inner_folder(folder: Path) -> Path:
    """Where a zip has wrapped everything in one folder, that folder: it has tables of its own."""
    entries = [e for e in folder.iterdir() if not e.name.startswith(".") and e.name != "__MACOSX"]
    if len(entries) == 1 and entries[0].is_dir():
        inside = list(entries[0].iterdir())
        if any(path.is_file() and path.suffix.lower() in (".csv", ".tsv") for path in inside):
            return entries[0]
    return folder


def place_to_write(folder: Path) -> Path:
    """Where what we make for a competition goes: its folder, or ``input/<slug>`` of our home.

    Kaggle mounts competitions read-only.
    """
    return folder if os.access(folder, os.W_OK) else home() / "input" / folder.name


def packs_of(folder: Path) -> Path:
    """Where the decoded images of a competition's folder lie."""
    return place_to_write(folder) / "packed"


def slug_of(text: str) -> str:
    """The last part of a path: ``../data/cifar10/`` is the competition ``cifar10``."""
    return _absolute(text).name


def _absolute(text: str) -> Path:
    """Without ``..``, and with the links left as they are: a linked folder keeps its name."""
    return Path(os.path.normpath(Path(text).expanduser().absolute()))


def existing_folder(slug: str) -> Path:
    """The folder of a competition that is there. Raises FoldwiseError when it is not."""
    folder = folder_of(slug)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise FoldwiseError(
            f"{shown(folder)} is a file, not a competition's folder: "
            f"./run.sh download competition={slug_of(slug)} from=FILE.zip lays a zip out"
        )
    beside = folder.parent
    names = [entry.name for entry in beside.iterdir() if entry.is_dir()] if beside.is_dir() else []
    raise FoldwiseError(
        f"there is no folder {shown(folder)}{nearest(folder.name, names) or ':'} "
        f"get it with ./run.sh download competition={slug_of(slug)} (from=FILE.zip: from a zip)"
    )
