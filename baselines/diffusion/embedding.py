"""The condition of a network, noise level and class, as one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FREQUENCIES = 16


class Condition(nn.Module):
    """Fourier features of the noise level plus a class embedding, through one hidden layer."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        frequencies = 0.5 * torch.arange(1, FREQUENCIES + 1)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.noise = nn.Linear(2 * FREQUENCIES, width)
        self.label = nn.Embedding(classes, width)
        self.out = nn.Linear(width, width)

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Noise level ln σ / 4 (B,) and labels (B,) to (B, width)."""
        angles = noise[:, None] * self.get_buffer("frequencies")
        hidden = self.noise(torch.cat([angles.sin(), angles.cos()], dim=1)) + self.label(labels)
        return F.silu(self.out(F.silu(hidden)))
