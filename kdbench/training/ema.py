"""The moving average of a student's weights, which is what is measured."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Ema:
    """Exponential moving average with the warm-up min(decay, (1 + n) / (10 + n)).

    Buffers (batch statistics) are copied, not averaged.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards `network` after update number `step` (from 0)."""
        keep = min(self.decay, (1 + step) / (10 + step))
        averages = tuple(self.network.parameters())
        torch._foreach_lerp_(averages, tuple(network.parameters()), 1 - keep)
        for average, buffer in zip(self.network.buffers(), network.buffers(), strict=True):
            average.copy_(buffer)
