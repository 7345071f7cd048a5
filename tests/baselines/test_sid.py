"""SiD: the loss of given scores, zero where they agree, and gradients through both of them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from kdbench_baselines.diffusion.sid import Sid, SidParams, identity_loss
from torch import nn

from kdbench.training.method import Batch

from .conftest import Bench
from .scores import (
    NONE,
    Affine,
    ExactScore,
    Scaled,
    assert_descent_finds_the_gaussian,
    prepared,
)


def test_loss_is_zero_where_the_scores_agree(bench: Bench) -> None:
    method, teacher = prepared(bench, Sid, SidParams(), Scaled())
    assert float(method.loss(Affine(), teacher, NONE).detach()) == 0
    with torch.no_grad():
        method.fake.weight.mul_(1.01)
    assert float(method.loss(Affine(), teacher, NONE).detach()) != 0


def test_loss_of_given_scores() -> None:
    """T − F = 1, T − x = 3, mean|x − T| = 3: (3 − α) / 3; the gradient misses the denominator."""
    x = torch.zeros(2, 1, 2, 2, requires_grad=True)
    real, fake = torch.full((2, 1, 2, 2), 3.0), torch.full((2, 1, 2, 2), 2.0)
    loss = identity_loss(x, real, fake, alpha=1.2)
    assert float(loss.detach()) == pytest.approx(0.6)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(x.grad, torch.full_like(x, -1 / 3 / x.numel()))


def test_gradient_through_the_scores_has_its_closed_form() -> None:
    """With T = cx and F = dx: the derivative of (c − d)x·[(c − 1)x − α(c − d)x]."""
    c, d, alpha = 0.8, 0.5, 1.2
    x = torch.full((1, 1, 1, 1), 2.0, requires_grad=True)
    identity_loss(x, c * x, d * x, alpha=alpha).backward()  # type: ignore[no-untyped-call]
    expected = 2 * (c - d) * ((c - 1) - alpha * (c - d)) * 2.0 / abs(2.0 - c * 2.0)
    torch.testing.assert_close(x.grad, torch.full_like(x, expected))


def test_gradient_of_a_training_loss_flows_through_both_scores(bench: Bench) -> None:
    method, teacher = prepared(bench, Sid, SidParams(), Scaled())
    method.fake, reached = ExactScore(Affine(0.3), 2.0), []

    def watch(module: nn.Module, inputs: Any, output: Any) -> None:
        inputs[0].register_hook(lambda gradient: reached.append(module))

    for network in (teacher, method.fake):
        network.register_forward_hook(watch)
    method.loss(Affine(), teacher, NONE).backward()
    assert set(reached) == {teacher, method.fake}


def test_no_image_of_the_task_is_seen(bench: Bench) -> None:
    method, teacher = prepared(bench, Sid, SidParams(), Scaled())
    batch = Batch(torch.full((64, 1, 2, 2), math.nan), torch.full((64,), -1), 0)
    assert torch.isfinite(method.loss(Affine(), teacher, batch))
    assert torch.isfinite(method.extra_loss("fake", Affine(), teacher, batch))
    assert not {"real images", "teacher samples"} & set(Sid.uses)


def test_student_is_compared_below_t_max_of_the_warp(bench: Bench) -> None:
    method, teacher = prepared(bench, Sid, SidParams(t_max=0.5), Scaled(), batch=2000)
    seen: list[float] = []
    teacher.register_forward_hook(lambda module, inputs, output: seen.extend(inputs[1].tolist()))
    method.loss(Affine(), teacher, NONE)
    middle = ((0.02 ** (1 / 7) + 20 ** (1 / 7)) / 2) ** 7
    assert 0.9 * middle < max(seen) <= middle


@pytest.mark.parametrize("alpha", [1.0, 1.2])
def test_descent_ends_at_the_teachers_gaussian(bench: Bench, alpha: float) -> None:
    assert_descent_finds_the_gaussian(bench, Sid, SidParams(alpha=alpha))
