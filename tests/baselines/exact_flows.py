"""Networks that know the Gaussian's flow in closed form."""

from __future__ import annotations

import torch
from kdbench_baselines.diffusion.flow import time_of
from torch import Tensor, nn

from .conftest import MEAN, STD

SIGMA_MAX = 80.0
T_MAX = time_of(SIGMA_MAX)


def landing(x: Tensor, sigma: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The point z_t of x_σ, where its exact trajectory is at time r, and t and r to multiply."""
    a, b, t, r = (v.view(-1, 1, 1, 1) for v in (sigma, r / (1 - r), sigma / (1 + sigma), r))
    end = (1 - r) * (MEAN + ((STD**2 + b**2) / (STD**2 + a**2)).sqrt() * (x - MEAN))
    return (1 - t) * x, end, t, r


class Straight(nn.Module):
    """D of the flow that is straight from e to the end of its exact trajectory, x = slope·e + b."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = SIGMA_MAX * STD / (STD**2 + SIGMA_MAX**2) ** 0.5
        self.offset = MEAN * (1 - STD / (STD**2 + SIGMA_MAX**2) ** 0.5)
        self.calls = 0

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        self.calls += 1
        t = (sigma / (1 + sigma)).view(-1, 1, 1, 1)
        share = torch.where(t < T_MAX, 1 - t, 0.0)
        noise = (x * (1 - t) - share * self.offset) / (share * self.slope + t)
        return self.slope * noise + self.offset


class ExactShortcut(nn.Module):
    """The shortcut whose every step lands on the exact trajectory, but for `error`."""

    def __init__(self, error: float = 0.0) -> None:
        super().__init__()
        self.error = nn.Parameter(torch.tensor(error).double())
        self.heard: list[float] = []

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor, code: Tensor) -> Tensor:
        self.heard += code.tolist()
        step = T_MAX * (4 * code).exp()
        z, end, t, r = landing(x, sigma, (sigma / (1 + sigma) - step).clamp(min=0))
        return z - t * ((z - end) / (t - r) + self.error)


class ExactMean(nn.Module):
    """The mean velocity of the flow: (z_t − map(z_t, t → r)) / (t − r)."""

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor, step: Tensor) -> Tensor:
        z, end, t, r = landing(x, sigma, sigma / (1 + sigma) - step)
        return z - t * (z - end) / (t - r)
