"""Flows: the change of variables in closed form, and steps that arrive."""

from __future__ import annotations

import pytest
import torch
from kdbench_baselines.diffusion.flow import capped, path, velocity
from kdbench_baselines.diffusion.flow_samplers import FlowEuler
from kdbench_baselines.diffusion.samplers import Euler

from .conftest import MEAN, STD, Oracle, exact_map
from .exact_flows import SIGMA_MAX, T_MAX, Straight

LABELS = torch.zeros(8, dtype=torch.int64)


# ---------------------------------------------------------------- the change of variables


def test_velocity_of_the_best_denoiser_is_the_conditional_mean_of_noise_minus_image() -> None:
    """For x ~ N(μ, s²) and z_t the pair (e − x, z_t) is Gaussian: regression, by hand."""
    t = torch.tensor([0.1, 0.5, 0.9, 0.98]).double()
    z = torch.randn((4, 1, 2, 2)).double()
    shape = t.view(-1, 1, 1, 1)
    covariance, variance = shape - (1 - shape) * STD**2, shape**2 + ((1 - shape) * STD) ** 2
    by_hand = -MEAN + covariance / variance * (z - (1 - shape) * MEAN)
    torch.testing.assert_close(velocity(Oracle(), z, t, LABELS[:4]), by_hand)


def test_path_is_linear_and_begins_with_noise_alone() -> None:
    x, e = torch.randn((3, 1, 2, 2)), torch.randn((3, 1, 2, 2))
    t = capped(torch.tensor([0.0, 0.25, 1.0]), sigma_max=SIGMA_MAX)
    z, v = path(x, e, t, sigma_max=SIGMA_MAX)
    torch.testing.assert_close(z[1], 0.75 * x[1] + 0.25 * e[1])
    torch.testing.assert_close(v[1], e[1] - x[1])
    torch.testing.assert_close(z[2], T_MAX * e[2])
    s = t.view(-1, 1, 1, 1)
    torch.testing.assert_close(z - s * v, x)  # the way back arrives at the image, at the cap too
    assert t[0] > 0  # ln σ is finite


# ---------------------------------------------------------------- samplers


def test_many_steps_arrive_at_the_exact_end_with_an_error_of_first_order() -> None:
    latents = torch.randn((8, 1, 2, 2)).double()
    exact = exact_map(SIGMA_MAX * latents, SIGMA_MAX, 0.0)
    errors = [
        float((FlowEuler(steps=n)(Oracle(), latents, LABELS) - exact).abs().max())
        for n in (256, 512)
    ]
    assert errors[1] < 0.01
    assert errors[0] / errors[1] == pytest.approx(2.0, rel=0.1)


def test_one_step_is_one_call_of_the_denoiser() -> None:
    latents = torch.randn((8, 1, 2, 2))
    flow, direct = FlowEuler(steps=1, sigma_max=5.0), Euler(sigmas=[5.0])
    torch.testing.assert_close(
        flow(Oracle(), latents, LABELS), direct(Oracle(), latents, LABELS), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_a_straight_flow_arrives_in_any_number_of_steps(steps: int) -> None:
    latents = torch.randn((8, 1, 2, 2)).double()
    exact = exact_map(SIGMA_MAX * latents, SIGMA_MAX, 0.0)
    network = Straight()
    arrived = FlowEuler(steps=steps)(network, latents, LABELS)
    # after the first step the line has the image's share that the start leaves out: 1 − t_max
    torch.testing.assert_close(arrived, exact, rtol=0, atol=1e-5 if steps == 1 else 0.03)
    assert network.calls == FlowEuler(steps=steps).nfe
