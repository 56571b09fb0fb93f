"""Threads share a batch, and give what one alone gives."""

import threading

import numpy as np
import pytest
import torch

from foldwise.images.parallel import LARGE, PIECE, in_threads


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> int:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 1000])
@pytest.mark.parametrize("each", [1, PIECE // 3, 2 * PIECE])  # bytes
def test_every_image_is_worked_on_once(threads: int, count: int, each: int) -> None:
    seen = np.zeros(count, int)

    def work(some: slice) -> None:
        assert some.stop > some.start
        assert (some.stop - some.start) * each <= max(PIECE, each)
        seen[some] += 1

    in_threads(work, count, each)
    assert (seen == 1).all()


def test_small_images_stay_in_the_thread_that_asks(threads: int) -> None:
    names = set()
    in_threads(lambda some: names.add(threading.current_thread().name), 10**6, LARGE - 1)
    assert names == {threading.current_thread().name}


def test_an_error_arrives(threads: int) -> None:
    def work(some: slice) -> None:
        if some.stop == 20:
            raise ValueError("the last")

    with pytest.raises(ValueError, match="the last"):
        in_threads(work, 20, PIECE)
