"""The exponential moving average of the weights."""

import copy

import torch
from torch import Tensor, nn


class Ema:
    """A shadow of the network: weights averaged with ``decay``, buffers as they are.

    The decay grows with the updates taken, so that the random weights of the beginning are soon
    forgotten: see `decay_after`.
    """

    def __init__(self, network: nn.Module, decay: float, warmup: str = "ratio") -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay, self.warmup = decay, warmup
        self._average: list[Tensor] = list(self.network.parameters())
        self._weights: list[Tensor] = list(network.parameters())
        self._buffers = (list(self.network.buffers()), list(network.buffers()))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """``step`` counts updates from 0 over the whole training."""
        decay = decay_after(step, self.decay, self.warmup)
        torch._foreach_lerp_(self._average, self._weights, 1 - decay)
        if self._buffers[0]:
            torch._foreach_copy_(*self._buffers)


def decay_after(step: int, decay: float, warmup: str) -> float:
    """The decay of update ``step``, counted from 0; at most ``decay``.

    ratio: (1 + step) / (10 + step), as in TensorFlow's ExponentialMovingAverage. power:
    1 - (1 + step)^(-2/3), as in timm's ModelEmaV3, which is slower for decays above 0.99. none:
    ``decay`` from the beginning.
    """
    if warmup == "ratio":
        return min(decay, (1 + step) / (10 + step))
    if warmup == "power":
        return min(decay, 1 - (1 + step) ** (-2 / 3))
    return decay
