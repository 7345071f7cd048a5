"""What DMD and SiD share: the fake score, who is trained when, and the noise levels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from kdbench_baselines.diffusion.distribution_matching import normaliser
from kdbench_baselines.diffusion.dmd import HIGH, LOW
from kdbench_baselines.diffusion.sid import Sid, SidParams
from torch import Tensor, nn

from kdbench.errors import Diverged
from kdbench.spec import Budget
from kdbench.training.trainer import Trainer

from .conftest import STD, Bench, Oracle
from .scores import KINDS, NONE, Affine, ExactScore, Scaled, prepared

both = pytest.mark.parametrize(("kind", "params"), KINDS)


def one_step(
    bench: Bench, kind: Any, params: Any, student: nn.Module, at: Path, phases: tuple[str, ...]
) -> Any:
    """A method and its teacher after one step of some phases; F starts away from T."""
    method, teacher = prepared(bench, kind, params, Scaled())
    with torch.no_grad():
        method.fake.weight.fill_(0.5)
    method.phases = phases
    budget = Budget(steps=1, batch=64, lr=0.1, warmup=0)
    Trainer(student, teacher, budget, method.setting, at).run(method)
    return method, teacher.network


@both
def test_fake_score_starts_as_the_teacher_without_its_dropout(
    bench: Bench, kind: Any, params: Any
) -> None:
    method, teacher = prepared(bench, kind, params, Scaled())
    x, sigma, labels = torch.randn(8, 1, 2, 2), torch.rand(8) + 0.1, torch.zeros(8).long()
    assert torch.equal(method.fake.train()(x, sigma, labels), teacher(x, sigma, labels))
    assert method.fake.weight.requires_grad
    with torch.no_grad():
        method.fake.weight.add_(1)
    assert float(teacher.network.weight) == pytest.approx(0.8)
    assert not teacher.network.weight.requires_grad
    assert teacher.network.dropout.p == 0.5


@both
def test_each_phase_moves_its_own_network_alone(
    bench: Bench, tmp_path: Path, kind: Any, params: Any
) -> None:
    student = Affine()
    method, teacher = one_step(bench, kind, params, student, tmp_path / "s", ("student",))
    assert abs(float(student.slope.detach()) - 0.1) > 1e-3
    assert float(method.fake.weight) == pytest.approx(0.5)
    assert float(teacher.weight) == pytest.approx(0.8)
    assert method.fake.weight.grad is None
    assert teacher.weight.grad is None
    student = Affine()
    method, teacher = one_step(bench, kind, params, student, tmp_path / "f", ("fake",))
    assert abs(float(method.fake.weight.detach()) - 0.5) > 1e-3
    assert float(student.slope.detach()) == pytest.approx(0.1)
    assert float(teacher.weight) == pytest.approx(0.8)
    assert student.slope.grad is None


@both
def test_fake_score_learns_the_students_images(bench: Bench, kind: Any, params: Any) -> None:
    """λ(σ)·E(F* − x)² = s²(σ² + σ_d²) / (σ_d²(s² + σ²)): 1 for a student with std σ_d."""
    method, _ = prepared(bench, kind, params, Scaled(), batch=20_000)
    student = Affine(STD / params.sigma_init, 0.1)
    method.extra_loss("fake", student, None, NONE).backward()
    assert method.fake.weight.grad is not None
    assert student.slope.grad is None
    losses = []
    for fake in (ExactScore(student, params.sigma_init), Oracle()):
        method.fake = fake
        torch.manual_seed(3)
        losses.append(float(method.extra_loss("fake", student, None, NONE)))
    assert losses[0] == pytest.approx(1.0, abs=0.02)
    assert losses[1] > losses[0]


@both
def test_teacher_is_asked_once_an_image_of_the_students_phase(
    bench: Bench, kind: Any, params: Any
) -> None:
    method, teacher = prepared(bench, kind, params, Scaled())
    before = method.setting.ledger.teacher_nfe
    method.extra_loss("fake", Affine(), teacher, NONE)
    assert method.setting.ledger.teacher_nfe == before
    method.loss(Affine(), teacher, NONE)
    assert method.setting.ledger.teacher_nfe - before == 64


@both
def test_an_image_that_is_not_finite_ends_the_training(
    bench: Bench, tmp_path: Path, kind: Any, params: Any
) -> None:
    class OneNan(Affine):
        def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
            images = super().forward(x, sigma, labels)
            return torch.where(torch.arange(len(x)).view(-1, 1, 1, 1) == 3, torch.nan, images)

    for phase in ("student", "fake"):
        with pytest.raises(Diverged, match=phase):
            one_step(bench, kind, params, OneNan(), tmp_path / phase, (phase,))


def test_normaliser_is_a_constant_a_mean_of_each_image_and_not_zero() -> None:
    x = torch.tensor([[1.0, 3.0], [0.0, 0.0]]).view(2, 1, 1, 2).requires_grad_()
    scale = normaliser(x, torch.zeros_like(x))
    assert not scale.requires_grad
    assert scale.flatten().tolist() == pytest.approx([2.0, 1e-5], rel=1e-3, abs=0)


def test_noise_levels_are_even_in_the_warp_or_normal_in_their_logarithm(bench: Bench) -> None:
    method, _ = prepared(bench, Sid, SidParams(), Scaled())
    root = method.warped_levels(10_000, low=LOW, high=HIGH) ** (1 / 7)
    low, high = 0.02 ** (1 / 7), 20 ** (1 / 7)
    u = (root - low) / (high - low)
    assert (float(u.min()), float(u.max())) == pytest.approx((LOW, HIGH), abs=2e-3)
    assert float(u.mean()) == pytest.approx(0.5, abs=0.01)
    logs = method.fake_levels(10_000).log()
    assert (float(logs.mean()), float(logs.std())) == pytest.approx((-1.2, 1.2), abs=0.05)
