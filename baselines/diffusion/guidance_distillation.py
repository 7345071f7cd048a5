"""Guidance distillation: one evaluation of the student is the two of a guided teacher.

Meng et al. 2023, arXiv:2210.03142, section 3.1 (stage one): E ‖S(x_σ, σ, y, w) − D_w(x_σ, σ, y)‖²
over noisy real images and w ~ U[w_min, w_max], with D_w = (1 + w)·D(x, σ, y) − w·D(x, σ, ∅). Noise
levels and the weight λ(σ) are EDM's. A student of one w needs no input for it: that is our variant,
not the paper's, and `progressive@1` with it as teacher is then the paper's second stage.
"""

from __future__ import annotations

from typing import Self

import torch
from kdbench_baselines.diffusion.guidance import Guided
from kdbench_baselines.diffusion.precondition import denoising_weight
from pydantic import model_validator
from torch import Tensor, nn

from kdbench.spec import Spec
from kdbench.training.method import Batch, Method


class GuidanceDistillationParams(Spec):
    """The guidance strengths, and where the training noise lies."""

    w_min: float = 0.0
    """Least guidance strength."""
    w_max: float = 4.0
    """Greatest one. If both are equal the student is not told it; otherwise its network needs
    second_time = true."""
    p_mean: float = -1.2
    """Mean of ln σ."""
    p_std: float = 1.2
    """Standard deviation of ln σ."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.w_min > self.w_max:
            raise ValueError("w_min is above w_max")
        return self


class GuidanceDistillation(Method):
    """Learn a guided teacher, for one guidance strength or for a range of them."""

    Params = GuidanceDistillationParams
    uses = ("real images", "teacher outputs")
    params: GuidanceDistillationParams

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        """Squared error to the guided teacher, weighted with λ(σ)."""
        assert teacher is not None
        p, x = self.params, batch.images
        sigma = (p.p_mean + p.p_std * torch.randn(len(x), device=x.device)).exp()
        noisy = x + sigma.view(-1, 1, 1, 1) * torch.randn_like(x)
        w = p.w_min + (p.w_max - p.w_min) * torch.rand(len(x), device=x.device)
        with torch.no_grad():
            target = Guided(teacher, w)(noisy, sigma, batch.labels)
        told = (w,) if p.w_min < p.w_max else ()
        error = (student(noisy, sigma, batch.labels, *told) - target).square().mean(dim=(1, 2, 3))
        loss: Tensor = (denoising_weight(sigma, self.setting.task.sigma_data) * error).mean()
        return loss
