"""What consistency models share: the function f, its loss, and one dropout mask for two calls.

Song et al. 2023, arXiv:2303.01469, equation 5 with the coefficients of its appendix C; the loss is
the pseudo-Huber distance of Song and Dhariwal 2023, arXiv:2310.14189, section 3.3.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn


def consistency(
    network: nn.Module,
    x: Tensor,
    sigma: Tensor,
    labels: Tensor,
    *,
    sigma_min: float,
    sigma_data: float,
) -> Tensor:
    """f(x, σ) = c_skip(σ)·x + c_out(σ)·F of a network that is called as a denoiser D.

    D = a·x + b·F with EDM's a = σ_d²/(σ² + σ_d²) and b = σ·σ_d/√(σ² + σ_d²); a consistency model
    has c_skip = σ_d²/((σ − σ_min)² + σ_d²) and c_out = b·(1 − σ_min/σ). Hence
    f = c_skip·x + (1 − σ_min/σ)·(D − a·x): the identity at σ_min, D itself where σ_min is 0.

    Args:
        network: D(x, σ, labels).
        x: noisy images, (B, C, H, W).
        sigma: their noise levels, (B,), at least `sigma_min` and above 0.
        labels: (B,), int64.
        sigma_min: noise level at which f is the identity, whatever the weights.
        sigma_data: standard deviation of the data, as the network was wrapped with.
    """
    s = sigma.view(-1, 1, 1, 1)
    a = sigma_data**2 / (s.square() + sigma_data**2)
    c_skip = sigma_data**2 / ((s - sigma_min).square() + sigma_data**2)
    denoised: Tensor = network(x, sigma, labels)
    image: Tensor = c_skip * x + (1 - sigma_min / s) * (denoised - a * x)
    return image


def pseudo_huber(difference: Tensor, scale: float) -> Tensor:
    """√(‖v‖² + c²) − c of every image, (B,), with c = scale·√d for images of d values."""
    v = difference.flatten(1)
    c = scale * v.shape[1] ** 0.5
    distance: Tensor = (v.square().sum(dim=1) + c**2).sqrt() - c
    return distance


def same_dropout(x: Tensor) -> AbstractContextManager[None]:
    """Puts the random state back at its end, so that the next call has the same dropout mask."""
    return torch.random.fork_rng(devices=[x.device] if x.is_cuda else [])
