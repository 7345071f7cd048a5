"""A method: denoise at one noise level, so that one call of the network makes an image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdbench import Batch, Method, Spec


class Params(Spec):
    """Where the student starts from."""

    sigma: float = 20.0


class ConsistentDenoising(Method):
    """The student learns the mean of its class from noise of one level, without a teacher."""

    Params = Params
    uses = ("real images",)

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        """Mean squared error of the denoised image."""
        sigma = torch.full((len(batch.images),), self.params.sigma)
        noisy = batch.images + self.params.sigma * torch.randn_like(batch.images)
        error: Tensor = student(noisy, sigma, batch.labels) - batch.images
        return error.square().mean()
