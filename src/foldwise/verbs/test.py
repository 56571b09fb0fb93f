"""`test`: pytest in this process, over the clone's tests, with pytest's own words."""

import os
from importlib.util import find_spec
from pathlib import Path

from foldwise import interrupt
from foldwise.errors import FoldwiseError, pip_install

WORKERS = 8  # at most: each imports torch, and the longest tests bound the time anyway


def run(words: list[str]) -> int:
    try:
        import pytest
    except ImportError as error:
        raise FoldwiseError(
            f"pytest is not installed in the active environment: {pip_install('pytest')}, "
            "or leave that environment so that .venv is used"
        ) from error
    clone = Path(__file__).resolve().parents[3]
    if not any(Path(word.split("::")[0]).exists() for word in words):
        words = [*_side_by_side(words), *words, str(clone / "tests")]
    with interrupt.left_alone():  # pytest has its own way with Ctrl-C
        return int(pytest.main(["-c", str(clone / "pyproject.toml"), *words]))


def _side_by_side(words: list[str]) -> list[str]:
    """pytest-xdist's options for the whole suite: a worker a core, neighbours mostly together."""
    workers = min(os.cpu_count() or 1, WORKERS)
    asked = any(word.startswith(("-n", "--pdb", "--trace")) for word in words)
    if asked or workers == 1 or find_spec("xdist") is None:
        return []
    return ["-n", str(workers), "--dist", "worksteal"]
