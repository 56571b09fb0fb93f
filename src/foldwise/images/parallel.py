"""The images of a batch, shared by threads.

Python's threads, for OpenCV and NumPy, which work outside the interpreter's lock. Torch's own would
wait for their next piece of work by spinning, for milliseconds, on the cores that the others need.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

PIECE = 2**20  # bytes that are worked on at a time: these stay in a processor's cache
LARGE = 64 * 64 * 3  # bytes of an image; below that, sharing costs more than what is shared


def in_threads(work: Callable[[slice], None], count: int, each: int) -> None:
    """Calls ``work`` with slices that are ``count`` images of ``each`` bytes together.

    By as many threads as torch has, this one among them; alone where the images are small.
    """
    threads = torch.get_num_threads() if each >= LARGE else 1
    pieces = max(min(threads, count), -(-count * each // PIECE))
    size = -(-count // pieces) if count else 1
    slices = iter([slice(n, min(n + size, count)) for n in range(0, count, size)])

    def share() -> None:
        for some in slices:  # (all threads take from the one iterator)
            work(some)

    others = [_pool(threads).submit(share) for _ in range(threads - 1)]
    share()
    for other in others:
        other.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, threads - 1), "images")
