"""A private data set for a kernel: created or versioned once, waited for, and looked through."""

import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foldwise.errors import FoldwiseError, first_few
from foldwise.kaggle import client
from foldwise.kaggle.client import Kaggle, Refused, Unanswered
from foldwise.kaggle.inside import digest

POLL = (2.0, 30.0)  # seconds between two looks at a data set in the making
SHY = 60.0  # seconds in which Kaggle may not know yet what was just made
READY = 3600.0  # seconds until a data set must be ready
API = "dataset_api_client"
PAGE = 200


def marked(files: Mapping[str, Path]) -> tuple[str, bytes]:
    """The marker of a data set: a file that lists the others, and is named after them."""
    facts = {
        name: {"size": path.stat().st_size, "sha256": digest(path)}
        for name, path in sorted(files.items())
    }
    text = json.dumps({"files": facts}, indent=1)
    return f"files-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json", text.encode()


def upload(kaggle: Kaggle, slug: str, files: Mapping[str, Path], marker: str, text: bytes) -> str:
    """owner/slug of a private data set whose newest version has these files, and is ready.

    Nothing is uploaded where it has them already. Raises FoldwiseError.
    """
    ref = f"{kaggle.username}/{slug}"
    there = listed(kaggle, ref)
    if there is None or marker not in there:
        total = sum(path.stat().st_size for path in files.values()) / 2**20
        print(f"uploading {len(files)} files, {total:,.0f} MB, as {ref}", file=sys.stderr)
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            for name, path in files.items():
                (folder / name).symlink_to(path.absolute())
            (folder / marker).write_bytes(text)
            _made(kaggle, ref, folder, marker, there is None)
    _wait(kaggle, ref, marker)
    sizes = {name: path.stat().st_size for name, path in files.items()} | {marker: len(text)}
    there = listed(kaggle, ref) or {}
    wrong = [name for name, size in sizes.items() if there.get(name) != size]
    if wrong:
        raise FoldwiseError(
            f"the data set {ref} is incomplete on Kaggle: {first_few(wrong)} missing or of another "
            "size: repeat the command, which uploads a new version"
        )
    return ref


def listed(kaggle: Kaggle, ref: str) -> dict[str, int] | None:
    """The files of a data set's newest version with their sizes; None where there is no such set.

    A set that was just made may be unknown for some seconds.
    """
    from kagglesdk.datasets.types.dataset_api_service import ApiListDatasetFilesRequest

    sizes: dict[str, int] = {}
    request = ApiListDatasetFilesRequest()
    request.owner_slug, request.dataset_slug = ref.split("/")
    request.page_size = PAGE
    while True:
        try:
            page = _ask(kaggle, ref, "list_dataset_files", request)
        except Refused as error:
            if error.status in (403, 404):
                return None
            raise
        sizes |= {file.name: file.total_bytes for file in page.dataset_files or []}
        if not page.next_page_token:
            return sizes
        request.page_token = page.next_page_token


def _made(kaggle: Kaggle, ref: str, folder: Path, marker: str, new: bool) -> None:
    """Upload the folder's files, then create the set or a version of it, once."""
    owner, slug = ref.split("/")
    request, body = _request(owner, slug, marker, new)
    _upload_files(kaggle, folder, body)
    method = "create_dataset" if new else "create_dataset_version"
    for pause in (*client.PAUSES, None):
        try:
            answer = kaggle.tell(
                f"the data set {ref}", kaggle.rpc, "datasets", API, method, request
            )
            break
        except Unanswered:
            if marker in (listed(kaggle, ref) or {}):
                return
            if pause is None:
                raise
            time.sleep(pause)
    if answer.status.lower() != "ok":
        raise FoldwiseError(f"the data set {ref} was not made: Kaggle says '{answer.error}'")


def _request(owner: str, slug: str, marker: str, new: bool) -> tuple[Any, Any]:
    """The request, and the part of it that takes the files."""
    from kagglesdk.datasets.types import dataset_api_service as types

    if new:
        request = types.ApiCreateDatasetRequest()
        request.owner_slug, request.slug, request.title = owner, slug, slug.replace("-", " ")
        request.license_name, request.is_private = "CC0-1.0", True
        request.files = []
        return request, request
    version = types.ApiCreateDatasetVersionRequest()
    version.owner_slug, version.dataset_slug = owner, slug
    version.body = types.ApiCreateDatasetVersionRequestBody()
    version.body.version_notes, version.body.files = marker, []
    return version, version.body


def _upload_files(kaggle: Kaggle, folder: Path, body: Any) -> None:
    """The client goes on when a file's upload fails: here all of them must have arrived."""
    from kaggle.api.kaggle_api_extended import ResumableUploadContext
    from kagglesdk.blobs.types.blob_api_service import ApiBlobType
    from requests import RequestException

    count = len(list(folder.iterdir()))
    for pause in (*client.PAUSES, None):
        body.files = []
        try:
            with client.quiet(), ResumableUploadContext() as context:
                arguments = (body, None, str(folder), ApiBlobType.DATASET, context, True)
                kaggle.api.upload_files(*arguments, "skip")
            if len(body.files) == count:
                return
            error: Exception = FoldwiseError(f"{count - len(body.files)} files failed")
        except RequestException as raised:
            error = kaggle.reason("uploading", raised)
            if isinstance(error, Refused):
                raise error from raised
        if pause is None:
            raise FoldwiseError(f"the files could not be uploaded ({error}): repeat the command")
        time.sleep(pause)


def _wait(kaggle: Kaggle, ref: str, marker: str) -> None:
    """Until Kaggle has copied the newest version: a kernel that comes earlier may not see it."""
    from kagglesdk.datasets.types.dataset_api_service import ApiGetDatasetStatusRequest

    request = ApiGetDatasetStatusRequest()
    request.owner_slug, request.dataset_slug = ref.split("/")
    began, pause = time.monotonic(), POLL[0]
    while True:
        state, waited = "", time.monotonic() - began
        try:
            state = _ask(kaggle, ref, "get_dataset_status", request).status.name
        except Refused as error:
            if error.status not in (403, 404) or waited > SHY:
                raise
        if state == "READY" and (marker in (listed(kaggle, ref) or {}) or waited > SHY):
            return
        if state in ("FAILED", "DELETED"):
            raise FoldwiseError(f"the data set {ref} is {state.lower()}: look at it on Kaggle")
        if waited > READY:
            raise FoldwiseError(
                f"the data set {ref} is not ready after {READY / 60:.0f} minutes "
                f"({state.lower() or 'unknown'}): repeat the command later"
            )
        time.sleep(pause)
        pause = min(1.5 * pause, POLL[1])


def _ask(kaggle: Kaggle, ref: str, method: str, request: Any) -> Any:
    return kaggle.ask(f"the data set {ref}", kaggle.rpc, "datasets", API, method, request)
