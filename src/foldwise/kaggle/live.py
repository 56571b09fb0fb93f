"""What a kernel prints while it runs, as far as Kaggle streams it; its whole log comes later."""

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

from foldwise.kaggle.client import Kaggle

PAUSE = 5.0  # seconds until a stream that broke off is asked for again
FAILURES = 5  # streams without a new line, after which only the end is waited for
ENDING = 5.0  # seconds in which the last lines may come


@contextlib.contextmanager
def printed(kaggle: Kaggle, ref: str) -> Iterator[threading.Event]:
    """Prints a kernel's lines on stderr from when the event that it gives is set to the end.

    A thread does it, so that a stream that hangs holds nothing up; that there is none is no error.
    """
    running, over = threading.Event(), threading.Event()
    arguments = (kaggle.api, ref, running, over, sys.stderr)
    thread = threading.Thread(target=_print, args=arguments, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        over.set()
        if running.is_set():
            thread.join(ENDING)
        running.set()


def _print(
    api: Any, ref: str, running: threading.Event, over: threading.Event, out: TextIO
) -> None:
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    running.wait()
    shown = failures = 0
    while failures < FAILURES and not (over.is_set() and failures):  # an end may also be a break
        before = shown
        try:
            for number, event in enumerate(api.kernels_logs_stream(ref)):
                if number >= shown:  # a stream begins with what was there before
                    shown = number + 1
                    print(str(event.get("data", "")).rstrip("\n"), file=out, flush=True)
            if over.is_set():
                return
        except (RequestException, HTTPError, ValueError, OSError):
            pass
        failures = failures + 1 if shown == before else 0
        over.wait(PAUSE)
