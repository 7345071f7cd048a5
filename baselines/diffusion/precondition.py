"""EDM preconditioning: what every denoiser of these baselines is wrapped in."""

from __future__ import annotations

from torch import Tensor, nn


class Denoiser(nn.Module):
    """D(x, σ, y, …) = c_skip·x + c_out·F(c_in·x, ln σ / 4, y, …).

    Karras et al. 2022, arXiv:2206.00364, equation 7 and table 1. `forward` takes x (B, C, H, W),
    σ (B,) and labels (B,) and returns the expected clean image, (B, C, H, W). A network with a
    second time gets it as it is, (B,).
    """

    def __init__(self, network: nn.Module, sigma_data: float) -> None:
        super().__init__()
        self.network = network
        self.sigma_data = sigma_data

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor, *second: Tensor) -> Tensor:
        """The denoised image."""
        s = sigma.view(-1, *[1] * (x.ndim - 1))
        total = s.square() + self.sigma_data**2
        c_skip = self.sigma_data**2 / total
        c_out = s * self.sigma_data / total.sqrt()
        c_in = 1 / total.sqrt()
        output = self.network(c_in * x, sigma.log() / 4, labels, *second)
        denoised: Tensor = c_skip * x + c_out * output
        return denoised


def denoising_weight(sigma: Tensor, sigma_data: float) -> Tensor:
    """λ(σ) = (σ² + σ_data²) / (σ·σ_data)², the loss weight of EDM (equation 8)."""
    return (sigma.square() + sigma_data**2) / (sigma * sigma_data).square()
