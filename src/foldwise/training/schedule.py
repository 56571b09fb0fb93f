"""The learning rate of every step, and the momentum of a one-cycle."""

import dataclasses
import math
from dataclasses import dataclass

from foldwise.config import Schedule
from foldwise.errors import UsageError


@dataclass(frozen=True)
class Plateau:
    """What the plateau schedule has seen so far. ``scale``: what the peak is multiplied with.

    As torch's ReduceLROnPlateau with mode="max" and threshold_mode="abs".
    """

    best: float = -math.inf
    waited: int = 0  # epochs since the last improvement, or the last reduction
    scale: float = 1.0

    def after(self, value: float, wanted: Schedule) -> "Plateau":
        """After an epoch with ``value``, of which more is better; NaN is no improvement."""
        if value > self.best + wanted.threshold:
            return dataclasses.replace(self, best=value, waited=0)
        if self.waited < wanted.patience:
            return dataclasses.replace(self, waited=self.waited + 1)
        return dataclasses.replace(self, waited=0, scale=self.scale * wanted.decay_rate)


def learning_rate(
    step: int, steps: int, epoch_steps: int, peak: float, wanted: Schedule, scale: float = 1.0
) -> float:
    """The rate of update ``step``, counted from 0 to ``steps`` - 1 over the whole training.

    onecycle rises from peak / div_factor over pct_start of the training and falls, both along
    half cosines, to that over final_div_factor (Smith and Topin, Super-Convergence, 2018, as
    torch's OneCycleLR). Each other begins with a linear warm-up to ``peak``, which ends at the
    latest in the middle of the training. Then cosine: half a cosine down to min_lr (Loshchilov and
    Hutter, SGDR, 2017); flat_cosine: the same, after a share ``flat`` of the training at the peak;
    step: times decay_rate at the end of each of decay_epochs; plateau: times ``scale``, which is
    `Plateau.scale`; constant: the peak. Neither step nor plateau goes below min_lr; a min_lr above
    ``peak`` counts as ``peak``.
    """
    if wanted.name == "onecycle":
        low = peak / wanted.div_factor
        return _one_cycle(step, steps, wanted, low, peak, low / wanted.final_div_factor)
    warmup = min(round(wanted.warmup_epochs * epoch_steps), steps // 2)
    if step < warmup:
        start = min(wanted.warmup_lr, peak)
        return start + (peak - start) * (step + 1) / warmup
    floor = min(wanted.min_lr, peak)
    if wanted.name == "constant":
        return peak
    if wanted.name == "plateau":
        return max(floor, peak * scale)
    if wanted.name == "step":
        return max(floor, peak * wanted.decay_rate ** _decays(step / epoch_steps, wanted))
    start = warmup if wanted.name == "cosine" else max(warmup, round(wanted.flat * steps))
    if step < start:
        return peak
    return _half_cosine(peak, floor, (step - start) / max(1, steps - 1 - start))


def momentum(step: int, steps: int, wanted: Schedule) -> float | None:
    """The momentum of update ``step`` in a one-cycle, which falls while the rate rises; or None."""
    if wanted.name != "onecycle" or not wanted.base_momentum:
        return None
    high, low = wanted.max_momentum, wanted.base_momentum
    return _one_cycle(step, steps, wanted, high, low, high)


def check_schedule(wanted: Schedule) -> None:
    """Raises UsageError for settings that do not fit together."""
    given = wanted.decay_epochs
    epochs = given if isinstance(given, list) else [given]
    if not epochs or not all(type(n) in (int, float) and 0 < n < math.inf for n in epochs):
        raise UsageError(
            f"schedule.decay_epochs={given} is neither a number of epochs above 0 "
            "nor a list of them, as in [15, 25]"
        )
    if wanted.base_momentum > wanted.max_momentum:
        raise UsageError(
            f"schedule.base_momentum={wanted.base_momentum:g} is above "
            f"schedule.max_momentum={wanted.max_momentum:g}: it is the lower end of the cycle"
        )


def _one_cycle(
    step: int, steps: int, wanted: Schedule, start: float, middle: float, end: float
) -> float:
    """From ``start`` to ``middle`` and on to ``end``, with torch's places of the three."""
    rise, last = wanted.pct_start * steps - 1, steps - 1
    if step <= rise and rise > 0:
        return _half_cosine(start, middle, step / rise)
    rise = max(0.0, rise)
    return _half_cosine(middle, end, (step - rise) / max(1, last - rise))


def _half_cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def _decays(epoch: float, wanted: Schedule) -> int:
    """How often the rate has been decayed ``epoch`` epochs after the beginning."""
    if isinstance(wanted.decay_epochs, list):
        return sum(epoch >= end for end in wanted.decay_epochs)
    return int(epoch // wanted.decay_epochs)
