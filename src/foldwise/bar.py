"""How far a long piece of work is: a bar on a terminal, elsewhere a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SILENCE = 10.0  # seconds between two lines


@contextmanager
def counted(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Gives a function to call with the number just done; ``what`` is done, in the plural."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, desc=what, leave=False, unit_scale=True) as bar:
            yield bar.update
        return
    done, said = 0, time.monotonic()

    def advance(number: int) -> None:
        nonlocal done, said
        done += number
        if time.monotonic() - said > SILENCE:
            said = time.monotonic()
            print(f"{done:,} of {total:,} {what}", file=sys.stderr, flush=True)

    yield advance
