"""Reflow: a flow that is straight from each latent to the image that the teacher makes of it.

Liu et al. 2022, arXiv:2209.03003, equation 1: E‖(e − x) − v(z_t, t)‖² with
z_t = (1 − t) x + t e, t ~ U(0, 1), over pairs (e, x) of the flow before. The probability flow of a
diffusion teacher is a rectified flow in other coordinates (`flow.py`), so its pairs give the
2-rectified flow; a pair whose teacher is a reflow student gives the next one. The official code
starts the network from the flow before and uses squared errors, as here.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from kdbench_baselines.diffusion.flow import capped, path, velocity
from kdbench_baselines.diffusion.teacher_pairs import LearnsFromPairs, PairParams
from torch import Tensor, nn

from kdbench.training.method import Batch


class ReflowParams(PairParams):
    """How the pairs are made, and where the flow begins."""

    sigma_max: float = 80.0
    """Noise level that stands for t = 1."""


class Reflow(LearnsFromPairs):
    """Flow matching on the teacher's own pairs of noise and image."""

    Params: ClassVar[type[PairParams]] = ReflowParams
    params: ReflowParams

    def times(self, n: int) -> Tensor:
        """Where on the line the flow is learnt, (n,)."""
        return capped(torch.rand(n), sigma_max=self.params.sigma_max)

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        """Mean squared error of the velocity: how far the flow is from straight."""
        noise, labels, images = self.draw()
        t = self.times(len(images)).to(images.device)
        z, target = path(images, noise, t, sigma_max=self.params.sigma_max)
        error = velocity(student, z, t, labels) - target
        return error.square().mean()
