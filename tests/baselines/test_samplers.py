"""Samplers against the exact trajectories of a Gaussian, and grids against their definition."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from kdbench_baselines.diffusion.samplers import (
    Euler,
    Heun,
    Multistep,
    euler_step,
    heun_step,
    multistep_update,
    nested_grid,
    sigma_grid,
)
from torch import Tensor, nn

from .conftest import Oracle, exact_map

LABELS = torch.zeros(8, dtype=torch.int64)


Step = Callable[[nn.Module, Tensor, Tensor, Tensor, Tensor], Tensor]


def error(step: Step, steps: int) -> float:
    """Largest error after going from noise level 5 to 0.5."""
    grid = torch.linspace(5.0, 0.5, steps + 1).double()
    start = 5.0 * torch.randn((8, 1, 2, 2), generator=torch.Generator().manual_seed(0)).double()
    x = start
    for a, b in pairwise(grid):
        x = step(Oracle(), x, a, b, LABELS)
    return float((x - exact_map(start, 5.0, 0.5)).abs().max())


@pytest.mark.parametrize(("step", "fall"), [(euler_step, 2.0), (heun_step, 4.0)])
def test_error_falls_with_the_order_of_the_step(step: Step, fall: float) -> None:
    assert error(step, 64) / error(step, 128) == pytest.approx(fall, rel=0.05)


@pytest.mark.parametrize("sampler", [Euler(steps=256), Heun(steps=64), Multistep(steps=64)])
def test_samplers_arrive_where_the_exact_trajectory_ends(sampler: Euler | Heun | Multistep) -> None:
    latents = torch.randn((8, 1, 2, 2), generator=torch.Generator().manual_seed(0)).double()
    exact = exact_map(20.0 * latents, 20.0, 0.0)
    torch.testing.assert_close(sampler(Oracle(), latents, LABELS), exact, rtol=0, atol=0.02)


def test_multistep_is_of_second_order() -> None:
    latents = torch.randn((8, 1, 2, 2), generator=torch.Generator().manual_seed(0)).double()
    errors = []
    for steps in (32, 64):
        levels = torch.logspace(math.log10(5.0), math.log10(0.5), steps + 1).double()
        x, before, last = 5.0 * latents, None, levels[0]
        for a, b in pairwise(levels):
            now = Oracle()(x, a.expand(8), LABELS)
            x = multistep_update(x, now, before, (last, a, b))
            before, last = now, a
        errors.append(float((x - exact_map(5.0 * latents, 5.0, 0.5)).abs().max()))
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.1)


@pytest.mark.parametrize(
    "sampler",
    [Euler(1), Euler(4), Euler(4, finest=16), Heun(1), Heun(8), Multistep(4), Euler(sigmas=[3, 1])],
)
def test_nfe_is_the_number_of_evaluations(sampler: Euler | Heun | Multistep) -> None:
    oracle = Oracle()
    sampler(oracle, torch.randn((8, 1, 2, 2)), LABELS)
    assert oracle.calls == sampler.nfe


def test_grids_end_at_zero_and_start_at_sigma_max() -> None:
    grid = sigma_grid(5, sigma_min=0.02, sigma_max=20.0, rho=7.0)
    assert grid[0].item() == pytest.approx(20.0)
    assert grid[-2].item() == pytest.approx(0.02)
    assert grid[-1] == 0
    assert bool((grid.diff() < 0).all())


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_every_halving_is_a_subset(steps: int) -> None:
    levels = {"finest": 16, "sigma_min": 0.02, "sigma_max": 20.0, "rho": 7.0}
    assert torch.equal(nested_grid(steps, **levels), nested_grid(2 * steps, **levels)[::2])


def test_steps_that_do_not_nest_are_refused() -> None:
    with pytest.raises(ValueError, match="do not nest"):
        nested_grid(3, finest=16, sigma_min=0.02, sigma_max=20.0, rho=7.0)
