"""What a version of a kernel has left: fetched, and compared with the kernel's own list of it."""

import json
import time
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from foldwise.errors import FoldwiseError, first_few
from foldwise.files import shown
from foldwise.kaggle import client
from foldwise.kaggle.client import Kaggle, Refused
from foldwise.kaggle.inside import MANIFEST, digest
from foldwise.kaggle.kernel import Push
from foldwise.kaggle.stream import save


def fetch_output(kaggle: Kaggle, made: Push, folder: Path) -> dict[str, Any]:
    """What a version has left, below ``folder``: its manifest, each of its files as listed there.

    Files that are there and right are not fetched again. Raises FoldwiseError where the manifest
    is missing or of other code, and for files that are missing or damaged, in several tries.
    """
    manifest = _manifest(kaggle, made, folder / MANIFEST)
    if manifest["archive"] != made.archive:
        raise FoldwiseError(
            f"the output of {made.ref} version {made.version} was made by other code than was "
            "pushed: push it again"
        )
    listed = {MANIFEST, *manifest["files"]}
    for path in folder.rglob("*"):  # of an earlier version
        if path.is_file() and path.relative_to(folder).as_posix() not in listed:
            path.unlink()
    wrong = []
    for name, facts in manifest["files"].items():
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or "\\" in name:
            raise FoldwiseError(f"the output of {made.ref} has a file {name!a}: nothing is taken")
        path = folder.joinpath(*parts)
        if not _right(path, facts) and not _fetched(kaggle, made, name, path, facts):
            wrong.append(name)
    if wrong:
        raise FoldwiseError(
            f"the output of {made.ref} version {made.version} is incomplete: {first_few(wrong)} "
            "missing or damaged; nothing of it is used: repeat the command, or push it again"
        )
    return manifest


def check_output(folder: Path, archive: str) -> dict[str, Any]:
    """The manifest of an output that lies here. Raises FoldwiseError: not there, or not right."""
    target = folder / MANIFEST
    if not target.is_file():
        raise FoldwiseError(f"{shown(folder)} has no {MANIFEST}: the kernel did not run to its end")
    manifest = _parsed(target) or {"archive": "", "files": {}}
    wrong = [n for n, facts in manifest["files"].items() if not _right(folder / n, facts)]
    if wrong or manifest["archive"] != archive:
        raise FoldwiseError(f"{shown(folder)}: {first_few(wrong) or MANIFEST} is not right")
    return manifest


def _manifest(kaggle: Kaggle, made: Push, target: Path) -> dict[str, Any]:
    for pause in (0.0, *client.PAUSES):
        time.sleep(pause)
        target.unlink(missing_ok=True)
        if not _file(kaggle, made, MANIFEST, target):
            break
        if manifest := _parsed(target):
            return manifest
    raise FoldwiseError(
        f"{made.ref} version {made.version} left no {MANIFEST}: it did not run to its end; its log "
        "says why"
    )


def _parsed(path: Path) -> dict[str, Any] | None:
    """A manifest; None where the file is not one, or only the beginning of one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if isinstance(content["files"], dict) and content["archive"] else None
    except (ValueError, KeyError, TypeError):
        return None


def _right(path: Path, facts: dict[str, Any]) -> bool:
    return (
        path.is_file() and path.stat().st_size == facts["size"] and digest(path) == facts["sha256"]
    )


def _fetched(kaggle: Kaggle, made: Push, name: str, path: Path, facts: dict[str, Any]) -> bool:
    for pause in (0.0, *client.PAUSES):
        time.sleep(pause)
        if not _file(kaggle, made, name, path):
            return False
        if _right(path, facts):
            return True
        path.unlink(missing_ok=True)
    return False


def _file(kaggle: Kaggle, made: Push, name: str, path: Path) -> bool:
    """Fetch one file of this version's output; whether there is such a file."""
    from kagglesdk.kernels.types.kernels_api_service import ApiDownloadKernelOutputRequest

    request = ApiDownloadKernelOutputRequest()
    request.owner_slug, request.kernel_slug = made.ref.split("/")
    request.file_path, request.version_number = name, made.version
    group = ("kernels", "kernels_api_client", "download_kernel_output")
    try:
        save(kaggle, name, partial(kaggle.ask, name, kaggle.rpc, *group, request), path)
    except Refused as error:
        if error.status == 404:
            return False
        raise
    return True
