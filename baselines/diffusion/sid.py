"""Score identity distillation: Fisher divergence between student and teacher, without data.

Zhou et al. 2024, arXiv:2404.04057, algorithm 1: with T and F at x_σ = x + σε,
L = (T − F)·[(T − x) − α(T − F)] / mean|x − T|, its gradient *through* x_σ into T and F, whose
weights are frozen. No real image and no pair is seen. As in the official code (`sid_loss.py`),
but: the mean over pixels instead of the sum, which Adam does not notice; images that are not
finite are not dropped but end the training, as everywhere in this benchmark.
"""

from __future__ import annotations

import torch
from kdbench_baselines.diffusion.distribution_matching import (
    DistributionMatching,
    MatchingParams,
    add_noise,
    normaliser,
)
from pydantic import Field
from torch import Tensor, nn

from kdbench.training.method import Batch


class SidParams(MatchingParams):
    """The loss and the noise levels of its two halves."""

    sigma_init: float = 2.5
    """Noise level at which the student is called; 2.5 officially, where σ_data is 0.5."""
    alpha: float = 1.2
    """α of the loss; 1.2 officially, 1.0 on AFHQ."""
    t_max: float = Field(0.8, gt=0, le=1)
    """The part of the warp, from σ_min, in which the student is compared; 800 of 1000."""
    p_mean: float = -1.2
    """Mean of ln σ at which the fake score learns."""
    p_std: float = 1.2
    """Standard deviation of ln σ at which the fake score learns."""


class Sid(DistributionMatching):
    """Minimise the squared difference of scores."""

    Params = SidParams
    params: SidParams

    def fake_levels(self, n: int) -> Tensor:
        """ln σ ~ N(P_mean, P_std²), as EDM's teachers learn."""
        draws = torch.randn(n, device=self.setting.device)
        return (self.params.p_mean + self.params.p_std * draws).exp()

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        """The identity's loss on fresh images of the student."""
        assert teacher is not None
        x, labels = self.make_images(student)
        sigma = self.warped_levels(len(x), low=0.0, high=self.params.t_max)
        noisy = add_noise(x, sigma)
        real, fake = teacher(noisy, sigma, labels), self.fake(noisy, sigma, labels)
        return identity_loss(x, real, fake, alpha=self.params.alpha)


def identity_loss(x: Tensor, real: Tensor, fake: Tensor, *, alpha: float) -> Tensor:
    """Mean of (T − F)·[(T − x) − α(T − F)] / mean|x − T|, the denominator a constant.

    Args:
        x: the student's images, (B, C, H, W).
        real: T(x_σ), with the gradient through x_σ.
        fake: F(x_σ), likewise.
        alpha: how much of the squared difference itself is taken off.
    """
    gap = real - fake
    loss: Tensor = (gap * ((real - x) - alpha * gap) / normaliser(x, real)).mean()
    return loss
