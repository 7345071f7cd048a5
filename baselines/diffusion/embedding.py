"""The condition of a network, noise level, class and perhaps a second time, as one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FREQUENCIES = 16


class Condition(nn.Module):
    """Fourier features of the noise level plus a class embedding, through one hidden layer.

    With `second_time`, the features of one more number are added: a step size, or the time that a
    step leads to. It should be of order 1, as ln σ / 4 is.
    """

    def __init__(self, classes: int, width: int, *, second_time: bool = False) -> None:
        super().__init__()
        frequencies = 0.5 * torch.arange(1, FREQUENCIES + 1)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.noise = nn.Linear(2 * FREQUENCIES, width)
        self.label = nn.Embedding(classes, width)
        self.out = nn.Linear(width, width)
        self.second = nn.Linear(2 * FREQUENCIES, width) if second_time else None

    def forward(self, noise: Tensor, labels: Tensor, second: Tensor | None = None) -> Tensor:
        """Noise level ln σ / 4 (B,), labels (B,) and a second time (B,) to (B, width)."""
        if (self.second is None) != (second is None):
            raise TypeError(
                "a second time is for networks with second_time = true, and they need it"
            )
        hidden = self.noise(self._features(noise)) + self.label(labels)
        if self.second is not None and second is not None:
            hidden = hidden + self.second(self._features(second))
        return F.silu(self.out(F.silu(hidden)))

    def _features(self, values: Tensor) -> Tensor:
        angles = values[:, None] * self.get_buffer("frequencies")
        return torch.cat([angles.sin(), angles.cos()], dim=1)
