"""`test`: pytest in this process, over the clone's tests, with pytest's own words."""

from pathlib import Path

from foldwise import interrupt
from foldwise.errors import FoldwiseError


def run(words: list[str]) -> int:
    try:
        import pytest
    except ImportError as error:
        raise FoldwiseError(
            "pytest is not installed in the active environment: pip install pytest, "
            "or leave that environment so that .venv is used"
        ) from error
    clone = Path(__file__).resolve().parents[3]
    if not any(Path(word.split("::")[0]).exists() for word in words):
        words = [*words, str(clone / "tests")]
    with interrupt.left_alone():  # pytest has its own way with Ctrl-C
        return int(pytest.main(["-c", str(clone / "pyproject.toml"), *words]))
