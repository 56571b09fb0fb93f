"""A competition's data from Kaggle: one zip, gone on with after a break, checked to be whole."""

import contextlib
import shutil
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

from foldwise.errors import FoldwiseError, first_few
from foldwise.files import disk_full, out_of_space, shown
from foldwise.kaggle import client
from foldwise.kaggle.archive import Damaged
from foldwise.kaggle.client import Kaggle, Refused

LISTED = 1000  # files that are compared with the service's list: it gives them by the page
PAGE = 200


def fetch(kaggle: Kaggle, slug: str, target: Path) -> None:
    """``target``, a zip with the files of the competition; a part that is there is gone on with.

    Raises Damaged for what is no whole zip, and removes it; FoldwiseError: rules that are not
    accepted, no such competition, no connection (the part stays for the next call), a full disk.
    """
    listed = _listed(kaggle, slug)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _download(kaggle, slug, target)
    except OSError as error:
        if out_of_space(error):
            raise disk_full(target) from error
        raise FoldwiseError(
            f"{shown(target)} cannot be written ({error.strerror}): make that folder writable"
        ) from error
    _refuse_incomplete(target, listed, slug)


def no_access(slug: str, error: Refused) -> FoldwiseError:
    """What a 403 or 404 about a competition means, with what to do."""
    page = f"https://www.kaggle.com/competitions/{slug}"
    if error.status not in (403, 404):
        return error
    if "accept" in error.reason or "participate" in error.reason:
        return FoldwiseError(
            f"{slug}: Kaggle says no ({error.reason}): accept the rules on {page}/rules in a "
            "browser (Join Competition), then repeat the command; or is the name another?"
        )
    return FoldwiseError(
        f"{slug}: Kaggle knows no such competition, or shows it to others only ({error.reason}): "
        f"the name is the last part of its address, {page}"
    )


def _listed(kaggle: Kaggle, slug: str) -> dict[str, int]:
    """The first files of the competition with their sizes, as the service lists them."""
    sizes: dict[str, int] = {}
    token = ""
    while len(sizes) < LISTED:
        try:
            page = kaggle.ask(
                f"the files of {slug}", kaggle.api.competition_list_files, slug, token, PAGE
            )
        except Refused as error:
            raise no_access(slug, error) from error
        sizes |= {file.name: file.total_bytes for file in page.files or []}
        token = page.next_page_token
        if not token:
            break
    return sizes


def _download(kaggle: Kaggle, slug: str, target: Path) -> None:
    """The archive; each try asks for a new address, and goes on where the last one was cut."""
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    request = _request(slug)
    for pause in (*client.PAUSES, None):
        try:
            answer = kaggle.ask(
                f"{slug}", kaggle.rpc, "competitions", "competition_api_client",
                "download_data_files", request,
            )  # fmt: skip
        except Refused as error:
            raise no_access(slug, error) from error
        if not kaggle.api.download_needed(answer, str(target)):
            answer.close()  # it is there: what came next was broken off
            return
        _refuse_too_large(answer, target)
        try:
            # Its stdout is not for people; its bar is on stderr, and only for a terminal.
            with contextlib.redirect_stdout(None), kaggle.api.build_kaggle_client() as sdk:
                kaggle.api.download_file(
                    answer, str(target), sdk.http_client(), quiet=not sys.stderr.isatty(),
                    resume=True, max_retries=0, timeout=client.ANSWER,
                )  # fmt: skip
            return
        except (RequestException, HTTPError, OSError, ValueError) as error:
            ours = not isinstance(
                error, RequestException | HTTPError | ConnectionError | TimeoutError
            )
            if isinstance(error, OSError) and (ours or out_of_space(error)):
                forget(target)  # on a full disk, or the part would be what fills it
                raise
            if isinstance(error, ValueError):  # another size than was said: nothing to go on with
                forget(target)
            if pause is None:
                raise kaggle.reason(f"downloading {slug}", error) from error
            time.sleep(pause)


def _request(slug: str) -> Any:
    from kagglesdk.competitions.types.competition_api_service import ApiDownloadDataFilesRequest

    request = ApiDownloadDataFilesRequest()
    request.competition_name = slug
    return request


def _refuse_too_large(answer: Any, target: Path) -> None:
    size = int(answer.headers.get("Content-Length") or 0)
    there = target.stat().st_size if target.is_file() else 0
    free = shutil.disk_usage(target.parent).free
    if size - there > free:
        answer.close()
        raise FoldwiseError(
            f"{target.name} is {size / 2**20:,.0f} MB, {free / 2**20:,.0f} MB are free at "
            f"{shown(target.parent.parent)}: free some space (the files take more than the zip), "
            "then repeat the command"
        )


def forget(target: Path) -> None:
    """Remove a download, or the part of one."""
    for path in (target, target.with_name(f"{target.name}.kaggle-partial")):
        path.unlink(missing_ok=True)


def _refuse_incomplete(target: Path, listed: dict[str, int], slug: str) -> None:
    """The CRCs of its members are looked at when they are unpacked."""
    try:
        with zipfile.ZipFile(target) as archive:
            there = {info.filename: info.file_size for info in archive.infolist()}
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        forget(target)
        raise Damaged(f"{slug}: what Kaggle sent is no whole zip ({error})") from error
    names = {Path(name).name for name in there}
    absent = [name for name in listed if name not in there and Path(name).name not in names]
    other = [name for name, size in listed.items() if size and there.get(name, size) != size]
    if absent or other:
        what = f"lacks {first_few(absent)}" if absent else f"has other sizes of {first_few(other)}"
        raise FoldwiseError(
            f"{shown(target)} {what}, as Kaggle lists the files of {slug}: delete it and repeat "
            f"the command; with from={shown(target)} it is taken as it is"
        )
