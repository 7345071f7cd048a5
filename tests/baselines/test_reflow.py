"""Reflow and its distillation: straight flows in closed form, and steps where the sampler asks."""

from __future__ import annotations

import pytest
import torch
from kdbench_baselines.diffusion.flow import path
from kdbench_baselines.diffusion.flow_distillation import FlowDistillation, FlowDistillationParams
from kdbench_baselines.diffusion.flow_samplers import FlowEuler
from kdbench_baselines.diffusion.luhman import Luhman, LuhmanParams
from kdbench_baselines.diffusion.reflow import Reflow, ReflowParams
from torch import Tensor, nn

from kdbench.training.method import Batch

from .conftest import Bench, Oracle, exact_map
from .exact_flows import SIGMA_MAX, T_MAX, Straight

LABELS = torch.zeros(8, dtype=torch.int64)
NO_BATCH = Batch(torch.zeros(1), torch.zeros(1, dtype=torch.int64), 0)


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((), 0.01))

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        return self.scale * x


def exact_pairs(method: Reflow | Luhman, n: int = 4000) -> None:
    """Give the method pairs of the exact trajectories of the Gaussian."""
    method.latents = torch.randn((n, 1, 2, 2))
    method.labels = torch.zeros(n, dtype=torch.int64)
    method.images = exact_map(SIGMA_MAX * method.latents, SIGMA_MAX, 0.0)


def test_straightness_falls_from_the_first_to_the_second_flow(bench: Bench) -> None:
    """E‖(e − x) − v‖² on the first flow's own pairs: curved before, straight after reflow."""
    method = bench.method(Reflow, ReflowParams(), batch=4000)
    exact_pairs(method)
    first = float(method.loss(Oracle(), None, NO_BATCH))
    second = float(method.loss(Straight(), None, NO_BATCH))
    assert first > 0.05
    assert second < 1e-6


def test_times_cover_the_whole_line_and_stay_where_a_denoiser_can_be_asked(bench: Bench) -> None:
    t = bench.method(Reflow, ReflowParams()).times(20_000)
    assert float(t.mean()) == pytest.approx(0.5, abs=0.01)
    assert 0 < float(t.min()) < 0.003
    assert float(t.max()) == pytest.approx(T_MAX)


def test_pairs_of_a_denoiser_come_from_its_sampler(bench: Bench) -> None:
    params = ReflowParams(pairs=500, sampler="flow-euler@1", sampler_args={"steps": 512})
    method = bench.method(Reflow, params)
    method.prepare(Oracle(), Oracle())
    exact = exact_map(SIGMA_MAX * method.latents, SIGMA_MAX, 0.0)
    torch.testing.assert_close(method.images, exact, rtol=0, atol=0.01)
    assert method.uses == ("teacher samples",)


# ---------------------------------------------------------------- distillation of a flow


def test_one_step_distillation_is_output_distillation_over_the_squared_time(bench: Bench) -> None:
    flow = bench.method(FlowDistillation, FlowDistillationParams(calls=1), batch=64)
    direct = bench.method(Luhman, LuhmanParams(sigma_max=SIGMA_MAX), batch=64)
    exact_pairs(flow)
    direct.latents, direct.labels, direct.images = flow.latents, flow.labels, flow.images
    losses, gradients = [], []
    for method in (flow, direct):
        student = Scaled()
        torch.manual_seed(5)
        loss = method.loss(student, None, NO_BATCH)
        loss.backward()
        losses.append(float(loss.detach()))
        gradients.append(float(student.scale.grad or 0.0))
    assert losses[0] * T_MAX**2 == pytest.approx(losses[1], rel=1e-4)
    assert gradients[0] * T_MAX**2 == pytest.approx(gradients[1], rel=1e-4)


@pytest.mark.parametrize("calls", [1, 2, 3, 4])
def test_distillation_asks_where_the_sampler_asks(bench: Bench, calls: int) -> None:
    asked: list[Tensor] = []

    class Listening(nn.Module):
        def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
            asked.append(sigma[0])
            return x

    FlowEuler(steps=calls)(Listening(), torch.randn((8, 1, 2, 2)), LABELS)
    t = bench.method(FlowDistillation, FlowDistillationParams(calls=calls)).times(2000)
    torch.testing.assert_close((t / (1 - t)).unique(), torch.stack(asked).flip(0))
    z, _ = path(torch.ones((2000, 1, 1, 1)), torch.zeros((2000, 1, 1, 1)), t, sigma_max=SIGMA_MAX)
    assert bool((z[t == t.max()] == 0).all())  # the image's share is left out at the noise end
