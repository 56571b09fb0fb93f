"""A competition's files into input/SLUG/, whole or not at all."""

import contextlib
import sys
import zipfile
from collections import Counter
from pathlib import Path

from foldwise.competition.folder import folder_of, slug_of
from foldwise.errors import FoldwiseError, first_few
from foldwise.files import atomic_folder, shown
from foldwise.kaggle.archive import Damaged, Member, members_of, unpack


def download(slug: str, source: Path) -> Path:
    """Lays the zip ``source`` out as the folder of competition ``slug``, and says what is there.

    The folder appears complete or not at all. Raises FoldwiseError for a folder that is there, a
    file that is not a zip, whatever in it is unsafe or damaged, and a full disk.
    """
    folder = folder_of(slug)
    _refuse_taken(folder)
    with _opened(source) as archive:
        members = members_of(archive, source)
        try:
            with atomic_folder(folder) as new:
                unpack(archive, members, source, new)
        except FileExistsError:
            _refuse_taken(folder)
            raise
    print(_summary(folder, members, source))
    return folder


def download_from_kaggle(slug: str) -> Path:
    """Gets the competition ``slug`` from Kaggle and lays it out, as `download` does.

    A download that was broken off goes on where it was; a damaged one is made once more. Raises
    FoldwiseError.
    """
    from foldwise.kaggle.client import connect
    from foldwise.kaggle.fetch import fetch
    from foldwise.kaggle.stream import forget

    folder = folder_of(slug)
    _refuse_taken(folder)
    kaggle, name = connect(), slug_of(slug)
    source = folder.parent / ".download" / f"{name}.zip"  # hidden: no competition's folder
    for attempt in (1, 2):
        try:
            fetch(kaggle, name, source)
            made = download(slug, source)
            break
        except Damaged as error:
            forget(source)
            if attempt == 2:
                raise FoldwiseError(f"{error}, twice: repeat the command later") from error
            print(f"{error}; once more", file=sys.stderr)
    forget(source)
    with contextlib.suppress(OSError):  # another one's part is in it
        source.parent.rmdir()
    return made


def _opened(source: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(source)
    except FileNotFoundError:
        raise FoldwiseError(
            f"from={source}: there is no such file: give the path of a zip"
        ) from None
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise FoldwiseError(
            f"{shown(source)} is not a zip, or only a part of one ({error}): download it again"
        ) from error
    except OSError as error:
        raise FoldwiseError(
            f"{shown(source)} cannot be read ({error.strerror}): give the path of a zip"
        ) from error


def _refuse_taken(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise FoldwiseError(
            f"{shown(folder)} is a link or a file: remove it, then repeat the command"
        )
    if folder.exists() and any(folder.iterdir()):
        raise FoldwiseError(
            f"{shown(folder)} is there already: move it away, or name another with competition="
        )


def _summary(folder: Path, members: list[Member], source: Path) -> str:
    counts = Counter(m.path.parts[0] + "/" for m in members if len(m.path.parts) > 1)
    tables = sorted(m.path.name for m in members if len(m.path.parts) == 1)
    there = [f"{name} ({count:,} files)" for name, count in sorted(counts.items())] + tables
    size = sum(m.info.file_size for m in members) / 2**20
    return (
        f"{shown(folder)}: {len(members):,} files, {size:,.0f} MB, from {source.name}: "
        f"{first_few(there, 10)}"
    )
