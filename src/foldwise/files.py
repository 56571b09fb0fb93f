"""Where the project's folders are, and how a file is written so that nobody reads half of it."""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from foldwise.errors import FoldwiseError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def home() -> Path:
    """The folder of input/, oof/ and submissions/: FOLDWISE_HOME, or the clone this code is in."""
    return Path(os.environ.get("FOLDWISE_HOME") or Path(__file__).resolve().parents[2])


def shown(path: Path) -> str:
    """A path for messages: relative to the current folder or to home where it lies below one."""
    for base in (Path.cwd(), home()):
        if path.is_relative_to(base):
            return str(path.relative_to(base))
    return str(path)


def out_of_space(error: BaseException | None) -> OSError | None:
    """The full-disk error behind an exception, however a library wrapped it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return error
        error = error.__cause__ or error.__context__
    return None


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A binary file that appears at ``path`` complete or not at all, and survives a power cut.

    Raises FoldwiseError when the disk is full; the old file, if any, is then untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if out_of_space(error):
            raise disk_full(path) from error
        raise


def disk_full(path: Path) -> FoldwiseError:
    """The line for a full disk (or a file-size limit) at ``path``."""
    folder = next(p for p in (path, *path.parents) if p.exists())
    free = shutil.disk_usage(folder).free / 2**20
    return FoldwiseError(
        f"no room to write {shown(path)} ({free:.0f} MB free there): "
        "free some space, then repeat the command; finished work is kept"
    )


def write_bytes(path: Path, data: bytes) -> None:
    with atomic(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Raises FoldwiseError when the file is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise FoldwiseError(f"{shown(path)} cannot be read ({error})") from error
