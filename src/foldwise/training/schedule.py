"""The learning rate of every step."""

import math

from foldwise.config import Schedule


def learning_rate(step: int, steps: int, epoch_steps: int, peak: float, wanted: Schedule) -> float:
    """Linear warm-up to ``peak``, then a half cosine down to ``wanted.min_lr`` (SGDR, 2017).

    ``step`` counts from 0 to ``steps`` - 1 over the whole training. The warm-up ends at the latest
    in the middle of the training; a ``min_lr`` above ``peak`` counts as ``peak``.
    """
    warmup = min(round(wanted.warmup_epochs * epoch_steps), steps // 2)
    if step < warmup:
        start = min(wanted.warmup_lr, peak)
        return start + (peak - start) * (step + 1) / warmup
    floor = min(wanted.min_lr, peak)
    progress = (step - warmup) / max(1, steps - 1 - warmup)
    return floor + (peak - floor) * (1 + math.cos(math.pi * progress)) / 2
