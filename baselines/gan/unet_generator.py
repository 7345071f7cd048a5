"""A one-call generator with the body of the diffusion students."""

from __future__ import annotations

import torch
from kdbench_baselines.diffusion.precondition import Denoiser
from kdbench_baselines.diffusion.unet import unet
from torch import Tensor, nn

from kdbench.tasks.base import Task


class CalledOnce(nn.Module):
    """A denoiser called at one noise level, as a one-call diffusion student is."""

    def __init__(self, denoiser: Denoiser, sigma: float) -> None:
        super().__init__()
        self.denoiser, self.sigma = denoiser, sigma

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Latents (B, C, H, W) and labels (B,) to images of the same shape, D(σ z, σ, y)."""
        sigma = torch.full((len(latents),), self.sigma, device=latents.device)
        images: Tensor = self.denoiser(self.sigma * latents, sigma, labels)
        return images


def unet_generator(task: Task, *, channels: int, sigma: float) -> CalledOnce:
    """A generator of a U-Net student's network and size, for a GAN to stand beside it.

    Args:
        task: height and width of its images must be even.
        channels: of the U-Net.
        sigma: noise level of the student's one call.
    """
    return CalledOnce(unet(task, channels=channels, dropout=0.0), sigma)
