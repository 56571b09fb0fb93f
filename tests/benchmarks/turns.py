"""Contenders that take turns in one process, so that a machine that drifts does little."""

import statistics
import time
from collections.abc import Callable, Iterator
from importlib.metadata import distributions
from itertools import islice

import torch

Work = Iterator[int]  # does a batch, and says of how many images
STEADY = 6  # batches before the clock runs: more than a DataLoader of 2 workers makes ahead


def speed(make: Callable[[], Work], seconds: float, wait: Callable[[], None]) -> float:
    """Images a second of a work that is begun anew, and over when its turn is: so are its workers.

    ``wait``: for the device, after each batch.
    """
    work = make()
    for _ in islice(work, STEADY):
        wait()
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        done += next(work)
        wait()
    result = done / (time.perf_counter() - began)
    work.close()  # type: ignore[attr-defined]
    return result


def waiter(device: torch.device) -> Callable[[], None]:
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


def take_turns(turns: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each turn gives, in every round."""
    found: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            found[name].append(turn())
    return found


def spread(values: list[float], form: str) -> str:
    """The median and, in brackets, the lowest and highest."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def ratios(ours: list[float], theirs: list[float]) -> list[float]:
    """Of the same rounds."""
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]


def versions(*names: str) -> str:
    """Of torch and of these packages (by how their names begin)."""
    found = [
        f"{name} {package.version}"
        for name in ("torch", *names)
        for package in distributions()
        if package.name.lower() == name or package.name.lower().startswith(f"{name}-python")
    ]
    return ", ".join(dict.fromkeys(found))
