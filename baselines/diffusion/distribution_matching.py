"""What methods that match distributions share: the fake score, noise levels, normalisation.

The student makes x = S(σ_init·z, σ_init, y) in one call. Beside the teacher T, which knows the
data's score, the *fake score* F learns that of the student's images: it starts as a copy of T and
is trained by denoising x, in a phase of its own. Where T(x_σ) and F(x_σ) differ, the student's
distribution differs from the teacher's. The methods differ in what they make of T − F.
"""

from __future__ import annotations

import copy
from typing import ClassVar

import torch
from kdbench_baselines.diffusion.precondition import denoising_weight
from pydantic import Field
from torch import Tensor, nn

from kdbench.spec import Spec
from kdbench.training.ledger import CountedTeacher
from kdbench.training.method import Batch, Method, Setting

FLOOR = 1e-5
"""Least denominator of the normalisation, as in SiD's official code."""


class MatchingParams(Spec):
    """The student's one call, the noise in which distributions are compared, the ratio."""

    sigma_init: float = 20.0
    """Noise level at which the student is called."""
    sigma_min: float = 0.02
    """Least noise of the comparison; 0.002 officially."""
    sigma_max: float = 20.0
    """Most noise of the comparison, of which a method may use a part; 80 officially."""
    rho: float = 7.0
    """Curvature of the warp between them."""
    fake_updates: int = Field(1, ge=1)
    """Updates of the fake score before each of the student's."""


class DistributionMatching(Method):
    """A student, a teacher and a fake score; subclasses give the student's loss."""

    uses: ClassVar[tuple[str, ...]] = ("teacher outputs", "teacher weights")
    params: MatchingParams

    def __init__(self, setting: Setting, params: MatchingParams) -> None:
        super().__init__(setting, params)
        self.phases = ("fake",) * params.fake_updates + ("student",)

    def prepare(self, student: nn.Module, teacher: nn.Module | None) -> None:
        """Copy the teacher."""
        assert isinstance(teacher, CountedTeacher)
        self.fake: nn.Module = fake_score(teacher.network)

    def extra_networks(self) -> dict[str, nn.Module]:
        """The fake score."""
        return {"fake": self.fake}

    def make_images(self, student: nn.Module) -> tuple[Tensor, Tensor]:
        """The student's images from fresh latents, (B, C, H, W), and their labels, (B,)."""
        task, device, n = self.setting.task, self.setting.device, self.setting.batch
        labels = torch.randint(task.classes, (n,), device=device)
        latents = torch.randn((n, *task.shape), device=device)
        sigma = torch.full((n,), self.params.sigma_init, device=device)
        return student(self.params.sigma_init * latents, sigma, labels), labels

    def warped_levels(self, n: int, *, low: float, high: float) -> Tensor:
        """`n` noise levels at even chances between two places of EDM's warp, 0 (σ_min) to 1."""
        p = self.params
        u = low + (high - low) * torch.rand(n, device=self.setting.device)
        return warp(u, sigma_min=p.sigma_min, sigma_max=p.sigma_max, rho=p.rho)

    def fake_levels(self, n: int) -> Tensor:
        """Noise levels at which the fake score learns, (n,); DMD's: the whole warp."""
        return self.warped_levels(n, low=0.0, high=1.0)

    def extra_loss(
        self, phase: str, student: nn.Module, teacher: nn.Module | None, batch: Batch
    ) -> Tensor:
        """The fake score denoises the student's images, which get no gradient."""
        with torch.no_grad():
            x, labels = self.make_images(student)
        return self.fake_loss(x, labels)

    def fake_loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """E λ(σ)‖F(x + σε, σ) − x‖², λ of EDM; so SiD and, as σ⁻² + σ_data⁻², DMD2."""
        sigma, sigma_data = self.fake_levels(len(x)), self.setting.task.sigma_data
        error = (self.fake(add_noise(x, sigma), sigma, labels) - x).square().mean(dim=(1, 2, 3))
        loss: Tensor = (denoising_weight(sigma, sigma_data) * error).mean()
        return loss


def fake_score(teacher: nn.Module) -> nn.Module:
    """A trainable copy of the teacher, without dropout, so that F = T at the first update."""
    fake = copy.deepcopy(teacher).requires_grad_(True)
    for module in fake.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return fake


def warp(u: Tensor, *, sigma_min: float, sigma_max: float, rho: float) -> Tensor:
    """EDM's noise levels (Karras et al. 2022, arXiv:2206.00364, equation 5), upwards in u.

    >>> u = torch.tensor([0.0, 1.0])
    >>> [round(s, 2) for s in warp(u, sigma_min=0.02, sigma_max=20.0, rho=7.0).tolist()]
    [0.02, 20.0]
    """
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    levels: Tensor = (low + u * (high - low)) ** rho
    return levels


def add_noise(x: Tensor, sigma: Tensor) -> Tensor:
    """x + σε, each image (C, H, W) at its own level."""
    return x + sigma.view(-1, 1, 1, 1) * torch.randn_like(x)


def normaliser(x: Tensor, real: Tensor) -> Tensor:
    """mean|x − T(x_σ)| of each image, (B, 1, 1, 1), a constant: steps of one size at every σ."""
    return (x - real).detach().abs().mean(dim=(1, 2, 3), keepdim=True).clamp(min=FLOOR)
