"""What a run shows of itself beside its tables: for tables of runs and for pages.

Nothing else needs these facts, so that a missing or damaged file stops nobody: it shows nothing.
"""

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.errors import FoldwiseError
from foldwise.files import read_json
from foldwise.runs import Run

NOT_LEARNED = re.compile(r"running_(mean|var)$|num_batches_tracked$|^target_(mean|std)$")
EPOCH = re.compile(r"fold \d+, epoch (\d+)/\d+: (.*), lr (\S+),")


def scores(run: Run) -> dict[str, Any]:
    """scores.json."""
    return _shown(run.folder / "scores.json")


def blend(run: Run) -> dict[str, Any]:
    """What a blend says of its members."""
    return _shown(run.folder / "blend.json")


def pseudo(run: Run) -> dict[str, Any]:
    """What a round of pseudo-labels says of itself beside its source."""
    return _shown(run.folder / "pseudo.json")


def environment(run: Run) -> dict[str, Any]:
    """environment.json."""
    return _shown(run.folder / "environment.json")


def _shown(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path))
    except (FoldwiseError, TypeError, ValueError):
        return {}


def date(run: Run) -> float:
    """When the run last changed what it found: seconds since the epoch."""
    files = [run.folder / "scores.json", run.config_file]
    return max((f.stat().st_mtime for f in files if f.is_file()), default=0.0)


def size(run: Run) -> int:
    """Bytes on disk."""
    return sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file())


def parameters(run: Run) -> int | None:
    """The numbers that a fold's model has learned, as its file's header says; None without one.

    Of what is not learned only a batch normalisation's running statistics, a regression's scale
    and counters are known, by their names.
    """
    for fold in run.finished():
        with contextlib.suppress(OSError, ValueError, KeyError):
            with run.model_file(fold).open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            learned = [tensor for name, tensor in header.items() if not NOT_LEARNED.search(name)]
            return sum(int(np.prod(tensor["shape"])) for tensor in learned)
    return None


def epochs(run: Run, fold: int) -> pd.DataFrame | None:
    """metrics.csv; of a fold that has none yet, what its train.log says of each epoch."""
    metrics = run.metrics(fold)
    if metrics is not None:
        return metrics
    rows = {}
    for line in log_end(run, fold, 10_000):
        if match := EPOCH.search(line):
            words = [f"lr {match[3]}", *match[2].split(", ")]
            pairs = (word.rsplit(" ", 1) for word in words)
            rows[int(match[1])] = {name: float(value) for name, value in pairs}
    listed = [{"epoch": epoch, **values} for epoch, values in sorted(rows.items())]
    return pd.DataFrame(listed) if listed else None


def log_end(run: Run, fold: int, lines: int) -> list[str]:
    """The last lines of train.log."""
    try:
        text = (run.fold_folder(fold) / "train.log").read_text("utf-8", errors="replace")
    except OSError:
        return []
    return text.splitlines()[-lines:]
