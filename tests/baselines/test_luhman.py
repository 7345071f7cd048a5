"""Output distillation: the least-squares student of a Gaussian teacher has a known slope."""

from __future__ import annotations

import pytest
import torch
from kdbench_baselines.diffusion.luhman import Luhman, LuhmanParams
from torch import Tensor, nn

from kdbench.training.method import Batch

from .conftest import MEAN, STD, Bench, Oracle

SIGMA_MAX = 20.0


class Affine(nn.Module):
    """S(x) = slope·x + offset."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(()))
        self.offset = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        return self.slope * x + self.offset


def test_affine_student_learns_the_slope_of_the_exact_map(bench: Bench) -> None:
    """The map is x ↦ μ + s / √(s² + σ²)·(x − μ), up to the error of Heun with 64 steps."""
    method = bench.method(Luhman, LuhmanParams(pairs=2000, sampler_args={"steps": 64}), batch=2000)
    method.prepare(Affine(), Oracle())
    x, y = (SIGMA_MAX * method.latents).flatten().double(), method.images.flatten().double()
    slope = float(torch.cov(torch.stack([x, y]))[0, 1] / x.var())
    assert slope == pytest.approx(STD / (STD**2 + SIGMA_MAX**2) ** 0.5, rel=2e-3)
    student = Affine()
    with torch.no_grad():
        student.slope.copy_(torch.tensor(slope))
        student.offset.copy_(torch.tensor(MEAN * (1 - slope)))
    batch = Batch(torch.zeros(1), torch.zeros(1, dtype=torch.int64), 0)
    assert float(method.loss(student, None, batch).detach()) < 1e-5
    assert float(method.loss(Affine(), None, batch).detach()) > 0.1


def test_pairs_are_made_once_for_all_students(bench: Bench) -> None:
    method = bench.method(Luhman, LuhmanParams(pairs=500, sampler_args={"steps": 2}))
    method.prepare(Affine(), Oracle())
    first = method.images.clone()
    method.prepare(Affine(), Oracle())
    assert bench.made == 1
    assert torch.equal(first, method.images)
    assert first.shape == (500, 1, 2, 2)
