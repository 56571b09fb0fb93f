"""Where the project's folders are; files and folders that appear whole or not at all."""

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from foldwise.errors import FoldwiseError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def home() -> Path:
    """The folder of input/, oof/ and submissions/: FOLDWISE_HOME, or the clone this code is in."""
    return Path(os.environ.get("FOLDWISE_HOME") or Path(__file__).resolve().parents[2])


def submission_file(run: str, views: str = "") -> Path:
    """submissions/<run>.csv, or <run>.<views>.csv, with ``views`` as in the tables' names."""
    return home() / "submissions" / (f"{run}.{views}.csv" if views else f"{run}.csv")


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
    """A binary file that appears at ``path`` complete or not at all.

    Raises FoldwiseError when it cannot be written; the old file, if any, is then untouched.
    """
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if out_of_space(error):
            raise disk_full(path) from error
        if isinstance(error, OSError):
            raise not_writable(path, error) from error
        raise


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder to fill; at the end it becomes ``path``, after an error it is gone.

    Raises FileExistsError when by then a folder with something in it is there, FoldwiseError when
    it cannot be written.
    """
    temporary = _temporary(path)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        temporary.rename(path)  # takes the place of an empty folder, never of files
    except OSError as error:
        if out_of_space(error):
            raise disk_full(path) from error
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and path.is_dir():
            raise FileExistsError(f"{shown(path)} is there already") from error
        raise not_writable(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary(path: Path) -> Path:
    """A name beside ``path`` for this process, what killed ones left there having been removed."""
    if path.parent.is_dir():
        for rest in path.parent.iterdir():
            if abandoned(rest, path.name):
                shutil.rmtree(rest, ignore_errors=True) if rest.is_dir() else rest.unlink()
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def abandoned(rest: Path, name: str = "") -> bool:
    """Whether a killed process left this half written; with ``name``: on its way to that name."""
    match = re.fullmatch(rf"\.{re.escape(name) or '.+'}\.(\d+)\.tmp", rest.name)
    return match is not None and not _alive(int(match[1]))


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def not_writable(path: Path, error: OSError) -> FoldwiseError:
    """The line for a place where nothing can be written."""
    return FoldwiseError(
        f"{shown(path)} cannot be written ({error.strerror or error}): make "
        f"{shown(path.parent)} a folder that can be written, or set FOLDWISE_HOME to one"
    )


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
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def read_json(path: Path) -> Any:
    """Raises FoldwiseError when the file is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise FoldwiseError(
            f"{shown(path)} cannot be read ({error}): restore it, or delete it where it can be "
            "made again"
        ) from error
