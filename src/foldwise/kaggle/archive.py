"""A zip from elsewhere, looked through before a byte of it is written, then unpacked."""

import os
import re
import shutil
import stat
import time
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from foldwise.errors import FoldwiseError, first_few
from foldwise.files import disk_full, out_of_space, shown

# A real competition's images hardly shrink in a zip, and its tables to a tenth or so.
BOMB_RATIO = 100
BOMB_BYTES = 2**30  # below this much, any ratio is harmless
BLOCK = 4096  # what a small file takes on most disks
JUNK = re.compile(r"(^|/)(__MACOSX/|\.DS_Store$|Thumbs\.db$|\._[^/]*$)")
TRAIN = re.compile(r"train(ing)?[\W_]*(images?|imgs?|set|data|jpe?gs?|pngs?)?", re.IGNORECASE)


class Damaged(FoldwiseError):
    """A zip that is not whole: another download of it may be."""


@dataclass(frozen=True)
class Member:
    info: zipfile.ZipInfo
    path: PurePosixPath  # where it goes, below the competition's folder


def members_of(archive: zipfile.ZipFile, source: Path) -> list[Member]:
    """The files of a zip, after every check that needs no unpacking; a single top folder is cut.

    Raises FoldwiseError for names that lead outside the folder, links and special files, encrypted
    members, members in each other's way, and a zip that unpacks to a suspicious size.
    """
    members = []
    for info in archive.infolist():
        path = _path(info, source)
        if info.is_dir() or JUNK.search(info.filename):
            continue
        members.append(Member(info, path))
    if not members:
        raise FoldwiseError(f"{shown(source)} has no files in it: download it again")
    _refuse_collisions(members, source)
    _refuse_bomb(members, source)
    return _without_top(members)


def unpack(archive: zipfile.ZipFile, members: list[Member], source: Path, folder: Path) -> None:
    """Writes the members below ``folder``, with their times; CRCs are checked on the way.

    Raises FoldwiseError for damaged members and when the disk has no room, if possible before.
    """
    needed = sum(-(-member.info.file_size // BLOCK) * BLOCK for member in members)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise FoldwiseError(
            f"{shown(source)} needs {needed / 2**20:,.0f} MB, {free / 2**20:,.0f} MB are free at "
            f"{shown(folder.parent)}: free some space, then repeat the command"
        )
    for parent in sorted({str(member.path.parent) for member in members}):
        (folder / parent).mkdir(parents=True, exist_ok=True)
    total = sum(member.info.file_size for member in members)
    bar = tqdm(total=total, unit="B", unit_scale=True, desc=source.name, disable=None, leave=False)
    with bar:
        for member in members:
            _write(archive, member, source, folder)
            bar.update(member.info.file_size)


def _path(info: zipfile.ZipInfo, source: Path) -> PurePosixPath:
    """Where a member goes. Raises FoldwiseError unless that is a plain place below the folder."""
    name = info.orig_filename
    kind = stat.S_IFMT(info.external_attr >> 16)
    parts = [part for part in name.split("/") if part not in ("", ".")]
    reason = ""
    if name.startswith("/") or ".." in parts or "\\" in name or re.match("[A-Za-z]:", name):
        reason = "would be written outside the competition's folder"
    elif not parts or any(ord(letter) < 32 for letter in name):
        reason = "has a name that no file should have"
    elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        reason = "is a link" if kind == stat.S_IFLNK else "is a device, not a file"
    elif info.flag_bits & 0x2041:  # encrypted, strongly encrypted, encrypted directory
        reason = "is encrypted"
    if reason:
        raise FoldwiseError(
            f"{shown(source)}: member {name!a} {reason}; nothing was unpacked: "
            "get the zip from Kaggle again, or zip the plain files anew"
        )
    return PurePosixPath(*parts)


def _refuse_collisions(members: list[Member], source: Path) -> None:
    seen: set[str] = set()
    folders = {str(parent) for member in members for parent in member.path.parents}
    doubled = []
    for member in members:
        path = str(member.path)
        if path in seen or path in folders:
            doubled.append(path)
        seen.add(path)
    if doubled:
        raise FoldwiseError(
            f"{shown(source)} has {len(doubled)} names twice ({first_few(doubled)}), so one file "
            "would overwrite another; nothing was unpacked: zip the plain files anew"
        )


def _refuse_bomb(members: list[Member], source: Path) -> None:
    total = sum(member.info.file_size for member in members)
    packed = max(1, source.stat().st_size)
    if total > BOMB_BYTES and total > BOMB_RATIO * packed:
        raise FoldwiseError(
            f"{shown(source)} would unpack {packed / 2**20:,.1f} MB to {total / 2**20:,.0f} MB, "
            f"over {BOMB_RATIO} times its size, as no competition does; nothing was unpacked: "
            "if you trust it, unzip it by hand and give the folder as competition=PATH"
        )


def _without_top(members: list[Member]) -> list[Member]:
    """Cuts a top folder that wraps everything, if it has the tables or the train folder in it."""
    tops = {member.path.parts[0] for member in members}
    wrapped = len(tops) == 1 and all(len(member.path.parts) > 1 for member in members)
    if not wrapped or TRAIN.fullmatch(tops.pop()):
        return members
    inner = [PurePosixPath(*member.path.parts[1:]) for member in members]
    tables = any(len(path.parts) == 1 and path.suffix.lower() == ".csv" for path in inner)
    trains = any(len(path.parts) > 1 and TRAIN.fullmatch(path.parts[0]) for path in inner)
    cut = [Member(member.info, path) for member, path in zip(members, inner, strict=True)]
    return cut if tables or trains else members


def _write(archive: zipfile.ZipFile, member: Member, source: Path, folder: Path) -> None:
    target = folder / member.path
    try:
        with archive.open(member.info) as packed, target.open("xb") as file:
            shutil.copyfileobj(packed, file, 2**20)
    except FileExistsError as error:
        raise FoldwiseError(
            f"{shown(source)}: {member.path} and another member have one name where case does not "
            "count, as on this disk: unpack on another one, or rename the member"
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise Damaged(
            f"{shown(source)}: {member.path} cannot be unpacked ({error}): download the zip again, "
            "or zip the plain files anew"
        ) from error
    except OSError as error:
        if out_of_space(error):
            raise disk_full(folder.parent) from error
        raise FoldwiseError(
            f"{shown(source)}: {member.path} cannot be written ({error.strerror}): "
            "shorten or rename the member, or unpack on another disk"
        ) from error
    _set_time(member, target)


def _set_time(member: Member, target: Path) -> None:
    """Kaggle's own times are kept: an audit can see in them what the files were sorted by."""
    try:
        seconds = time.mktime((*member.info.date_time, 0, 0, -1))
        os.utime(target, (seconds, seconds))
    except (OverflowError, ValueError, OSError):
        pass  # a time that does not exist is no reason to refuse a file
