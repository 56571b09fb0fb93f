"""foldwise as one archive inside a kernel's source: the same bytes for the same code."""

import ast
import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from foldwise.config import Competition
from foldwise.errors import FoldwiseError
from foldwise.kaggle import client

SOURCE = Path(__file__).resolve().parents[1]
PYTHON = (3, 12)  # of Kaggle's image
# What a kernel begins with; what these import, wherever they do, goes along. Of the roof only what
# it imports at once: a kernel calls one verb.
BEGIN = {
    "train": (
        *("foldwise.kaggle.inside", "foldwise.__main__"),
        *("foldwise.verbs.train", "foldwise.training.train"),
    ),
    "infer": ("foldwise.kaggle.inside", "foldwise.prediction.testset"),
    "blend": ("foldwise.kaggle.inside", "foldwise.blended"),
}
ROOF = ("foldwise.cli", "foldwise.verbs.train", "foldwise.verbs.words")
NEVER = ("foldwise.audit",)  # a split that is made anew may ask it, and a kernel gets its split
DATE = (2020, 1, 1, 0, 0, 0)  # of every member: the bytes are a matter of the contents alone


@dataclass(frozen=True)
class Package:
    """sizes: {name in the archive: bytes before packing}."""

    data: bytes
    sizes: dict[str, int]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def package(action: str, extras: dict[str, bytes]) -> Package:
    """The code that a kernel needs to ``train``, ``infer`` or infer a ``blend``, and ``extras``.

    Raises FoldwiseError for a file that Kaggle's Python could not read, and where one holds a part
    of the credentials.
    """
    files = {f"foldwise/{name}": path.read_bytes() for name, path in sorted(_code(action).items())}
    files |= extras
    refuse_secrets(files)
    for name, content in files.items():
        if name.endswith(".py"):
            _refuse_newer(name, content)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, DATE), content, zipfile.ZIP_DEFLATED)
    return Package(data.getvalue(), {name: len(content) for name, content in files.items()})


def metric_modules(settings: Competition) -> dict[str, bytes]:
    """The files here of metrics that a person has written: {module.py: its text}."""
    found = {}
    for metric in (settings.metric, *settings.metrics):
        module, _, function = metric.partition(":")
        path = Path(module.replace(".", "/") + ".py")
        if function and path.is_file():
            found[path.as_posix()] = path.read_bytes()
    return found


def _code(action: str) -> dict[str, Path]:
    """{path below foldwise/: file} of the modules that a kernel needs."""
    found: dict[str, Path] = {}
    waiting = list(BEGIN[action])
    while waiting:
        module = waiting.pop()
        path = _file(module)
        if path is None or module.startswith(NEVER) or path in found.values():
            continue
        found[str(path.relative_to(SOURCE))] = path
        waiting += _imported(module, path)
        waiting += [module.rpartition(".")[0]] if "." in module else []  # the package it is in
    return found


def _file(module: str) -> Path | None:
    path = SOURCE.joinpath(*module.split(".")[1:])
    if module.startswith("foldwise") and path.is_dir():
        return path / "__init__.py"
    path = path.with_suffix(".py")
    return path if module.startswith("foldwise.") and path.is_file() else None


@cache
def _imported(module: str, path: Path) -> list[str]:
    tree = ast.parse(path.read_bytes())
    nodes = tree.body if module in ROOF else ast.walk(tree)
    names = []
    for node in nodes:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def refuse_secrets(files: Mapping[str, bytes]) -> None:
    """Raises FoldwiseError where one of the files holds a part of the credentials."""
    for secret in client.secrets():
        for name, content in files.items():
            if secret.encode() in content:
                raise FoldwiseError(
                    f"{name} holds a part of your Kaggle credentials and would go to Kaggle with "
                    "the kernel: take it out, and make new ones (kaggle.com, Settings, API)"
                )


@cache
def _refuse_newer(name: str, content: bytes) -> None:
    try:
        ast.parse(content, name, feature_version=PYTHON)
    except SyntaxError as error:
        raise FoldwiseError(
            f"{name} line {error.lineno} is not Python {PYTHON[0]}.{PYTHON[1]}, which Kaggle runs: "
            f"{error.msg}: mend it"
        ) from error


def listing(made: Package) -> str:
    """The files of a package, a line a folder: number, bytes before packing, names."""
    folders: dict[str, list[str]] = {}
    for name in made.sizes:
        folder, _, file = name.rpartition("/")
        folders.setdefault(folder, []).append(file)
    lines = []
    for folder, files in folders.items():
        size = sum(made.sizes[f"{folder}/{name}" if folder else name] for name in files)
        names = " ".join(files)
        lines.append(f"  {folder + '/':<30} {len(files):>3} files {size:>9,} bytes: {names}")
    return "\n".join(lines)
