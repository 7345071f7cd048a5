"""DMD: the gradient in an image is (F − T) / mean|x − T| over the number of values."""

from __future__ import annotations

import pytest
import torch
from kdbench_baselines.diffusion.distribution_matching import DistributionMatching, add_noise
from kdbench_baselines.diffusion.dmd import HIGH, LOW, Dmd, DmdParams, matching_loss
from torch import Tensor, nn

from kdbench.training.ledger import CountedTeacher
from kdbench.training.method import Batch

from .conftest import Bench, Oracle
from .scores import (
    NONE,
    SMALL,
    Affine,
    ExactScore,
    Scaled,
    assert_descent_finds_the_gaussian,
    prepared,
)

SIGMA, LABELS = torch.linspace(0.1, 3.0, 8), torch.zeros(8, dtype=torch.int64)


class Matching(DistributionMatching):
    """DMD without its regression, whose pairs alone would give the answer away."""

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        assert teacher is not None
        x, labels = self.make_images(student)
        sigma = self.warped_levels(len(x), low=LOW, high=HIGH)
        return matching_loss(x, sigma, labels, teacher=teacher, fake=self.fake)


def test_gradient_is_zero_where_the_scores_agree() -> None:
    x = torch.randn(8, 1, 2, 2, requires_grad=True)
    matching_loss(x, SIGMA, LABELS, teacher=Oracle(), fake=Oracle()).backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert not x.grad.any()


def test_gradient_in_the_image_is_g_over_the_number_of_values() -> None:
    x, fake = torch.randn(8, 1, 2, 2, requires_grad=True), ExactScore(Affine(0.3), 2.0)
    torch.manual_seed(1)
    matching_loss(x, SIGMA, LABELS, teacher=Oracle(), fake=fake).backward()  # type: ignore[no-untyped-call]
    torch.manual_seed(1)
    noisy = add_noise(x.detach(), SIGMA)
    real = Oracle()(noisy, SIGMA, LABELS)
    scale = (x.detach() - real).abs().flatten(1).mean(1).view(-1, 1, 1, 1)
    g = (fake(noisy, SIGMA, LABELS) - real) / scale
    torch.testing.assert_close(x.grad, g / x.numel())


def test_gradient_leads_from_the_fake_to_the_real() -> None:
    """A student that lies too low is moved up: x falls against its gradient."""
    x = torch.full((8, 1, 2, 2), -0.5, requires_grad=True)
    fake = ExactScore(Affine(0.3, offset=-0.5), 2.0)
    matching_loss(x, SIGMA, LABELS, teacher=Oracle(), fake=fake).backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert float(x.grad.mean()) < 0


def test_nothing_reaches_the_scores_weights() -> None:
    teacher, fake = Scaled(), Scaled()
    x = torch.randn(8, 1, 2, 2, requires_grad=True)
    matching_loss(x, SIGMA, LABELS, teacher=teacher, fake=fake).backward()  # type: ignore[no-untyped-call]
    assert teacher.weight.grad is None
    assert fake.weight.grad is None


def test_regression_is_output_distillation_on_the_same_pairs(bench: Bench) -> None:
    """With F = T the rest of the loss is 0, so the loss is λ_reg times the regression."""
    method, teacher = prepared(bench, Dmd, SMALL.model_copy(update={"regression": 0.5}), Oracle())
    student = Affine()
    torch.manual_seed(2)
    loss = method.loss(student, teacher, NONE).detach()
    torch.manual_seed(2)
    x, labels = method.make_images(student)
    matching_loss(
        x, method.warped_levels(len(x), low=LOW, high=HIGH), labels, teacher=teacher, fake=teacher
    )
    chosen = torch.randint(250, (64,))
    regression = method.regression
    error = student(2.0 * regression.latents[chosen], x, labels) - regression.images[chosen]
    torch.testing.assert_close(loss, 0.5 * error.square().mean().detach())
    assert bench.made == 1


def test_pairs_are_drawn_where_the_student_is_called(bench: Bench) -> None:
    calls: list[float] = []

    class Notes(Affine):
        def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
            calls.extend(sigma.tolist())
            return super().forward(x, sigma, labels)

    method, teacher = prepared(bench, Dmd, SMALL, Oracle())
    method.loss(Notes(), teacher, NONE)
    assert calls == [2.0] * 128


def test_descent_ends_at_the_teachers_gaussian(bench: Bench) -> None:
    assert_descent_finds_the_gaussian(bench, Matching, SMALL)


def test_weight_of_the_regression_is_positive() -> None:
    with pytest.raises(ValueError, match="regression"):
        DmdParams(regression=0)


def test_teacher_must_be_counted(bench: Bench) -> None:
    method = bench.method(Dmd, SMALL)
    with pytest.raises(AssertionError):
        method.prepare(Affine(), Oracle())
    method.prepare(Affine(), CountedTeacher(Oracle(), method.setting.ledger))
