"""`./run.sh [verb] [key=value …]`: from words to functions, and from errors to a line."""

import importlib
import os
import shlex
import sys

from foldwise import interrupt
from foldwise.errors import MEMORY_ADVICE, FoldwiseError, Interrupted, out_of_memory
from foldwise.verbs.table import known_verb


def main(words: list[str]) -> int:
    """Run a command and return its exit code; errors are one line on stderr, never a traceback."""
    try:
        with interrupt.handled():
            return dispatch(words)
    except Interrupted as error:
        again = [w for w in words if not (error.begun and w.startswith("overwrite="))]
        line = shlex.join(["./run.sh", *again])
        print(f"\ninterrupted; what is finished is saved. To go on: {line}", file=sys.stderr)
        return error.exit_code
    except FoldwiseError as error:
        print("foldwise: " + " ".join(str(error).splitlines()), file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader of our output has gone, as in `help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 1
    except Exception as error:
        return unexpected(error)


def dispatch(words: list[str]) -> int:
    if words and words[0] in ("-h", "--help"):
        words = ["help", *words[1:]]
    if not words or "=" in words[0]:
        words = ["train", *words]
    verb = importlib.import_module(f"foldwise.verbs.{known_verb(words[0])}")
    return int(verb.run(words[1:]))


def unexpected(error: Exception) -> int:
    """Anything that no code foresaw: a line on the screen, the traceback in a file."""
    import traceback

    from foldwise.files import disk_full, home, out_of_space, shown, write_text

    if out_of_space(error):
        print(f"foldwise: {disk_full(home())}", file=sys.stderr)
        return 1
    if out_of_memory(error):
        print(f"foldwise: {MEMORY_ADVICE}", file=sys.stderr)
        return 1
    path = home() / "error.log"
    reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    try:
        write_text(path, "".join(traceback.format_exception(error)))
        reason += f" (the traceback is in {shown(path)})"
    except (OSError, FoldwiseError):
        pass
    print(f"foldwise: something unexpected: {reason}", file=sys.stderr)
    return 1
