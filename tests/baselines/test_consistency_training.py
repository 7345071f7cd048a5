"""Consistency training: its first stage is denoising, and its stages are by images seen."""

from __future__ import annotations

import copy

import pytest
import torch
from kdbench_baselines.diffusion.consistency_training import (
    ConsistencyTraining,
    ConsistencyTrainingParams,
    less_noise,
)
from torch import Tensor, nn

from kdbench.training.method import Batch

from .conftest import MEAN, STD, Bench, Oracle


def batch(n: int, step: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(4)
    images = MEAN + STD * torch.randn((n, 1, 2, 2), generator=generator)
    return Batch(images.double(), torch.zeros(n, dtype=torch.int64), step)


class Spy(nn.Module):
    """Scales the exact denoiser's image, and remembers what it was asked and whether it learns."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.7).double())
        self.dropout = nn.Dropout(0.5)
        self.seen: list[tuple[Tensor, Tensor]] = []
        self.masks: list[Tensor] = []
        self.learns: list[bool] = []

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        self.seen.append((x.detach(), sigma))
        self.learns.append(torch.is_grad_enabled())
        self.masks.append(self.dropout(torch.ones_like(x)))
        return self.scale * Oracle()(x, sigma, labels)


def test_where_r_is_zero_the_loss_is_weighted_denoising(bench: Bench) -> None:
    """With a large c it is ‖D(x + tε, t) − x‖² / (2c·t)."""
    params = ConsistencyTrainingParams(p_mean=-2.0, p_std=0.3, huber=1e3)
    method, given, student = bench.method(ConsistencyTraining, params), batch(500), Spy()
    loss = float(method.loss(student, None, given).detach())
    (_, _), (x, t) = student.seen
    squares = (student(x, t, given.labels) - given.images).square().sum(dim=(1, 2, 3))
    assert float(t.max()) < 1.9  # below ln 7, where r(t) leaves 0 in the first stage
    assert loss == pytest.approx(float((squares / (2 * 1e3 * 2 * t)).mean().detach()), rel=1e-4)


@pytest.mark.parametrize(("step", "stage"), [(0, 0), (9, 0), (10, 1), (39, 3), (40, 4)])
def test_stages_are_by_images_seen(step: int, stage: int, bench: Bench) -> None:
    params = ConsistencyTrainingParams(p_mean=3.0, p_std=0.3, stage_images=640)
    method, student = bench.method(ConsistencyTraining, params, batch=64), Spy()
    method.loss(student, None, batch(64, step))
    (_, r), (_, t) = student.seen
    torch.testing.assert_close(
        r / t, torch.full_like(t, 1 - 2.0 ** -(stage + 1)), atol=5e-3, rtol=0
    )


@pytest.mark.parametrize("stage", [0, 3, 7])
def test_less_noise_is_less_and_comes_closer(stage: int) -> None:
    t = torch.logspace(-3, 2, 200).double()
    r, next_r = (less_noise(t, stage=s, q=2.0, k=8.0, b=1.0) for s in (stage, stage + 1))
    assert bool((r >= 0).all())
    assert bool((r < t).all())
    assert bool((next_r >= r).all())
    assert bool((next_r > r)[r > 0].all())


def test_both_calls_share_noise_and_mask_and_the_second_alone_learns(bench: Bench) -> None:
    params = ConsistencyTrainingParams(p_mean=2.0, p_std=0.5)
    method, given, student = bench.method(ConsistencyTraining, params), batch(64, 0), Spy()
    method.loss(student, None, given).backward()
    below, _ = student.seen[0]
    has_noise = below != given.images  # elsewhere r is 0
    assert bool(has_noise.any())
    noise = [(x - given.images) / s.view(-1, 1, 1, 1) for x, s in student.seen]
    torch.testing.assert_close(noise[0][has_noise], noise[1][has_noise])
    assert torch.equal(*student.masks)
    assert student.learns == [False, True]


def test_the_gradient_is_that_of_a_fixed_target(bench: Bench) -> None:
    params = ConsistencyTrainingParams(p_mean=2.0, p_std=0.5)
    method, given, student = bench.method(ConsistencyTraining, params), batch(256), Spy().eval()
    torch.manual_seed(3)
    method.loss(student, None, given).backward()

    class Parted(nn.Module):
        """The first call by a copy that stands still, the second by the student."""

        def __init__(self) -> None:
            super().__init__()
            self.parts = [copy.deepcopy(student), student]

        def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
            return self.parts.pop(0)(x, sigma, labels)

    found, step = student.scale.grad, 1e-6
    assert found is not None
    losses = []
    for shift in (-step, step):
        parted = Parted()
        with torch.no_grad():
            student.scale += shift
            torch.manual_seed(3)
            losses.append(float(method.loss(parted, None, given)))
            student.scale -= shift
    assert float(found) == pytest.approx((losses[1] - losses[0]) / (2 * step), rel=1e-3)


def test_no_network_is_asked_at_a_level_without_a_logarithm(bench: Bench) -> None:
    """One that sees its whole batch (batch norm) would spread what it makes of it."""
    student = Spy()
    method = bench.method(ConsistencyTraining, ConsistencyTrainingParams())
    method.loss(student, None, batch(256)).backward()
    assert all(bool((sigma > 0).all()) for _, sigma in student.seen)
