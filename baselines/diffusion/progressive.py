"""Progressive distillation: one step of the student learns two of the teacher.

Salimans and Ho 2022, arXiv:2202.00512, algorithm 2, in EDM's time (Euler steps on a nested grid):
x̃ = x − a (x″ − x) / (b − a) is the denoised image with which one step from a to b lands where two
teacher steps a → m → b land. One halving is one pair; the next takes its result as teacher.
"""

from __future__ import annotations

from functools import partial

import torch
from kdbench_baselines.diffusion.samplers import nested_grid
from kdbench_baselines.diffusion.teacher_bank import draw, teacher_bank
from torch import Tensor, nn

from kdbench.spec import Spec
from kdbench.training.method import Batch, Method


class ProgressiveParams(Spec):
    """The student's grid; the teacher's has twice the steps and nests."""

    calls: int
    """Steps of the student after this halving."""
    finest: int = 16
    """Steps of the grid that all halvings share."""
    sigma_min: float = 0.02
    sigma_max: float = 20.0
    rho: float = 7.0
    bank: int = 0
    """Targets that are made in advance and drawn from; 0 asks the teacher at every update."""


class Progressive(Method):
    """Halve the number of steps."""

    Params = ProgressiveParams
    uses = ("real images", "teacher outputs")
    params: ProgressiveParams

    def prepare(self, student: nn.Module, teacher: nn.Module | None) -> None:
        """Lay out the teacher's grid."""
        p = self.params
        self.grid = nested_grid(
            2 * p.calls,
            finest=p.finest,
            sigma_min=p.sigma_min,
            sigma_max=p.sigma_max,
            rho=p.rho,
        ).to(self.setting.device)
        self.bank: dict[str, Tensor] = {}
        if p.bank:
            assert teacher is not None
            targets = partial(self._targets, teacher)
            self.bank = teacher_bank(self.setting, p.bank, p.model_dump(), targets)

    def _targets(self, teacher: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Noisy images x at random steps of the student's grid, and what it should make of them."""
        j = torch.randint(self.params.calls, (len(images),), device=images.device)
        a, m, b = (self.grid[2 * j + k].view(-1, 1, 1, 1) for k in range(3))
        x = images + a * torch.randn_like(images)
        target = two_step_target(teacher, x, a, m, b, labels)
        return {"x": x, "sigma": a.flatten(), "labels": labels, "target": target}

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        """Truncated-SNR weighted squared error to x̃: max(1, σ_data²/σ²)·‖S(x, a) − x̃‖²."""
        assert teacher is not None
        if self.bank:
            drawn = draw(self.bank, self.setting.batch)
        else:
            drawn = self._targets(teacher, batch.images, batch.labels)
        sigma = drawn["sigma"]
        weight = (self.setting.task.sigma_data / sigma).square().clamp(min=1)
        denoised = student(drawn["x"], sigma, drawn["labels"])
        error = (denoised - drawn["target"]).square().mean(dim=(1, 2, 3))
        loss: Tensor = (weight * error).mean()
        return loss


@torch.no_grad()
def two_step_target(
    teacher: nn.Module, x: Tensor, a: Tensor, m: Tensor, b: Tensor, labels: Tensor
) -> Tensor:
    """x̃ for a batch in which every image has its own a > m > b, each (B, 1, 1, 1)."""
    middle = x + (m - a) * (x - teacher(x, a.flatten(), labels)) / a
    end = middle + (b - m) * (middle - teacher(middle, m.flatten(), labels)) / m
    target: Tensor = x - a * (end - x) / (b - a)
    return target
