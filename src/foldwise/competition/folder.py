"""A competition's folder: where it is, and how one appears complete or not at all."""

import contextlib
import errno
import glob
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from foldwise.errors import FoldwiseError, UsageError, nearest
from foldwise.files import disk_full, home, out_of_space, shown


def folder_of(slug: str) -> Path:
    """``input/<slug>`` under the project's home, or the path itself when ``slug`` has a slash.

    Raises UsageError when ``slug`` is empty.
    """
    if not slug.strip():
        raise UsageError("competition= is empty: name a folder under input/, or give a path")
    if "/" in slug or slug in (".", ".."):
        return _absolute(slug)
    return home() / "input" / slug


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
        f"get it with ./run.sh download competition={slug_of(slug)} from=FILE.zip"
    )


@contextlib.contextmanager
def new_folder(folder: Path, replace: bool = False, keep: Sequence[str] = ()) -> Iterator[Path]:
    """A temporary sibling to fill; at the end it becomes ``folder``, after an error it is gone.

    With ``replace`` it takes the place of a folder that is there, whose files named in ``keep``
    come along. Raises FileExistsError when without it a folder with something in it is there by
    then, FoldwiseError when the disk is full or the place cannot be written.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        _put_right(folder)
        temporary.mkdir(parents=True)
        yield temporary
        if replace and folder.is_dir():
            _replace(folder, temporary, keep)
        else:
            temporary.rename(folder)  # takes the place of an empty folder, never of files
    except OSError as error:
        if out_of_space(error):
            raise disk_full(folder) from error
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and folder.is_dir():
            raise FileExistsError(f"{shown(folder)} is there already") from error
        raise FoldwiseError(
            f"{shown(folder)} cannot be written ({error.strerror}): make {shown(folder.parent)} a "
            "folder that can be written, or set FOLDWISE_HOME to one"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace(folder: Path, temporary: Path, keep: Sequence[str]) -> None:
    for name in keep:
        if (folder / name).is_file():
            shutil.copy2(folder / name, temporary / name)
    old = temporary.with_suffix(".old")
    folder.rename(old)
    try:
        temporary.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _put_right(folder: Path) -> None:
    """What a kill -9 may have left beside ``folder``: the old one moved away, or temporary files.

    A temporary folder of the last day may be another process's, at work on another machine.
    """
    olds = sorted(folder.parent.glob(f".{glob.escape(folder.name)}.*.old"))
    if olds and not folder.exists():
        olds.pop().rename(folder)
    yesterday = time.time() - 86400
    rests = [*olds, *folder.parent.glob(f".{glob.escape(folder.name)}.*.tmp")]
    for rest in rests:
        if rest.stat().st_mtime < yesterday:
            shutil.rmtree(rest, ignore_errors=True)
