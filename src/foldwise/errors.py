"""The three ways in which a command can end early, each with its exit code."""

import sys
from collections.abc import Iterable


class FoldwiseError(Exception):
    """Something about files, data or the run: one line says what and what to do (exit code 1)."""

    exit_code = 1


class UsageError(FoldwiseError):
    """Something about the command line or a recipe: unknown or wrong words (exit code 2)."""

    exit_code = 2


class Interrupted(BaseException):  # not an Exception: no handler on the way may swallow it
    """A signal ended the command (exit code 128 + its number); finished work is on disk."""

    def __init__(self, signum: int, begun: bool = False) -> None:
        """``begun``: the run is made, and what it was to replace is gone."""
        super().__init__(signum)
        self.signum, self.exit_code, self.begun = signum, 128 + signum, begun


def first_few(items: Iterable[object], limit: int = 5) -> str:
    """``a, b, c, d, e and 7 more``, for messages that must name things without flooding."""
    texts = [str(item) for item in items]
    shown = ", ".join(texts[:limit])
    return f"{shown} and {len(texts) - limit} more" if len(texts) > limit else shown


def nearest(word: str, words: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the most similar of ``words``, or nothing."""
    import difflib

    found = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean '{found[0]}'?" if found else ""


def pip_install(*packages: str) -> str:
    """The command that installs packages where this Python looks for them."""
    return f"{sys.executable} -m pip install {' '.join(packages)}"


def out_of_memory(error: BaseException) -> bool:
    """Whether a device or the machine had no memory left (told without importing torch)."""
    words = ["out of memory", "can't allocate memory", "cannot allocate memory"]
    words += ["could not create a primitive", "could not create a memory"]  # oneDNN says it so
    kinds = ("OutOfMemoryError", "MemoryError")
    return type(error).__name__ in kinds or any(word in str(error).lower() for word in words)


MEMORY_ADVICE = (
    "out of memory: try a smaller train.batch_size or images.size, or images.resident_gb=0"
)
