"""kernels/<name>/: a kernel as it is pushed, and what is known of the push."""

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foldwise.errors import FoldwiseError, UsageError, first_few, nearest
from foldwise.files import home, read_json, shown, write_json, write_text
from foldwise.kaggle.notebook import Cell, notebook, script, source_bytes, unpack_cell
from foldwise.kaggle.package import Package, listing, refuse_secrets

LIMIT = 1_000_000  # bytes of source that Kaggle takes
# Our names of the machines that Kaggle lends, and its own.
MACHINES = {
    "cpu": "",
    "t4x2": "NvidiaTeslaT4",
    "l4": "NvidiaL4X1",
    "l4x4": "NvidiaL4",
    "a100": "NvidiaTeslaA100",
    "h100": "NvidiaH100",
    "rtx6000": "NvidiaRtxPro6000",
}
RETIRED = ("p100", "tpu", "v3-8", "v2-8", "nvidiateslap100", "tpuv38", "tpu1vmv38")
KINDS = ("notebook", "script")


@dataclass(frozen=True)
class Terms:
    """What a kernel may use. minutes: that we wait for it; memory: GB, for local=true."""

    machine: str = "t4x2"
    kind: str = "notebook"
    hours: float = 11.0
    minutes: float = 720.0
    memory: float = 29.0
    local: bool = False


@dataclass(frozen=True)
class Kernel:
    """name: of the folder under kernels/; owner: the Kaggle user whose kernel it becomes."""

    name: str
    owner: str
    machine: str
    kind: str
    competition: str
    internet: bool = False
    datasets: list[str] = field(default_factory=list)

    @property
    def slug(self) -> str:
        return slug_for(f"foldwise {self.name}")

    @property
    def ref(self) -> str:
        return f"{self.owner}/{self.slug}"

    @property
    def folder(self) -> Path:
        return home() / "kernels" / self.name

    @property
    def code_file(self) -> Path:
        return self.folder / f"{self.slug}{'.ipynb' if self.kind == 'notebook' else '.py'}"

    def metadata(self) -> dict[str, Any]:
        """kernel-metadata.json. Kaggle names a new kernel after its title, not after its id."""
        return {
            "id": self.ref,
            "title": self.slug.replace("-", " "),
            "code_file": self.code_file.name,
            "language": "python",
            "kernel_type": self.kind,
            "is_private": True,
            "enable_gpu": bool(MACHINES[self.machine]),
            "enable_tpu": False,
            "enable_internet": self.internet,
            "machine_shape": MACHINES[self.machine] or None,
            "docker_image_pinning_type": "original",
            "keywords": [],
            "competition_sources": [self.competition],
            "dataset_sources": self.datasets,
            "kernel_sources": [],
            "model_sources": [],
        }


def machine_named(name: str) -> str:
    """A key of MACHINES. Raises UsageError for a retired or unknown one."""
    word = name.lower()
    if word in RETIRED or word.startswith("tpu"):
        raise UsageError(
            f"machine={name}: Kaggle has retired it, or foldwise does not run on it, and another "
            f"would be taken in silence: say one of {', '.join(MACHINES)}"
        )
    if word not in MACHINES:
        raise UsageError(
            f"machine={name} is none of {', '.join(MACHINES)}{nearest(word, MACHINES)}"
        )
    return word


def slug_for(words: str) -> str:
    """A name as Kaggle makes one of a title: 6 to 50 of a-z, 0-9 and -.

    Where that loses something (a long name is cut, a_b and a.b would be one), a hash tells apart.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
    if len(slug) > 50 or slug != words.replace(" ", "-"):
        slug = f"{slug[:41].rstrip('-')}-{hashlib.sha256(words.encode()).hexdigest()[:8]}"
    return slug


def write_kernel(kernel: Kernel, package: Package, cells: list[Cell]) -> str:
    """Write kernels/<name>/ and return the list of the files that travel in its archive.

    ``cells``: the first is what a reader sees first; the archive comes second. Raises FoldwiseError
    for a source over Kaggle's limit, and for one with a part of the credentials in it.
    """
    whole = [cells[0], unpack_cell(package), *cells[1:]]
    text = notebook(whole) if kernel.kind == "notebook" else script(whole)
    refuse_secrets({kernel.code_file.name: text.encode()})
    size = source_bytes(text, kernel.kind)
    largest = sorted(package.sizes, key=lambda name: -package.sizes[name])
    if size > LIMIT:
        raise FoldwiseError(
            f"the kernel's source would be {size:,} bytes, and Kaggle takes {LIMIT:,}: make its "
            f"largest files smaller, {first_few(largest, 3)}"
        )
    write_json(kernel.folder / "kernel-metadata.json", kernel.metadata())
    write_text(kernel.code_file, text)
    return (
        f"{listing(package)}\n{shown(kernel.code_file)}: {len(package.sizes)} files inside, "
        f"{size:,} bytes of source (Kaggle takes {LIMIT:,})"
    )


@dataclass(frozen=True)
class Push:
    """What kernels/<name>/pushed.json says.

    state: pushing (version is the one before), pushed, failed, collected or checked.
    """

    ref: str
    version: int
    source: str  # SHA-256 of the code file
    archive: str  # of the package in it
    state: str = "pushed"
    output: str = ""  # of the submission.csv that it wrote


def read_push(folder: Path) -> Push | None:
    """The last push of a kernel's folder. Raises FoldwiseError for a damaged file."""
    path = folder / "pushed.json"
    if not path.is_file():
        return None
    try:
        return Push(**read_json(path))
    except TypeError as error:
        raise FoldwiseError(f"{shown(path)} is damaged: delete it, and push again") from error


def write_push(folder: Path, push: Push) -> None:
    write_text(folder / "pushed.json", json.dumps(push.__dict__, indent=2) + "\n")
