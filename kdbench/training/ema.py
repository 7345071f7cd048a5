"""The moving average of a student's weights, which is what is measured."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Ema:
    """Exponential moving average of a network, with the warm-up min(decay, (1 + n) / (10 + n)).

    Buffers (batch statistics) are copied, not averaged.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self._averages = tuple(self.network.parameters())
        self._weights = tuple(network.parameters())
        self._buffers = tuple(zip(self.network.buffers(), network.buffers(), strict=True))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the network as it is after update number `step` (from 0)."""
        keep = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averages, self._weights, 1 - keep)
        for average, buffer in self._buffers:
            average.copy_(buffer)
