import math

import pytest

from foldwise.config import Schedule
from foldwise.training.schedule import learning_rate


def rates(steps: int = 100, epoch_steps: int = 10, peak: float = 0.1, **keys: float) -> list[float]:
    return [learning_rate(n, steps, epoch_steps, peak, Schedule(**keys)) for n in range(steps)]


def test_warm_up_is_linear_and_ends_at_the_peak() -> None:
    values = rates(warmup_epochs=2, warmup_lr=0.02)
    for step in range(20):
        assert values[step] == pytest.approx(0.02 + 0.08 * (step + 1) / 20)
    assert max(values) == pytest.approx(0.1)


def test_the_cosine_is_the_published_one() -> None:
    values = rates(warmup_epochs=1, min_lr=0.001)
    for step in range(10, 100):
        wanted = 0.001 + (0.1 - 0.001) * (1 + math.cos(math.pi * (step - 10) / 89)) / 2
        assert values[step] == pytest.approx(wanted)
    assert values[-1] == pytest.approx(0.001)


def test_odd_cases_stay_between_floor_and_peak() -> None:
    assert rates(steps=1, epoch_steps=1) == [pytest.approx(0.1)]
    assert max(rates(warmup_epochs=50)) == pytest.approx(0.1)  # longer than the training
    assert rates(warmup_epochs=0)[0] == pytest.approx(0.1)
    assert set(rates(min_lr=5, warmup_lr=9)) == {0.1}
