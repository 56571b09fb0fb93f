"""What runs inside a Kaggle kernel: it finds what is mounted, trains, and lists what it leaves.

The standard library and foldwise alone, without the Kaggle client; the network is never asked.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from foldwise.competition.folder import inner_folder
from foldwise.competition.layout import CompetitionData
from foldwise.competition.submission import submission_table
from foldwise.config import Competition
from foldwise.runs import Run

# Elsewhere than on Kaggle only with local=true and in the tests.
INPUT = Path(os.environ.get("FOLDWISE_KAGGLE_INPUT", "/kaggle/input"))
CODE = Path(__file__).resolve().parents[2]  # where the kernel has unpacked its archive
MANIFEST = "foldwise.json"  # what a kernel leaves, with sizes and SHA-256
DEPTH = 8  # folders below the input in which something is looked for
SAVING = 600.0  # seconds that a training may take to save itself


def competition(slug: str) -> Path:
    """The mounted folder of a competition, wherever it is. Raises RuntimeError: not there."""
    found = next((path for path in _called(slug) if path.is_dir()), None)
    if found is None:
        raise RuntimeError(f"the competition {slug} is not mounted: {_mounted()}")
    return found


def dataset(marker: str) -> Path:
    """The mounted folder with the file ``marker``, which lists the data set's files.

    Raises RuntimeError where it is not there, or where its files are not those that were sent.
    """
    found = next(_called(marker), None)
    if found is None:
        raise RuntimeError(f"no data set with {marker} is mounted: {_mounted()}")
    for name, facts in json.loads(found.read_text())["files"].items():
        path = found.parent / name
        if not path.is_file() or digest(path) != facts["sha256"]:
            raise RuntimeError(f"{path} is not what was uploaded: upload the data set again")
    return found.parent


def restored(name: str, markers: dict[str, str]) -> Run:
    """A run, with the files that data sets hold of it and of others that it needs.

    ``markers``: {run: of its data set}. They are under a home of their own: the output stays clean.
    """
    home = Path(tempfile.mkdtemp())
    os.environ["FOLDWISE_HOME"] = str(home)
    for one, marker in markers.items():
        _unflatten(dataset(marker), Run(one).folder, marker)
    return Run(name)


def train(name: str, slug: str, folds: list[int], hours: float, marker: str = "") -> None:
    """Train folds, one GPU each at a time, and leave oof/<run>/ and the list of its files.

    After ``hours`` what is unfinished saves itself, to be gone on with by another kernel.
    ``marker``: of the data set with what an earlier kernel has saved. Raises RuntimeError where
    nothing at all came of it.
    """
    end, home = time.monotonic() + 3600 * hours, Path.cwd()
    run = home / "oof" / name
    if marker:
        _unflatten(dataset(marker), run, marker)
    data = _laid_out(slug)
    words = [f"config={CODE / 'recipe.yaml'}", f"competition={data}", f"run={name}"]
    devices = max(1, _gpus())
    shares = [share for d in range(devices) if (share := folds[d::devices])]
    running = [_started(home, [*words, _fold(share)], d) for d, share in enumerate(shares)]
    codes = [_ended(process, end) for process in running]
    states = {str(k): _state(run / f"fold{k}") for k in folds}
    write_manifest({"run": name, "folds": states, "codes": codes}, [run])
    if set(states.values()) == {""}:
        raise RuntimeError(f"no fold was trained (exit codes {codes}): the reason stands above")


def write_submission(settings: Competition, data: CompetitionData, test: pd.DataFrame) -> None:
    """submission.csv and the probabilities behind it, test.parquet, in the current folder."""
    table = submission_table(settings, data, test)
    table.to_csv("submission.csv", index=False, lineterminator="\n")
    test.to_parquet("test.parquet", index=False)
    write_manifest({"rows": len(table)}, [Path("submission.csv"), Path("test.parquet")])
    print(f"submission.csv: {len(table):,} rows, {', '.join(table.columns[:5])}")


def write_manifest(facts: dict[str, Any], paths: list[Path]) -> None:
    """foldwise.json: ``facts``, the archive that ran, and each file below ``paths``."""
    here = Path.cwd()
    files = [p for path in paths for p in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    listed = {
        str(p.absolute().relative_to(here)): {"size": p.stat().st_size, "sha256": digest(p)}
        for p in files
        if p.is_file()
    }
    said = CODE / "archive.sha256"
    archive = said.read_text() if said.is_file() else ""
    text = json.dumps({**facts, "archive": archive, "files": listed}, indent=2)
    (here / MANIFEST).write_text(text)


def digest(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flat_name(path: Path) -> str:
    """fold0/last.ckpt as fold0.last.ckpt: a data set has no folders."""
    return ".".join(path.parts)


def _unflatten(source: Path, folder: Path, marker: str) -> None:
    for path in source.iterdir():
        if path.is_file() and path.name != marker:
            place, _, rest = path.name.partition(".")
            inner = place.startswith("fold") and place[4:].isdigit()
            target = folder / place / rest if inner else folder / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)  # what is mounted is read-only, and a link would be too


def _laid_out(slug: str) -> Path:
    """The competition as it is here at home: the mounted files, and what was made for them."""
    mounted = inner_folder(competition(slug))
    folder = Path(tempfile.mkdtemp()) / slug
    folder.mkdir()
    for entry in mounted.iterdir():
        (folder / entry.name).symlink_to(entry)
    for path in (CODE / "competition").iterdir():
        (folder / path.name).unlink(missing_ok=True)
        shutil.copyfile(path, folder / path.name)
    return folder


def _started(home: Path, words: list[str], device: int) -> "subprocess.Popen[bytes]":
    paths = [str(CODE), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {
        "FOLDWISE_HOME": str(home), "PYTHONPATH": os.pathsep.join(paths),
        "CUDA_VISIBLE_DEVICES": str(device), "NO_ALBUMENTATIONS_UPDATE": "1",
    }  # fmt: skip
    return subprocess.Popen([sys.executable, "-m", "foldwise", "train", *words], env=environment)


def _ended(process: "subprocess.Popen[bytes]", end: float) -> int:
    """The exit code; when the time is up, the training is asked to save itself."""
    try:
        return process.wait(max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        print("the time is up: saving what is unfinished", flush=True)
        process.terminate()
    try:
        return process.wait(SAVING)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _state(folder: Path) -> str:
    """finished, begun (it can be gone on with), or '' where there is nothing."""
    if (folder / "model.safetensors").is_file():
        return "finished"
    return "begun" if (folder / "last.ckpt").is_file() else ""


def _fold(folds: list[int]) -> str:
    return f"fold={','.join(map(str, folds))}"


def _gpus() -> int:
    """The number of NVIDIA GPUs, without the seconds that importing torch takes."""
    if not shutil.which("nvidia-smi"):
        return 0
    done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return done.stdout.count("GPU ") if done.returncode == 0 else 0


def _called(name: str) -> Iterator[Path]:
    """What has this name below the input, the least deep first: folders of images come last."""
    for depth in range(DEPTH):
        yield from INPUT.glob("*/" * depth + name)


def _mounted() -> str:
    paths = [*INPUT.glob("*"), *INPUT.glob("*/*")]
    names = [str(path.relative_to(INPUT)) for path in paths if path.is_dir()]
    return f"there is {', '.join(names[:20]) or 'nothing'} in {INPUT}"
