"""Progressive distillation: one student step lands where two teacher steps land."""

from __future__ import annotations

import torch
from kdbench_baselines.diffusion.progressive import (
    Progressive,
    ProgressiveParams,
    two_step_target,
)
from kdbench_baselines.diffusion.samplers import euler_step, nested_grid
from torch import Tensor, nn

from kdbench.training.method import Batch

from .conftest import Bench, Oracle


class Odd(nn.Module):
    """Some smooth function: the identity must hold for any teacher."""

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        return torch.sin(x) + sigma.view(-1, 1, 1, 1) * x.cos()


class Constant(nn.Module):
    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        return self.value


def test_one_step_with_the_target_lands_where_two_teacher_steps_land() -> None:
    grid = nested_grid(8, finest=16, sigma_min=0.02, sigma_max=20.0, rho=7.0).double()
    labels = torch.zeros(16, dtype=torch.int64)
    for teacher in (Odd(), Oracle()):
        for j in range(4):
            a, m, b = grid[2 * j], grid[2 * j + 1], grid[2 * j + 2]
            x = a * torch.randn((16, 1, 2, 2)).double()
            levels = [level.expand(16).view(-1, 1, 1, 1) for level in (a, m, b)]
            target = two_step_target(teacher, x, *levels, labels)
            two = euler_step(teacher, euler_step(teacher, x, a, m, labels), m, b, labels)
            one = euler_step(Constant(target), x, a, b, labels)
            torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9)


def test_the_last_step_asks_for_the_image_that_the_teacher_ends_with() -> None:
    grid = nested_grid(4, finest=4, sigma_min=0.02, sigma_max=20.0, rho=7.0).double()
    a, m, b = (grid[k].view(1, 1, 1, 1) for k in (2, 3, 4))
    x, labels = torch.randn((1, 1, 2, 2)).double(), torch.zeros(1, dtype=torch.int64)
    middle = euler_step(Odd(), x, grid[2], grid[3], labels)
    end = Odd()(middle, grid[3:4], labels)
    torch.testing.assert_close(two_step_target(Odd(), x, a, m, b, labels), end)


def test_loss_is_zero_for_a_student_that_knows_the_target_and_no_gradient_reaches_the_teacher(
    bench: Bench,
) -> None:
    method = bench.method(Progressive, ProgressiveParams(calls=1, finest=2))
    method.prepare(Odd(), Odd())
    images = torch.randn((64, 1, 2, 2))
    batch = Batch(images, torch.zeros(64, dtype=torch.int64), 0)
    a, m, b = (method.grid[k].view(1, 1, 1, 1).expand(64, 1, 1, 1) for k in range(3))

    class Knows(nn.Module):
        def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
            return two_step_target(Odd(), x, a, m, b, labels)

    assert float(method.loss(Knows(), Odd(), batch)) < 1e-10
    weight = nn.Parameter(torch.ones(()))

    class Heavy(nn.Module):
        def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
            return weight * Odd()(x, sigma, labels)

    loss = method.loss(Scaled(), Heavy(), batch)
    loss.backward()
    assert weight.grad is None


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        return self.scale * x
