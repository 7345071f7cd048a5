"""Consistency training on real images, as easy consistency tuning: no teacher's output is asked.

Geng et al. 2024, arXiv:2406.14548 (ECT): d(D(x₀ + t·ε, t), sg D(x₀ + r·ε, r)) / (t − r) with one ε
and one dropout mask, where r(t) comes closer to t from stage to stage and D(x₀, 0) is x₀. From a
trained denoiser this is ECT; from random weights it is the control, consistency training.

The weight is the paper's for CIFAR-10; the official code has EDM's in its version for ImageNet.
Differs from the official code: its default c = 0 has no gradient where both calls agree, and it
replaces NaN in gradients; here c is above 0. RAdam, its optimiser, is a budget's choice.
"""

from __future__ import annotations

import torch
from kdbench_baselines.diffusion.consistency import pseudo_huber, same_dropout
from pydantic import Field
from torch import Tensor, nn

from kdbench.spec import Spec
from kdbench.training.method import Batch, Method


class ConsistencyTrainingParams(Spec):
    """Where the training noise lies, how r(t) approaches t, and the distance."""

    p_mean: float = -1.1
    """Mean of ln t."""
    p_std: float = 2.0
    """Standard deviation of ln t."""
    q: float = 2.0
    """Factor by which 1 − r/t shrinks from stage to stage; 256 in the official short run."""
    stage_images: int = 3_200_000
    """Images seen in a stage: an eighth of the official run's 25.6 million."""
    k: float = 8.0
    """How much farther r is from t where t is small."""
    b: float = 1.0
    """How fast that fades with t."""
    huber: float = Field(0.00054, gt=0)
    """c / √d of the pseudo-Huber distance, from arXiv:2310.14189."""


class ConsistencyTraining(Method):
    """Map a noisy image where the same image with less of the same noise is mapped."""

    Params = ConsistencyTrainingParams
    uses = ("real images",)
    params: ConsistencyTrainingParams

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        """Mean of d(D(x_t, t), sg D(x_r, r)) / (t − r)."""
        p, clean, labels = self.params, batch.images, batch.labels
        stage = batch.step * self.setting.batch // p.stage_images
        t = (p.p_mean + p.p_std * torch.randn(len(clean), device=clean.device)).exp()
        r = less_noise(t, stage=stage, q=p.q, k=p.k, b=p.b)
        noise = torch.randn_like(clean)
        target = self._target(student, clean, noise, r, labels)
        denoised = student(clean + t.view(-1, 1, 1, 1) * noise, t, labels)
        return (pseudo_huber(denoised - target, p.huber) / (t - r)).mean()

    def _target(
        self, student: nn.Module, clean: Tensor, noise: Tensor, r: Tensor, labels: Tensor
    ) -> Tensor:
        """The student's own image from noise level r; the clean image where r is 0."""
        has_noise = r > 0
        level = torch.where(has_noise, r, 1.0)  # any level that has a logarithm
        with torch.no_grad(), same_dropout(clean):
            own = student(clean + r.view(-1, 1, 1, 1) * noise, level, labels)
        return torch.where(has_noise.view(-1, 1, 1, 1), own, clean)


def less_noise(t: Tensor, *, stage: int, q: float, k: float, b: float) -> Tensor:
    """r(t) = max(0, t·(1 − q^−(stage + 1)·(1 + k·sigmoid(−b·t)))).

    Far from 0 the ratio r/t is 1 − q^−(stage + 1):

    >>> ratios = [less_noise(torch.tensor(80.0), stage=s, q=2, k=8, b=1) / 80 for s in range(4)]
    >>> [round(float(ratio), 4) for ratio in ratios]
    [0.5, 0.75, 0.875, 0.9375]
    """
    adjusted = 1 + k * torch.sigmoid(-b * t)
    return (t * (1 - q ** -(stage + 1) * adjusted)).clamp(min=0)
