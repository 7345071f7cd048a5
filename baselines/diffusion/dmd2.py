"""DMD2: distribution matching without pairs, with a fake score that keeps up and a GAN term.

Yin et al. 2024, arXiv:2405.14867, sections 4.1 to 4.3: no regression; several updates of the fake
score for each of the student's (two time-scale update rule); a classifier of real and generated
images, both with noise, on the fake score's bottleneck, trained with it under one optimiser. The
weights of the GAN terms, the softplus losses and the classifier's shape are the official code's
(`main/edm`); σ is drawn from the whole warp there and here, without its grid of 1000 levels.
"""

from __future__ import annotations

import torch
from kdbench_baselines.diffusion.distribution_matching import (
    DistributionMatching,
    MatchingParams,
    add_noise,
)
from kdbench_baselines.diffusion.dmd import HIGH, LOW, matching_loss
from kdbench_baselines.diffusion.gan_head import JudgedScore, judge_loss, student_loss
from pydantic import Field
from torch import Tensor, nn

from kdbench.training.method import Batch


class Dmd2Params(MatchingParams):
    """The ratio of updates and the GAN terms."""

    fake_updates: int = Field(5, ge=1)
    """Updates of the fake score and classifier before each of the student's; 5 officially."""
    student_gan: float = Field(3e-3, gt=0)
    """Weight of the GAN term in the student's loss; 3e-3 officially, at 64×64 pixels."""
    judge_gan: float = Field(1e-2, gt=0)
    """Weight of the classifier's loss beside the fake score's; 1e-2 officially."""
    bottleneck: str = "network.coarse"
    """Path of the teacher's module whose output, (B, C, H, W), the classifier sees."""


class Dmd2(DistributionMatching):
    """Match the teacher's distribution, and be taken for real."""

    Params = Dmd2Params
    uses = ("real images", "teacher outputs", "teacher weights")
    params: Dmd2Params

    def extra_networks(self) -> dict[str, nn.Module]:
        """The fake score with the classifier on it: one network, one optimiser."""
        judged = JudgedScore(self.fake, self.params.bottleneck, self.setting.task.shape)
        self.judged = judged.to(self.setting.device)
        return {"fake": self.judged}

    def logits(self, x: Tensor, labels: Tensor) -> Tensor:
        """The classifier's opinion of images with noise of any level, (B,)."""
        sigma = self.warped_levels(len(x), low=0.0, high=1.0)
        return self.judged.logits(add_noise(x, sigma), sigma, labels)

    def extra_loss(
        self, phase: str, student: nn.Module, teacher: nn.Module | None, batch: Batch
    ) -> Tensor:
        """Denoise the student's images, and tell them from real ones."""
        with torch.no_grad():
            x, labels = self.make_images(student)
        on_real, on_fake = self.logits(batch.images, batch.labels), self.logits(x, labels)
        return self.fake_loss(x, labels) + self.params.judge_gan * judge_loss(on_real, on_fake)

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        """Distribution matching + weight · non-saturating GAN term, on the same images."""
        assert teacher is not None
        x, labels = self.make_images(student)
        sigma = self.warped_levels(len(x), low=LOW, high=HIGH)
        matching = matching_loss(x, sigma, labels, teacher=teacher, fake=self.fake)
        return matching + self.params.student_gan * student_loss(self.logits(x, labels))
