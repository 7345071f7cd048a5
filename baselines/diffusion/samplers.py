"""Samplers of the probability-flow ODE dx/dσ = (x − D(x, σ)) / σ.

Karras et al. 2022, arXiv:2206.00364: equation 5 (the grid) and algorithm 1 (Euler, Heun); Lu et
al. 2022, arXiv:2211.01095: DPM-Solver++(2M).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn


def sigma_grid(points: int, *, sigma_min: float, sigma_max: float, rho: float) -> Tensor:
    """EDM's grid from σ_max to σ_min, then 0: `points` + 1 values, float32."""
    u = torch.arange(points) / max(points - 1, 1)
    return torch.cat([_warp(u, sigma_min, sigma_max, rho), torch.zeros(1)])


def nested_grid(
    steps: int, *, finest: int, sigma_min: float, sigma_max: float, rho: float
) -> Tensor:
    """A grid of which every halving is a subset: σ(i / finest) for i < finest, then 0, thinned.

    Progressive distillation needs it: a grid that does not nest looks healthy until the last
    halving.

    Args:
        steps: steps of this grid; divides `finest`.
        finest: steps of the finest grid.
        sigma_min: where u = 1 would be; the last step of every grid goes to 0 instead.
        sigma_max: noise level of the start.
        rho: curvature of the warp.

    >>> kwargs = dict(finest=8, sigma_min=0.02, sigma_max=20.0, rho=7.0)
    >>> bool((nested_grid(2, **kwargs) == nested_grid(8, **kwargs)[::4]).all())
    True
    """
    if finest % steps:
        raise ValueError(f"{steps} steps do not nest in {finest}")
    grid = torch.cat(
        [_warp(torch.arange(finest) / finest, sigma_min, sigma_max, rho), torch.zeros(1)]
    )
    return grid[:: finest // steps]


def _warp(u: Tensor, sigma_min: float, sigma_max: float, rho: float) -> Tensor:
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    levels: Tensor = (high + u * (low - high)) ** rho
    return levels


def slope(network: nn.Module, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
    """(x − D(x, σ)) / σ at one noise level for the whole batch."""
    denoised: Tensor = network(x, sigma.expand(len(x)), labels)
    return (x - denoised) / sigma


def euler_step(network: nn.Module, x: Tensor, a: Tensor, b: Tensor, labels: Tensor) -> Tensor:
    """One Euler step from noise level a to b."""
    return x + (b - a) * slope(network, x, a, labels)


def heun_step(network: nn.Module, x: Tensor, a: Tensor, b: Tensor, labels: Tensor) -> Tensor:
    """One Heun step from a to b; an Euler step where b is 0."""
    d = slope(network, x, a, labels)
    ahead = x + (b - a) * d
    if b == 0:
        return ahead
    return x + (b - a) * (d + slope(network, ahead, b, labels)) / 2


def multistep_update(
    x: Tensor, now: Tensor, before: Tensor | None, levels: Sequence[Tensor]
) -> Tensor:
    """One step of DPM-Solver++(2M), data prediction (Lu et al. 2022, arXiv:2211.01095, alg. 2).

    Args:
        x: the state at the present noise level.
        now: the denoised image there.
        before: the denoised image at the noise level before, None in the first step.
        levels: (before, present, next); in the variance-exploding time of EDM α is 1 and
            λ = −ln σ. Where the next level is 0 the step is of first order.
    """
    last, a, b = levels
    if before is None or b == 0:
        return (b / a) * x + (1 - b / a) * now
    r = (last / a).log() / (a / b).log()
    mixed = (1 + 1 / (2 * r)) * now - 1 / (2 * r) * before
    return (b / a) * x + (1 - b / a) * mixed


@dataclass(frozen=True)
class Grid:
    """The noise levels of a sampler: given ones, or EDM's, or a grid that nests in a finer one."""

    steps: int | None = None
    sigmas: Sequence[float] | None = None
    """All levels but the last, which is 0, in place of a formula."""
    finest: int | None = None
    """Steps of the grid in which this one nests; None takes EDM's own."""
    sigma_min: float = 0.02
    sigma_max: float = 20.0
    rho: float = 7.0

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.sigmas is None):
            raise TypeError("a grid has either steps or sigmas")

    @property
    def count(self) -> int:
        """Steps of the grid."""
        return self.steps if self.steps is not None else len(self.sigmas or ())

    @property
    def grid(self) -> Tensor:
        """Noise levels from the first to 0, `count` + 1 of them."""
        if self.sigmas is not None:
            return torch.tensor([*self.sigmas, 0.0])
        levels = {"sigma_min": self.sigma_min, "sigma_max": self.sigma_max, "rho": self.rho}
        if self.finest is not None:
            return nested_grid(self.count, finest=self.finest, **levels)
        return sigma_grid(self.count, **levels)


@dataclass(frozen=True)
class Euler(Grid):
    """First-order sampler."""

    @property
    def nfe(self) -> int:
        """One evaluation a step."""
        return self.count

    def __call__(self, network: nn.Module, latents: Tensor, labels: Tensor) -> Tensor:
        """Images at σ = 0, (N, C, H, W), in the network's own range."""
        grid = self.grid.to(latents.device)
        x = latents * grid[0]
        for a, b in pairwise(grid):
            x = euler_step(network, x, a, b, labels)
        return x


@dataclass(frozen=True)
class Heun(Grid):
    """Second-order one-step sampler: 2·steps − 1 evaluations."""

    @property
    def nfe(self) -> int:
        """Two evaluations a step, one in the last."""
        return 2 * self.count - 1

    def __call__(self, network: nn.Module, latents: Tensor, labels: Tensor) -> Tensor:
        """Images at σ = 0, (N, C, H, W), in the network's own range."""
        grid = self.grid.to(latents.device)
        x = latents * grid[0]
        for a, b in pairwise(grid):
            x = heun_step(network, x, a, b, labels)
        return x


@dataclass(frozen=True)
class Multistep(Grid):
    """DPM-Solver++(2M): second order from one evaluation a step and the one before it."""

    @property
    def nfe(self) -> int:
        """One evaluation a step."""
        return self.count

    def __call__(self, network: nn.Module, latents: Tensor, labels: Tensor) -> Tensor:
        """Images at σ = 0, (N, C, H, W), in the network's own range."""
        grid = self.grid.to(latents.device)
        x, before, last = latents * grid[0], None, grid[0]
        for a, b in pairwise(grid):
            now: Tensor = network(x, a.expand(len(x)), labels)
            x = multistep_update(x, now, before, (last, a, b))
            before, last = now, a
        return x
