"""The image files of a competition: indexed once, found by id with dictionary lookups."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from foldwise.competition.reading.tables import plain
from foldwise.containers import JOINED
from foldwise.errors import FoldwiseError, first_few, nearest
from foldwise.files import shown

FORMATS = ("png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "gif")
EXTENSION = re.compile(r"\.(?:" + "|".join(FORMATS) + r")\Z", re.IGNORECASE)

_KINDS = {"train": "train|training", "test": "test|testing|test1|teststg1"}
_WORDS = "images?|imgs?|pics|pictures|photos|set|data|dataset|jpe?gs?|pngs?"
# Folder names without case and separators: train, train_images, imgs-train, training set, …
ROOT_NAMES = {
    kind: re.compile(rf"(?:{_WORDS})?(?:{names})(?:{_WORDS})?") for kind, names in _KINDS.items()
}
OURS = (  # pictures that foldwise itself puts into a competition's folder
    *("audit.png", "doubtful.png", "sheets/labels.png", "sheets/augmentation.png"),
    *("sheets/batches.png", "sheets/views.png"),
)
# Also seg_train, images_training_rev1, boneage-test-dataset: a part's name among other words.
PART_WORDS = {"train": {"train", "training"}, "test": {"test", "testing"}}
NO_CLASS = {*PART_WORDS["train"], *PART_WORDS["test"], "val", "valid", "validation", "pred", "part"}
COMMON_NAME = re.compile(rf"(?:all)?(?:{_WORDS})")


@dataclass(frozen=True)
class ImageFiles:
    """Image files below ``folder / inside``; ``paths`` are relative to ``folder``, with ``/``."""

    folder: str
    inside: str  # '' or a path that ends with '/'
    paths: list[str]
    others: tuple[str, ...] = ()  # files that are no images, of the whole competition

    def below(self, inside: str) -> "ImageFiles":
        paths = [path for path in self.paths if path.startswith(inside)]
        return ImageFiles(self.folder, inside, paths)

    def without(self, inside: str) -> "ImageFiles":
        if not inside:
            return self
        paths = [path for path in self.paths if not path.startswith(inside)]
        return ImageFiles(self.folder, self.inside, paths)

    def absolute(self, path: str) -> str:
        return f"{self.folder}/{path}"

    def place(self) -> str:
        """The folder, for messages."""
        return shown(Path(self.folder, self.inside)) + "/"

    def children(self) -> tuple[list[str], int]:
        """The folders with images directly below (sorted), and the number of images beside them."""
        cut = len(self.inside)
        parents = Counter(path[cut:].rpartition("/")[0] for path in self.paths)
        beside = parents.pop("", 0)
        return sorted({parent.partition("/")[0] for parent in parents}), beside


def index_images(folder: Path) -> ImageFiles:
    """Every image file below ``folder`` (links followed, hidden names left out), sorted."""
    root = os.path.normpath(folder.absolute())
    try:
        found = sorted(_walk(root, ""))
    except OSError as error:
        raise FoldwiseError(
            f"{shown(Path(error.filename))} cannot be read ({error.strerror}): make it readable"
        ) from error
    images = [path for path in found if EXTENSION.search(path) and path not in OURS]
    others = tuple(path for path in found if not EXTENSION.search(path))
    for path in images:
        if not path.isascii() and any("\ud800" <= letter <= "\udfff" for letter in path):
            raise FoldwiseError(f"{root} has an image whose name is not UTF-8, {path!a}: rename it")
    return ImageFiles(root, "", images, others)


def _walk(folder: str, inside: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            if entry.is_dir():
                if entry.is_symlink() and _leads_up(entry.path):
                    continue
                yield from _walk(entry.path, f"{inside}{entry.name}/")
            elif entry.is_file():
                yield inside + entry.name


def _leads_up(link: str) -> bool:
    """A link to a folder that it lies in would be walked for ever."""
    return Path(link).parent.resolve().is_relative_to(Path(link).resolve())


def images_of(kind: str, files: ImageFiles, setting: str) -> ImageFiles:
    """The images of ``train`` or ``test``.

    By ``setting`` (``competition.train_images`` or ``.test_images``), otherwise below the folder
    that is named for it, or below a common one; never below a folder named for the other kind,
    whose images may have the same ids. Raises FoldwiseError when a setting names no images.
    """
    if setting and Path(files.folder, setting.partition(":")[0]).is_file():
        return ImageFiles(files.folder, "", [])  # arrays: FILE or FILE:MEMBER
    if setting:
        return _by_setting(kind, files, setting)
    root = named_root(kind, files)
    if root:
        return files.below(root)
    other = named_root("test" if kind == "train" else "train", files)
    rest = files.without(other or "")
    common = next((name for name in rest.children()[0] if COMMON_NAME.fullmatch(plain(name))), "")
    return rest.below(f"{common}/") if common else rest


def named_root(kind: str, files: ImageFiles) -> str | None:
    """The folder named ``train``, ``train_images``, ``images/train`` … that has images, with ``/``.

    The one nearest to the competition's folder; among several there, ``train`` before
    ``train_images``. A folder that only wraps another one of such a name is stepped over.
    """
    parents = {path.rpartition("/")[0] for path in files.paths}
    folders = {"/".join(parent.split("/")[:depth]) for parent in parents for depth in (1, 2)}
    ranked = []
    for folder in folders:
        parent, _, name = folder.rpartition("/")
        known = bool(ROOT_NAMES[kind].fullmatch(plain(name)))
        if known or words_of(name) & PART_WORDS[kind]:
            strange = bool(parent) and not COMMON_NAME.fullmatch(plain(parent))
            ranked.append((not known, folder.count("/"), strange, len(folder), folder))
    ranked.sort()
    if ranked and ranked[0][0]:  # a name among other words counts where one folder alone has it
        top = [entry for entry in ranked if entry[1] == ranked[0][1]]
        ranked = ranked if len(top) == 1 else []
    if not ranked or (len(ranked) > 1 and ranked[0][2]):  # masks/train beside photographs/train
        return None
    return _unwrapped(kind, files, f"{ranked[0][-1]}/")


def words_of(name: str) -> set[str]:
    """``seg_train`` -> seg, train."""
    return set(re.split(r"[\W_\d]+", name.casefold()))


def _unwrapped(kind: str, files: ImageFiles, root: str) -> str:
    folders, beside = files.below(root).children()
    if len(folders) == 1 and not beside:
        name = plain(folders[0])
        same = words_of(folders[0]) & PART_WORDS[kind]
        if ROOT_NAMES[kind].fullmatch(name) or COMMON_NAME.fullmatch(name) or same:
            return _unwrapped(kind, files, f"{root}{folders[0]}/")
    return root


def _by_setting(kind: str, files: ImageFiles, setting: str) -> ImageFiles:
    folder = Path(files.folder, setting)
    if not folder.is_dir():
        names = [entry.name for entry in Path(files.folder).iterdir() if entry.is_dir()]
        there = f"the folders there are {first_few(sorted(names), 10)}" if names else "it has none"
        raise FoldwiseError(
            f"competition.{kind}_images={setting}: no such folder in {shown(Path(files.folder))} "
            f"({there}){nearest(setting, names)}"
        )
    inside = os.path.relpath(folder, files.folder).replace(os.sep, "/")
    if inside == ".":
        found = files
    elif inside.startswith("../"):
        found = index_images(folder)
    else:
        found = files.below(f"{inside}/")
    if not found.paths:
        raise FoldwiseError(
            f"competition.{kind}_images={setting}: no images below {shown(folder)} "
            f"(of {', '.join(FORMATS)}): name the folder that has them"
        )
    return found


def match(ids: Sequence[str], files: ImageFiles, what: str) -> list[str]:
    """The image of each id as an absolute path, or ``''`` where there is none.

    An id may carry an extension or none, either slash, folders above the image, or none of the
    folders that the image is in. What fits exactly goes before what fits loosely: without regard
    to case and outer spaces, with another image extension, at last as numbers (1 and 0001). Raises
    FoldwiseError when two files fit an id equally well (``what``, train or test, is named then).
    """
    found: dict[str, str] = {}
    for of_file, of_id in _SPELLINGS:
        missing = [name for name in ids if name not in found]
        if not missing:
            break
        if of_file is str and not any(map(EXTENSION.search, missing)):
            continue  # no id has an extension, every file has one
        index = _Index(files, of_file)
        for name in missing:
            paths = index.find(of_id(name))
            if len(paths) > 1:
                raise FoldwiseError(
                    f"{what} id '{name}' fits two images, {paths[0]} and {paths[1]} in "
                    f"{shown(Path(files.folder))}: remove one, write the ids with folder and "
                    f"extension, or say competition.{what}_images=FOLDER"
                )
            if paths:
                found[name] = files.absolute(paths[0])
    return [found.get(name, "") for name in ids]


def match_several(ids: Sequence[str], files: ImageFiles, what: str) -> tuple[list[str], list[str]]:
    """The images of each id where a row has several, and what their names end with.

    ``ID_red.png, ID_green.png …`` or ``ID/left.png, ID/right.png``: the images of a row are joined
    in the order of these endings, ``''`` where there is none. ([], []) where names do not start
    with ids. Raises FoldwiseError where rows have different numbers of images.
    """
    wanted, found = set(ids), dict[str, dict[str, str]]()
    for path in files.paths:
        name = _bare(path[len(files.inside) :])
        cuts = [match.start() for match in re.finditer(r"[_\W]", name)]
        cut = next((cut for cut in reversed(cuts) if name[:cut] in wanted), 0)
        if cut:
            found.setdefault(name[:cut], {})[name[cut + 1 :]] = files.absolute(path)
    if not found:
        return [], []
    endings = Counter(tuple(sorted(images)) for images in found.values()).most_common()
    if len(endings) > 1:
        (usual, _), (strange, _) = endings[0], endings[-1]
        name = next(name for name in ids if tuple(sorted(found.get(name, {}))) == strange)
        raise FoldwiseError(
            f"{what} id '{name}' has the images {first_few(strange)} and most others have "
            f"{first_few(usual)} in {files.place()}: every row needs the same ones; add or remove "
            "images, or write a table with a row an image"
        )
    several = list(endings[0][0])
    return [JOINED.join(found[n][e] for e in several) if n in found else "" for n in ids], several


class _Index:
    """Files by their path and by every tail of it, in one spelling; built when first needed."""

    def __init__(self, files: ImageFiles, spelling: Callable[[str], str]) -> None:
        self.files = files
        self.spelling = spelling

    def find(self, name: str) -> Sequence[str]:
        """In the folder itself, then anywhere below it."""
        found = self.inner.get(name) or self.tails.get(name) or ()
        if not found and "/" in name:
            return self._find_from_above(name)
        return found

    def _find_from_above(self, name: str) -> Sequence[str]:
        """Ids that begin above the competition: /kaggle/input/SLUG/train/1.png."""
        tops = {Path(self.files.folder).name.casefold(), "input"}
        parts = name.split("/")
        starts = [i + 1 for i, part in enumerate(parts[:-1]) if part.casefold() in tops]
        tails = ("/".join(parts[start:]) for start in reversed(starts))
        return next((self.tails[tail] for tail in tails if tail in self.tails), ())

    @cached_property
    def inner(self) -> dict[str, list[str]]:
        cut = len(self.files.inside)
        return self._by(lambda path: [self.spelling(path[cut:])])

    @cached_property
    def tails(self) -> dict[str, list[str]]:
        return self._by(lambda path: _tails(self.spelling(path)))

    def _by(self, names: Callable[[str], list[str]]) -> dict[str, list[str]]:
        index: dict[str, list[str]] = {}
        for path in self.files.paths:
            for name in names(path):
                index.setdefault(name, []).append(path)
        return index


def _tails(path: str) -> list[str]:
    """``a/b/c``, ``b/c`` and ``c``."""
    tails = [path]
    while "/" in path:
        path = path.split("/", 1)[1]
        tails.append(path)
    return tails


def _exact(name: str) -> str:
    if "/" not in name and "\\" not in name:
        return name
    parts = name.replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))


def _bare(name: str) -> str:
    return EXTENSION.sub("", name)


def _loose(name: str) -> str:
    return _exact(name).strip().casefold()


def _numbered(name: str) -> str:
    """0001.png and 1 are one number."""
    folder, slash, stem = _loose_bare(name).rpartition("/")
    return folder + slash + (stem.lstrip("0") or "0" if stem.isdigit() else stem)


def _loose_bare(name: str) -> str:
    return _bare(_loose(name))


# How a file's path and an id are spelled to be compared, the strictest first.
_SPELLINGS: list[tuple[Callable[[str], str], Callable[[str], str]]] = [
    (str, _exact),
    (_bare, _exact),
    (_loose, _loose),
    (_loose_bare, _loose),
    (_loose_bare, _loose_bare),
    (_numbered, _numbered),
]
