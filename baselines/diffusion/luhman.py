"""Output distillation: one call of the student is the end of the teacher's trajectory.

Luhman and Luhman 2021, arXiv:2101.02388, section 3 (Denoising Student):
min ‖S(σ_max z, σ_max, y) − x_T(z, y)‖² over stored pairs (z, x_T) that a deterministic sampler of
the teacher made. No real image is seen.
"""

from __future__ import annotations

import torch
from kdbench_baselines.diffusion.teacher_pairs import LearnsFromPairs, PairParams
from torch import Tensor, nn

from kdbench.training.method import Batch


class LuhmanParams(PairParams):
    """How the pairs are made, and where the student is called."""

    sigma_max: float = 20.0
    """Noise level at which the student is called."""


class Luhman(LearnsFromPairs):
    """Regress the teacher's samples from their latents."""

    Params = LuhmanParams
    params: LuhmanParams

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        """Mean squared error to the teacher's image from the same latent."""
        latents, labels, images = self.draw()
        sigma = torch.full((len(images),), self.params.sigma_max, device=images.device)
        error: Tensor = student(self.params.sigma_max * latents, sigma, labels) - images
        return error.square().mean()
