"""A competition's data from Kaggle: one zip, gone on with after a break, checked to be whole."""

import zipfile
from functools import partial
from pathlib import Path

from foldwise.errors import FoldwiseError, first_few
from foldwise.files import shown
from foldwise.kaggle.archive import Damaged
from foldwise.kaggle.client import Kaggle, Refused
from foldwise.kaggle.stream import forget, save

LISTED = 1000  # files that are compared with the service's list: it gives them by the page
PAGE = 200


def fetch(kaggle: Kaggle, slug: str, target: Path) -> None:
    """``target``, a zip with the files of the competition; a part that is there is gone on with.

    Raises Damaged for what is no whole zip, and removes it; FoldwiseError: rules that are not
    accepted, no such competition, no connection (the part stays for the next call), a full disk.
    """
    from kagglesdk.competitions.types.competition_api_service import ApiDownloadDataFilesRequest

    listed = _listed(kaggle, slug)
    request = ApiDownloadDataFilesRequest()
    request.competition_name = slug
    group = ("competitions", "competition_api_client", "download_data_files")
    try:
        save(kaggle, slug, partial(kaggle.ask, slug, kaggle.rpc, *group, request), target)
    except Refused as error:
        raise no_access(slug, error) from error
    _refuse_incomplete(target, listed, slug)


def check_access(kaggle: Kaggle, slug: str) -> None:
    """Raises FoldwiseError: wrong credentials, or a competition that is not open to us."""
    try:
        kaggle.ask(f"the limits of {slug}", kaggle.api.competition_get_submission_limits, slug)
    except Refused as error:
        raise no_access(slug, error) from error


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
