"""Schedules beside their formulas and beside torch's and timm's own."""

import math
from typing import Any

import pytest
import torch
from timm.scheduler import CosineLRScheduler, StepLRScheduler
from torch import nn
from torch.optim import lr_scheduler

from foldwise.config import Schedule
from foldwise.errors import UsageError
from foldwise.training.schedule import Plateau, check_schedule, learning_rate, momentum

OTHERS = ("cosine", "flat_cosine", "step", "plateau", "constant")


def rates(steps: int = 100, epoch_steps: int = 10, peak: float = 0.1, **keys: Any) -> list[float]:
    return [learning_rate(n, steps, epoch_steps, peak, Schedule(**keys)) for n in range(steps)]


def optimizer(**options: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1, **options)


def of_torch(scheduler: Any, steps: int = 100, key: str = "lr") -> list[float]:
    """What a scheduler of torch's sets for each step."""
    found = []
    for _ in range(steps):
        found.append(scheduler.optimizer.param_groups[0][key])
        scheduler.optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("name", OTHERS)
def test_warm_up_is_linear_and_ends_at_the_peak(name: str) -> None:
    values = rates(name=name, warmup_epochs=2, warmup_lr=0.02)
    for step in range(20):
        assert values[step] == pytest.approx(0.02 + 0.08 * (step + 1) / 20)
    assert max(values) == pytest.approx(0.1)


def test_the_cosine_is_the_published_one() -> None:
    values = rates(warmup_epochs=1, min_lr=0.001)
    for step in range(10, 100):
        wanted = 0.001 + (0.1 - 0.001) * (1 + math.cos(math.pi * (step - 10) / 89)) / 2
        assert values[step] == pytest.approx(wanted)
    assert values[-1] == pytest.approx(0.001)


def test_the_cosine_is_that_of_torch_and_timm() -> None:
    values = rates(warmup_epochs=0, min_lr=0.001)
    torchs = of_torch(lr_scheduler.CosineAnnealingLR(optimizer(), 99, 0.001))
    assert values == pytest.approx(torchs, rel=1e-12)
    timms = CosineLRScheduler(optimizer(), t_initial=99, lr_min=0.001, cycle_limit=2)
    assert values[:99] == pytest.approx([timms._get_lr(n)[0] for n in range(99)], rel=1e-12)


def test_flat_and_then_a_cosine() -> None:
    values = rates(name="flat_cosine", warmup_epochs=1, flat=0.6, min_lr=0.001)
    assert values[10:60] == [0.1] * 50
    torchs = of_torch(lr_scheduler.CosineAnnealingLR(optimizer(), 39, 0.001), 40)
    assert values[60:] == pytest.approx(torchs, rel=1e-12)


@pytest.mark.parametrize("pct_start", [0.3, 0.5, 0.25])
def test_the_one_cycle_is_that_of_torch(pct_start: float) -> None:
    for steps in (7, 100, 1001):
        kind = lr_scheduler.OneCycleLR(
            optimizer(momentum=0.9), 0.1, total_steps=steps, pct_start=pct_start,
            div_factor=20, final_div_factor=1000, base_momentum=0.8, max_momentum=0.93,
        )  # fmt: skip
        wanted = Schedule(
            name="onecycle", pct_start=pct_start, div_factor=20, final_div_factor=1000,
            base_momentum=0.8, max_momentum=0.93,
        )  # fmt: skip
        found = []
        for step in range(steps):
            group = kind.optimizer.param_groups[0]
            got = learning_rate(step, steps, 10, 0.1, wanted)
            assert got == pytest.approx(group["lr"], rel=1e-9)
            assert momentum(step, steps, wanted) == pytest.approx(group["momentum"], rel=1e-9)
            found.append(got)
            kind.optimizer.step()
            if step < steps - 1:
                kind.step()
        assert found[0] == pytest.approx(0.1 / 20)
        assert found[-1] == pytest.approx(0.1 / 20 / 1000)


def test_momentum_is_for_the_one_cycle_alone() -> None:
    assert {momentum(n, 10, Schedule()) for n in range(10)} == {None}
    assert momentum(3, 10, Schedule(name="onecycle", base_momentum=0)) is None


def test_steps_are_those_of_torch_and_timm() -> None:
    values = rates(name="step", warmup_epochs=0, decay_epochs=3, decay_rate=0.5, min_lr=0)
    torchs = of_torch(lr_scheduler.StepLR(optimizer(), 3, 0.5), 10)
    assert values == pytest.approx([rate for rate in torchs for _ in range(10)], rel=1e-12)
    warm = rates(name="step", warmup_epochs=2, decay_epochs=3, decay_rate=0.5, min_lr=0)
    timms = StepLRScheduler(optimizer(), decay_t=3, decay_rate=0.5, warmup_t=2, warmup_prefix=False)
    wanted = [timms._get_lr(epoch)[0] for epoch in range(2, 10)]
    assert warm[20:] == pytest.approx([rate for rate in wanted for _ in range(10)], rel=1e-12)
    values = rates(name="step", warmup_epochs=0, decay_epochs=[4, 7], decay_rate=0.1, min_lr=0)
    torchs = of_torch(lr_scheduler.MultiStepLR(optimizer(), [4, 7], 0.1), 10)
    assert values == pytest.approx([rate for rate in torchs for _ in range(10)], rel=1e-12)
    assert min(rates(name="step", decay_epochs=1, min_lr=0.005)) == 0.005


def test_a_plateau_is_that_of_torch() -> None:
    watched = [0.1, 0.2, 0.2, 0.21, 0.15, math.nan, 0.2, 0.3, *[0.3004] * 12, 0.5, *[-1.0] * 9]
    wanted = Schedule(
        name="plateau", patience=2, decay_rate=0.5, threshold=1e-3, min_lr=0.01, warmup_epochs=0
    )
    theirs = lr_scheduler.ReduceLROnPlateau(
        optimizer(), "max", factor=0.5, patience=2, threshold=1e-3, threshold_mode="abs",
        min_lr=0.01,
    )  # fmt: skip
    ours, reached = Plateau(), set()
    for value in watched:
        theirs.step(value)
        ours = ours.after(value, wanted)
        rate = learning_rate(50, 100, 10, 0.1, wanted, ours.scale)
        assert rate == pytest.approx(theirs.optimizer.param_groups[0]["lr"], rel=1e-12)
        reached.add(rate)
    assert len(reached) > 3
    assert min(reached) == 0.01


def test_odd_cases_stay_between_floor_and_peak() -> None:
    for name in OTHERS:
        assert rates(name=name, steps=1, epoch_steps=1) == [pytest.approx(0.1)]
        assert max(rates(name=name, warmup_epochs=50)) == pytest.approx(0.1)  # longer than all
        assert rates(name=name, warmup_epochs=0)[0] == pytest.approx(0.1)
        assert set(rates(name=name, min_lr=5, warmup_lr=9)) == {0.1}
    for pct_start in (0, 0.01, 1):
        for steps in (1, 2, 3, 100):
            values = rates(name="onecycle", steps=steps, pct_start=pct_start)
            assert 0 < min(values) <= max(values) <= 0.1 * (1 + 1e-12)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        *((Schedule(decay_epochs=bad), "decay_epochs") for bad in (0, -3, [], [5, "x"], True, {})),
        (Schedule(base_momentum=0.9, max_momentum=0.8), "base_momentum=0.9 is above"),
    ],
)
def test_what_does_not_fit_is_refused(settings: Schedule, line: str) -> None:
    with pytest.raises(UsageError, match=line):
        check_schedule(settings)
