"""Students, teachers and fake scores with known weights, for the tests of distribution matching."""

from __future__ import annotations

from typing import Any

import torch
from kdbench_baselines.diffusion.dmd import Dmd, DmdParams
from kdbench_baselines.diffusion.sid import Sid, SidParams
from torch import Tensor, nn

from kdbench.training.ledger import CountedTeacher
from kdbench.training.method import Batch

from .conftest import MEAN, STD, Bench, Oracle

NONE = Batch(torch.zeros(1), torch.zeros(1, dtype=torch.int64), 0)
SMALL = DmdParams(sampler_args={"steps": 2}, pairs=250, sigma_init=2.0)
KINDS: list[tuple[Any, Any]] = [(Dmd, SMALL), (Sid, SidParams())]


class Affine(nn.Module):
    """S(x) = slope·x + offset; with σ_init·z as input its images are N(offset, (slope·σ_init)²)."""

    def __init__(self, slope: float = 0.1, offset: float = -0.5) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))
        self.offset = nn.Parameter(torch.tensor(offset))

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        return self.slope * x + self.offset


class ExactScore(nn.Module):
    """The optimal denoiser of an affine student's own Gaussian, as it is now."""

    def __init__(self, student: Affine, sigma_init: float) -> None:
        super().__init__()
        self.student, self.sigma_init = [student], sigma_init

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        variance = (self.student[0].slope * self.sigma_init).detach().square()
        s = sigma.view(-1, 1, 1, 1).square()
        return (variance * x + s * self.student[0].offset.detach()) / (variance + s)


class Scaled(nn.Module):
    """A teacher with a weight and with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.weight = nn.Parameter(torch.tensor(0.8))

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        denoised: Tensor = self.dropout(self.weight * Oracle()(x, sigma, labels))
        return denoised


def prepared(bench: Bench, kind: Any, params: Any, teacher: nn.Module, batch: int = 64) -> Any:
    """A method after `prepare`, and its counted teacher."""
    method = bench.method(kind, params, batch=batch)
    counted = CountedTeacher(teacher, method.setting.ledger)
    method.prepare(Affine(), counted)
    return method, counted


def assert_descent_finds_the_gaussian(bench: Bench, kind: Any, params: Any) -> None:
    """An affine student, beside its exact score, ends at the teacher's mean and deviation."""
    method, teacher = prepared(bench, kind, params, Oracle(), batch=512)
    student = Affine()
    method.fake = ExactScore(student, params.sigma_init)
    optimiser = torch.optim.Adam(student.parameters(), lr=0.02)
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, total_iters=600)
    for _ in range(600):
        optimiser.zero_grad()
        method.loss(student, teacher, NONE).backward()
        optimiser.step()
        falling.step()
    assert abs(float(student.offset.detach()) - MEAN) < 0.01 * MEAN
    assert abs(float(student.slope.detach()) * params.sigma_init - STD) < 0.01 * STD
