"""Distribution matching distillation: the student goes where teacher and fake score disagree.

Yin et al. 2023, arXiv:2311.18828, sections 3.2 and 3.3: the gradient in an image x = S(z) is
g = (F(x_σ) − T(x_σ)) / mean|x − T(x_σ)|; beside it a regression on stored pairs of the teacher
keeps all modes. Two things are not the paper's: the regression is a squared error and not LPIPS,
which 8×8 images and independent evaluators rule out; σ is drawn from the whole range between the
ends, not from a grid of 1000 levels. Where the text leaves a doubt, the official code of DMD2, by
the same authors, decides.
"""

from __future__ import annotations

import torch
from kdbench_baselines.diffusion.distribution_matching import (
    DistributionMatching,
    MatchingParams,
    add_noise,
    normaliser,
)
from kdbench_baselines.diffusion.luhman import Luhman, LuhmanParams
from kdbench_baselines.diffusion.teacher_pairs import PairParams
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from kdbench.training.method import Batch

LOW, HIGH = 0.02, 0.98
"""The part of the warp in which the student is compared, in both papers."""


class DmdParams(MatchingParams, PairParams):
    """The weight of the regression beside how its pairs are made and how the student is called."""

    regression: float = Field(0.25, gt=0)
    """Weight λ_reg of the regression; 0.25 with LPIPS in the paper."""


class Dmd(DistributionMatching):
    """Match the teacher's distribution, and its images of the stored latents."""

    Params = DmdParams
    uses = ("teacher samples", "teacher outputs", "teacher weights")
    params: DmdParams

    def prepare(self, student: nn.Module, teacher: nn.Module | None) -> None:
        """Copy the teacher and make its pairs, the same as output distillation's."""
        super().prepare(student, teacher)
        made = {name: getattr(self.params, name) for name in PairParams.model_fields}
        pairs = LuhmanParams(**made, sigma_max=self.params.sigma_init)
        self.regression = Luhman(self.setting, pairs)
        self.regression.prepare(student, teacher)

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        """Distribution matching of fresh images + λ_reg · squared error on stored pairs."""
        assert teacher is not None
        x, labels = self.make_images(student)
        sigma = self.warped_levels(len(x), low=LOW, high=HIGH)
        matching = matching_loss(x, sigma, labels, teacher=teacher, fake=self.fake)
        return matching + self.params.regression * self.regression.loss(student, teacher, batch)


def matching_loss(
    x: Tensor, sigma: Tensor, labels: Tensor, *, teacher: nn.Module, fake: nn.Module
) -> Tensor:
    """½·mean(x − sg(x − g))², whose gradient in x is g / numel; nothing reaches T or F.

    Args:
        x: the student's images, (B, C, H, W).
        sigma: noise level of each, (B,).
        labels: their labels, (B,).
        teacher: T, called as T(x_σ, σ, y).
        fake: F, called likewise.
    """
    with torch.no_grad():
        noisy = add_noise(x, sigma)
        real = teacher(noisy, sigma, labels)
        gradient = (fake(noisy, sigma, labels) - real) / normaliser(x, real)
    return 0.5 * F.mse_loss(x, (x - gradient).detach())
