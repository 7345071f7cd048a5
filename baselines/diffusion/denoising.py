"""Denoising score matching, from scratch: how teachers and the from-scratch controls learn.

Karras et al. 2022, arXiv:2206.00364, equations 2 and 8: E λ(σ) ‖D(x + σε, σ) − x‖², with
ln σ ~ N(P_mean, P_std²). With label dropout the network learns images of no given class beside
those of each class, which guidance needs: Ho and Salimans 2022, arXiv:2207.12598, algorithm 1.
"""

from __future__ import annotations

import torch
from kdbench_baselines.diffusion.precondition import denoising_weight, null_label
from pydantic import Field
from torch import Tensor, nn

from kdbench.spec import Spec
from kdbench.training.method import Batch, Method


class DenoisingParams(Spec):
    """Where the training noise lies, and how often an image's class is withheld."""

    p_mean: float = -1.2
    """Mean of ln σ."""
    p_std: float = 1.2
    """Standard deviation of ln σ."""
    label_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of images whose label is the null label; 0.1 to 0.2 in the paper."""


class Denoising(Method):
    """Train a denoiser on real images; no teacher."""

    Params = DenoisingParams
    uses = ("real images",)
    params: DenoisingParams

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        """Weighted squared error of the denoised image."""
        x, sigma_data = batch.images, self.setting.task.sigma_data
        draws = torch.randn(len(x), device=x.device)
        sigma = (self.params.p_mean + self.params.p_std * draws).exp()
        noisy = x + sigma.view(-1, 1, 1, 1) * torch.randn_like(x)
        labels = self._labels(student, batch.labels)
        error = (student(noisy, sigma, labels) - x).square().mean(dim=(1, 2, 3))
        loss: Tensor = (denoising_weight(sigma, sigma_data) * error).mean()
        return loss

    def _labels(self, student: nn.Module, labels: Tensor) -> Tensor:
        """Labels, some of them withheld; nothing is drawn where none are."""
        if not self.params.label_dropout:
            return labels
        withheld = torch.rand(len(labels), device=labels.device) < self.params.label_dropout
        return torch.where(withheld, null_label(student), labels)
