"""MeanFlow: the identity holds for exact mean velocities, and the derivative is the right one."""

from __future__ import annotations

import pytest
import torch
from kdbench_baselines.diffusion.flow import time_of, velocity
from kdbench_baselines.diffusion.flow_samplers import MeanFlowSteps
from kdbench_baselines.diffusion.meanflow import MeanFlow, MeanFlowParams, mean_velocity
from torch import Tensor, nn

from kdbench.training.method import Batch

from .conftest import MEAN, STD, Bench, Oracle, exact_map
from .exact_flows import ExactMean

LABELS = torch.zeros(64, dtype=torch.int64)


class Curved(nn.Module):
    """Some smooth function of all its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.7).double())

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor, step: Tensor) -> Tensor:
        s, h = (v.view(-1, 1, 1, 1) for v in (sigma, step))
        return self.scale * torch.sin(x) / (1 + s) + h * x.cos()


def two_times(n: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    """Points and times t > r."""
    t = 0.3 + 0.6 * torch.rand(n).double()
    return torch.randn((n, 1, 2, 2)).double(), t, t * torch.rand(n).double() * 0.9


def test_exact_mean_velocities_leave_no_residual() -> None:
    z, t, r = two_times()
    v = velocity(Oracle(), z, t, LABELS)
    u, target = mean_velocity(ExactMean(), z, t, r, v, LABELS)
    torch.testing.assert_close(u, target, rtol=0, atol=1e-9)


def test_with_equal_times_the_target_is_the_velocity() -> None:
    z, t, _ = two_times()
    v = torch.randn_like(z)
    _, target = mean_velocity(Curved(), z, t, t, v, LABELS)
    assert torch.equal(target, v)


def test_the_derivative_along_the_flow_agrees_with_finite_differences() -> None:
    z, t, r = two_times()
    v, network, h = torch.randn_like(z), Curved(), 1e-5

    def u_at(shift: float) -> Tensor:
        now = t + shift
        return velocity(network, z + shift * v, now, LABELS, now - r)

    by_hand = (u_at(h) - u_at(-h)) / (2 * h)
    u, target = mean_velocity(network, z, t, r, v, LABELS)
    derivative = (v - target) / (t - r).view(-1, 1, 1, 1)
    torch.testing.assert_close(derivative, by_hand.detach(), rtol=1e-3, atol=1e-3)
    assert u.requires_grad
    assert not target.requires_grad


@pytest.mark.parametrize("still", [0.0, 0.25, 0.75, 1.0])
def test_a_share_of_the_batch_has_equal_times_and_none_runs_backwards(
    bench: Bench, still: float
) -> None:
    class Listening(Curved):
        def forward(self, x: Tensor, sigma: Tensor, labels: Tensor, step: Tensor) -> Tensor:
            self.heard = torch.autograd.forward_ad.unpack_dual(step).primal
            return super().forward(x, sigma, labels, step)

    method, network = bench.method(MeanFlow, MeanFlowParams(still=still)), Listening()
    method.loss(network, None, Batch(torch.randn((64, 1, 2, 2)).double(), LABELS, 0))
    assert int((network.heard == 0).sum()) == int(64 * still)
    assert bool((network.heard >= 0).all())


def test_time_is_logit_normal_and_capped(bench: Bench) -> None:
    method = bench.method(MeanFlow, MeanFlowParams(p_mean=-0.4, p_std=1.0))
    drawn = method.points(None, torch.zeros((20_000, 1, 1, 1)), torch.zeros(20_000))
    both = torch.cat([drawn["t"], drawn["r"]]).logit()
    assert float(both.mean()) == pytest.approx(-0.4, abs=0.03)
    assert float(both.std()) == pytest.approx(1.0, abs=0.03)
    assert bool((drawn["r"] <= drawn["t"]).all())
    capped = bench.method(MeanFlow, MeanFlowParams(p_std=5.0, sigma_max=20.0))
    drawn = capped.points(None, torch.zeros((1000, 1, 1, 1)), torch.zeros(1000))
    assert float(drawn["t"].max()) == pytest.approx(time_of(20.0))


def test_the_weight_is_adaptive_and_takes_no_gradient(bench: Bench) -> None:
    """With p = 1 the loss is E/(E + c), and its gradient is that of E over E + c."""
    images = MEAN + STD * torch.randn((64, 1, 2, 2))
    batch = Batch(images.double(), LABELS, 0)
    losses, gradients = {}, {}
    for power in (0.0, 1.0):
        network = Curved()
        method = bench.method(MeanFlow, MeanFlowParams(power=power, c=1e6))
        torch.manual_seed(2)
        loss = method.loss(network, None, batch)
        loss.backward()
        losses[power], gradients[power] = float(loss.detach()), float(network.scale.grad or 0.0)
    assert losses[1.0] == pytest.approx(losses[0.0] / 1e6, rel=1e-3)
    assert gradients[1.0] == pytest.approx(gradients[0.0] / 1e6, rel=1e-3)
    method, network = bench.method(MeanFlow, MeanFlowParams(c=1e-9)), Curved()
    loss = method.loss(network, None, batch)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(1.0, abs=1e-3)
    assert abs(float(network.scale.grad or 0.0)) > 0.01  # of E/E it would be zero


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_steps_of_exact_mean_velocities_arrive(steps: int) -> None:
    latents = torch.randn((64, 1, 2, 2)).double()
    images = MeanFlowSteps(steps=steps, sigma_max=20.0)(ExactMean(), latents, LABELS)
    torch.testing.assert_close(images, exact_map(20.0 * latents, 20.0, 0.0), rtol=0, atol=1e-4)
