"""Runs a kernel's source as Kaggle's machines do: folders like theirs, no client, no credentials.

Where the system lets it (`unshare`), a kernel without the internet has no network at all.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CELLS = """\
import json, sys
names = {"__name__": "__main__"}
for number, cell in enumerate(json.load(open(sys.argv[1]))["cells"]):
    if cell["cell_type"] == "code":
        source = cell["source"]
        text = source if isinstance(source, str) else "".join(source)
        exec(compile(text, f"cell {number}", "exec"), names)
"""


@dataclass(frozen=True)
class Ended:
    code: int
    log: str  # as the service keeps it: a JSON list


# What ran before, in this process: the same source with the same files leaves the same.
_before: dict[str, tuple[Ended, Path]] = {}
_kept = tempfile.TemporaryDirectory()


@cache
def cut_off() -> tuple[str, ...]:
    """What runs a command without a network, where there is such a thing."""
    words = ("unshare", "--map-root-user", "--net")
    if (
        shutil.which("unshare")
        and not subprocess.run([*words, "true"], capture_output=True).returncode
    ):
        return words
    return ()


def run(
    text: str,
    kind: str,
    mounts: dict[str, Path | dict[str, bytes]],
    working: Path,
    internet: bool,
    rerun: bool,
) -> Ended:
    """``mounts``: below /kaggle/input, a folder or the files of a data set."""
    key = hashlib.sha256(json.dumps([text, rerun, _facts(mounts)]).encode()).hexdigest()
    if key not in _before:
        kept = Path(_kept.name) / key
        kept.mkdir()
        _before[key] = _run(text, kind, mounts, kept, internet, rerun), kept
    ended, kept = _before[key]
    shutil.copytree(kept, working, dirs_exist_ok=True)
    return ended


def _facts(mounts: dict[str, Path | dict[str, bytes]]) -> list[tuple[str, str, str]]:
    facts = []
    for name, content in mounts.items():
        if isinstance(content, Path):
            paths = [path for path in sorted(content.rglob("*")) if path.is_file()]
            files = {str(path.relative_to(content)): path.read_bytes() for path in paths}
        else:
            files = content
        facts += [(name, file, hashlib.sha256(data).hexdigest()) for file, data in files.items()]
    return facts


def _run(
    text: str,
    kind: str,
    mounts: dict[str, Path | dict[str, bytes]],
    working: Path,
    internet: bool,
    rerun: bool,
) -> Ended:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for name, content in mounts.items():
            mount(root / "input" / name, content)
        code = root / ("source.ipynb" if kind == "notebook" else "source.py")
        code.write_text(text, encoding="utf-8")
        (root / "cells.py").write_text(CELLS)
        (root / "block" / "kaggle").mkdir(parents=True)
        (root / "block/kaggle/__init__.py").write_text("raise ImportError('no client in kernels')")
        words = [sys.executable, "-u"]
        words += [str(root / "cells.py"), str(code)] if kind == "notebook" else [str(code)]
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(root), "TMPDIR": str(root),
            "PYTHONPATH": str(root / "block"), "KAGGLE_KERNEL_RUN_TYPE": "Batch",
            "FOLDWISE_KAGGLE_INPUT": str(root / "input"), "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        if rerun:
            environment["KAGGLE_IS_COMPETITION_RERUN"] = "1"
        done = subprocess.run(
            [*(() if internet else cut_off()), *words], cwd=working, env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=300,
        )  # fmt: skip
    lines = done.stdout.splitlines(keepends=True)
    events = [{"stream_name": "stdout", "time": n, "data": line} for n, line in enumerate(lines)]
    return Ended(done.returncode, json.dumps(events))


def mount(folder: Path, content: Path | dict[str, bytes]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        ignored = shutil.ignore_patterns("solution.csv", "folds.*", "packed")
        shutil.copytree(content, folder, ignore=ignored)
        return
    folder.mkdir()
    for name, data in content.items():
        (folder / name).write_bytes(data)
