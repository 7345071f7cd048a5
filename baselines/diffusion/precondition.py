"""EDM preconditioning: what every denoiser of these baselines is wrapped in."""

from __future__ import annotations

from torch import Tensor, nn

from kdbench.errors import BadSpec
from kdbench.training.ledger import CountedTeacher


class Denoiser(nn.Module):
    """D(x, σ, y, …) = c_skip·x + c_out·F(c_in·x, ln σ / 4, y, …).

    Karras et al. 2022, arXiv:2206.00364, equation 7 and table 1. `forward` takes x (B, C, H, W),
    σ (B,) and labels (B,) and returns the expected clean image, (B, C, H, W). A network with a
    second time gets it as it is, (B,); one with a null label knows images of no given class.
    """

    def __init__(
        self, network: nn.Module, sigma_data: float, *, null_label: int | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.sigma_data = sigma_data
        self.null_label = null_label

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


def null_label(network: nn.Module) -> int:
    """The label that stands for no class.

    Raises:
        BadSpec: the network has none.
    """
    inner = network.network if isinstance(network, CountedTeacher) else network
    found = getattr(inner, "null_label", None)
    if found is None:
        raise BadSpec("Guidance and label dropout need a network with null_label = true.")
    return int(found)
