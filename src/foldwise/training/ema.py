"""The exponential moving average of the weights."""

import copy

import torch
from torch import Tensor, nn


class Ema:
    """A shadow of the network: weights averaged with ``decay``, buffers as they are.

    The decay grows with the steps taken, min(decay, (1 + step) / (10 + step)), so that the random
    weights of the beginning are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self._average: list[Tensor] = list(self.network.parameters())
        self._weights: list[Tensor] = list(network.parameters())
        self._buffers = (list(self.network.buffers()), list(network.buffers()))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """``step`` counts from 0 over the whole training."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._average, self._weights, 1 - decay)
        if self._buffers[0]:
            torch._foreach_copy_(*self._buffers)
