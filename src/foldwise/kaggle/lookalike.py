"""Kaggle's folders, imitated here: a kernel's very files run as they would there, offline."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from foldwise.errors import FoldwiseError
from foldwise.files import shown
from foldwise.kaggle.kernel import Kernel

# Of a competition's folder, what is not Kaggle's.
OURS = ("folds.csv", "folds.json", "corrections.csv", "solution.csv", "packed", ".images-decode")
POLL = 0.2  # seconds between two looks at a kernel's memory
TAIL = 3  # lines of the output in an error

# Loaded by every Python that starts with it on its path: no socket of it reaches anything.
GUARD = """\
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise OSError("there is no network in this kernel")

sys.addaudithook(refuse)
"""
CELLS = """\
import json, sys
names = {"__name__": "__main__"}
for number, cell in enumerate(json.load(open(sys.argv[1], encoding="utf-8"))["cells"]):
    if cell["cell_type"] == "code":
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
"""


def run_here(
    kernel: Kernel, mounts: Mapping[str, Mapping[str, Path]], working: Path, hours: float,
    memory: float, rerun: bool = False,
) -> None:  # fmt: skip
    """Run a kernel's code file; what it writes is then in ``working``, what it prints in log.txt.

    ``mounts``: {folder below /kaggle/input: {name in it: a file or folder here}}; ``memory`` in GB,
    of all its processes together (known on Linux alone). Raises FoldwiseError where it fails or
    goes over a limit.
    """
    shutil.rmtree(working, ignore_errors=True)
    working.mkdir(parents=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        root = Path(place)
        for name, entries in mounts.items():
            folder = root / "input" / name
            folder.mkdir(parents=True)
            for entry, path in entries.items():
                (folder / entry).symlink_to(path.absolute())
        (root / "guard").mkdir()
        (root / "guard" / "sitecustomize.py").write_text(GUARD)
        (root / "cells.py").write_text(CELLS)
        words = [str(kernel.code_file.absolute())]
        if kernel.kind == "notebook":
            words = [str(root / "cells.py"), *words]
        log = working / "log.txt"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-u", *words], cwd=working, env=_environment(root, rerun),
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
            try:
                over = _watched(process, hours, memory)
            finally:
                _kill(process)
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    if over or process.returncode:
        reason = over or f"exit code {process.returncode}: {' / '.join(lines[-TAIL:])[-500:]}"
        raise FoldwiseError(
            f"{shown(kernel.code_file)} fails here ({reason}): what it printed is in {shown(log)}"
        )


def competition_entries(folder: Path) -> dict[str, Path]:
    """A competition's folder as Kaggle mounts it: without what was made for it here."""
    return {path.name: path for path in folder.iterdir() if path.name not in OURS}


def _environment(root: Path, rerun: bool) -> dict[str, str]:
    """Without credentials, without this project on the path, with nothing in the home folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("KAGGLE_", "FOLDWISE_"))}
    kept |= {
        "HOME": str(root), "TMPDIR": str(root), "PYTHONPATH": str(root / "guard"),
        "KAGGLE_KERNEL_RUN_TYPE": "Batch", "FOLDWISE_KAGGLE_INPUT": str(root / "input"),
    }  # fmt: skip
    return kept | ({"KAGGLE_IS_COMPETITION_RERUN": "1"} if rerun else {})


def _watched(process: "subprocess.Popen[bytes]", hours: float, memory: float) -> str:
    """Wait for the end; the limit that was gone over, or ''."""
    end = time.monotonic() + 3600 * hours
    while process.poll() is None:
        used = _memory(process.pid)
        if used > memory * 2**30:
            return f"{used / 2**30:.1f} GB of memory, {memory:g} are allowed"
        if time.monotonic() > end:
            return f"it runs for longer than {hours:g} hours"
        time.sleep(POLL)
    return ""


def _memory(group: int) -> int:
    """Bytes that the processes of a group hold; 0 where the system does not say."""
    total = 0
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            if os.getpgid(int(path.name)) == group:
                pages = int((path / "statm").read_text().split()[1])
                total += pages * os.sysconf("SC_PAGE_SIZE")
    return total


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """The kernel and whatever it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
