"""Ctrl-C and SIGTERM: at once where nothing can be lost, at the next step where training saves."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

from foldwise.errors import Interrupted


@dataclass
class _Signals:
    deferred: bool = False
    received: int = 0

    def handle(self, signum: int, _: FrameType | None) -> None:
        if not self.deferred or self.received:  # a second signal does not wait for anything
            raise Interrupted(signum)
        self.received = signum


_signals = _Signals()  # one a process, as signal handlers are


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Inside, SIGINT and SIGTERM raise Interrupted (only the main thread may install handlers)."""
    _signals.received = 0
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.signal(s, _signals.handle) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def left_alone() -> Iterator[None]:
    """Inside, signals do what they do by themselves."""
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Inside, the first signal only makes `pending` true; the code there saves, then raises."""
    _signals.deferred = True
    try:
        yield
    finally:
        _signals.deferred = False


def pending() -> int:
    """The number of the signal that waits to be honoured, or 0."""
    return _signals.received
