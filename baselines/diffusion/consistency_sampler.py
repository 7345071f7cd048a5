"""One call of a consistency model, or two with fresh noise between them.

Song et al. 2023, arXiv:2303.01469, algorithm 1: x ← f(σ₁·z, σ₁), then at the second level
x ← f(x + √(σ₂² − σ_min²)·ε, σ₂).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from kdbench_baselines.diffusion.consistency import consistency
from torch import Tensor, nn

SHIFT = 2**12
"""How many cells of equal probability the first noise is told apart by."""


@dataclass(frozen=True)
class ConsistencySampler:
    """Algorithm 1 at one or two noise levels."""

    sigmas: Sequence[float]
    """Noise levels of the calls, falling: one or two."""
    sigma_min: float = 0.0
    """Where f is the identity; as in training. With 0, f is the denoiser itself."""
    sigma_data: float = 1.0
    """Standard deviation of the task's data; without effect where `sigma_min` is 0."""

    def __post_init__(self) -> None:
        if len(self.sigmas) not in (1, 2):
            raise TypeError("a latent has the bits for one or two calls, not for more")

    @property
    def nfe(self) -> int:
        """One evaluation a noise level."""
        return len(self.sigmas)

    def __call__(self, network: nn.Module, latents: Tensor, labels: Tensor) -> Tensor:
        """Images at σ_min, (N, C, H, W), in the network's own range."""
        x = self._f(network, self.sigmas[0] * latents, self.sigmas[0], labels)
        for sigma in self.sigmas[1:]:
            added = (sigma**2 - self.sigma_min**2) ** 0.5
            x = self._f(network, x + added * fresh_noise(latents), sigma, labels)
        return x

    def _f(self, network: nn.Module, x: Tensor, sigma: float, labels: Tensor) -> Tensor:
        levels = x.new_full((len(x),), sigma)
        return consistency(
            network, x, levels, labels, sigma_min=self.sigma_min, sigma_data=self.sigma_data
        )


def fresh_noise(latents: Tensor) -> Tensor:
    """Standard normal noise that is a function of each image's own latent, value by value.

    u = Φ(z) is uniform, and so is the fractional part of 4096·u, independently of which of 4096
    equally probable cells z lies in: the leading digits of u are the latent, the digits after
    them, about twelve bits of a float32, are the noise. An image so has the same second noise in
    any batch, order and process, as it has the same latent; a generator an image would do the
    same, but costs more than a small network's call and takes latents off the device.

    Args:
        latents: standard normal, float32, of full precision (not rounded to half).
    """
    digits = SHIFT * torch.special.ndtr(latents.double()) + 1 / 3  # a third: 0 is no cell's edge
    noise: Tensor = torch.special.ndtri(digits.frac())
    return noise.to(latents.dtype)
