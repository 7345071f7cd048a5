"""Consistency distillation: all points of one of the teacher's trajectories have one image.

Song et al. 2023, arXiv:2303.01469, algorithm 2 with λ = 1 and the Heun step of its experiments:
d(f(x, a), sg f⁻(x̂, b)), where x̂ is one Heun step of the teacher from a to the next lower level b
and f⁻ has the moving average of the student's weights (μ).

Differs from the paper: d is the pseudo-Huber distance of arXiv:2310.14189 and not LPIPS, whose
network was trained on photographs.
"""

from __future__ import annotations

import copy
from functools import partial

import torch
from kdbench_baselines.diffusion.consistency import consistency, pseudo_huber, same_dropout
from kdbench_baselines.diffusion.samplers import sigma_grid
from kdbench_baselines.diffusion.teacher_bank import draw, teacher_bank
from torch import Tensor, nn

from kdbench.spec import Spec
from kdbench.training.method import Batch, Method


class ConsistencyDistillationParams(Spec):
    """The grid of noise levels, the target and the distance."""

    levels: int = 18
    """N, noise levels from σ_max to σ_min: 18 for CIFAR-10, 40 for ImageNet-64 in the paper."""
    sigma_min: float = 0.02
    sigma_max: float = 20.0
    rho: float = 7.0
    mu: float = 0.95
    """Decay per update of the target's weights: 0.95 for ImageNet-64 in the paper."""
    huber: float = 0.03
    """c / √d of the pseudo-Huber distance; arXiv:2310.14189 has 0.00054 for consistency training
    of CIFAR-10."""
    bank: int = 0
    """Steps of the teacher that are made in advance and drawn from; 0 asks it at every update."""


class ConsistencyDistillation(Method):
    """Map every point of a teacher's trajectory where the point below it is mapped."""

    Params = ConsistencyDistillationParams
    uses = ("real images", "teacher outputs")
    params: ConsistencyDistillationParams

    def prepare(self, student: nn.Module, teacher: nn.Module | None) -> None:
        """Lay out the grid; the target starts as a copy of the student."""
        p = self.params
        grid = sigma_grid(p.levels, sigma_min=p.sigma_min, sigma_max=p.sigma_max, rho=p.rho)[:-1]
        grid[-1] = p.sigma_min  # to the bit: there f is the identity
        self.grid = grid.to(self.setting.device)
        self.target = copy.deepcopy(student)
        self.bank: dict[str, Tensor] = {}
        if p.bank:
            assert teacher is not None
            identity = p.model_dump(include={"levels", "sigma_min", "sigma_max", "rho"})
            self.bank = teacher_bank(self.setting, p.bank, identity, partial(self._step, teacher))

    def frozen_networks(self) -> dict[str, nn.Module]:
        """The moving average that targets come from."""
        return {"target": self.target}

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        """Mean distance of f at a random level from the target's f one level below."""
        assert teacher is not None
        if self.bank:
            drawn = draw(self.bank, self.setting.batch)
        else:
            drawn = self._step(teacher, batch.images, batch.labels)
        x, n, labels = drawn["x"], drawn["n"], drawn["labels"]
        with torch.no_grad(), same_dropout(x):
            target = self._f(self.target, drawn["below"], self.grid[n + 1], labels)
        error = self._f(student, x, self.grid[n], labels) - target
        return pseudo_huber(error, self.params.huber).mean()

    @torch.no_grad()
    def _step(self, teacher: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Noisy images x at random levels n of the grid, and where the teacher takes them."""
        n = torch.randint(self.params.levels - 1, (len(images),)).to(images.device)
        x = images + self.grid[n].view(-1, 1, 1, 1) * torch.randn_like(images)
        below = heun_between(teacher, x, self.grid[n], self.grid[n + 1], labels)
        return {"x": x, "n": n, "below": below, "labels": labels}

    def after_step(self, student: nn.Module, step: int) -> None:
        """θ⁻ ← μ·θ⁻ + (1 − μ)·θ."""
        averages, weights = tuple(self.target.parameters()), tuple(student.parameters())
        torch._foreach_lerp_(averages, weights, 1 - self.params.mu)

    def _f(self, network: nn.Module, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        sigma_data = self.setting.task.sigma_data
        return consistency(
            network, x, sigma, labels, sigma_min=self.params.sigma_min, sigma_data=sigma_data
        )


def heun_between(teacher: nn.Module, x: Tensor, a: Tensor, b: Tensor, labels: Tensor) -> Tensor:
    """One Heun step of every image from its own noise level a to its own b, (B,) each, b > 0."""
    high, low = a.view(-1, 1, 1, 1), b.view(-1, 1, 1, 1)
    slope = (x - teacher(x, a, labels)) / high
    ahead = x + (low - high) * slope
    slope_ahead = (ahead - teacher(ahead, b, labels)) / low
    stepped: Tensor = x + (low - high) * (slope + slope_ahead) / 2
    return stepped
