"""Classifier-free guidance: away from images of no given class, by a guidance strength w.

Ho and Salimans 2022, arXiv:2207.12598, equation 6: D_w = (1 + w)·D(x, σ, y) − w·D(x, σ, ∅), two
evaluations a step; w = 0 is no guidance. (Elsewhere 1 + w is called the guidance scale.)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from kdbench_baselines.diffusion.precondition import null_label
from torch import Tensor, nn

from kdbench.generators.build import build_sampler
from kdbench.generators.direct import Sampler
from kdbench.spec import Sampling


class Guided(nn.Module):
    """A denoiser of two evaluations of another one."""

    def __init__(self, network: nn.Module, w: float | Tensor) -> None:
        super().__init__()
        self.network = network
        self.null_label = null_label(network)
        self.w = w
        """The same for all images, or (B,)."""

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """D_w(x, σ, y), (B, C, H, W)."""
        conditional: Tensor = self.network(x, sigma, labels)
        unconditional = self.network(x, sigma, torch.full_like(labels, self.null_label))
        w = self.w.view(-1, *[1] * (x.ndim - 1)) if isinstance(self.w, Tensor) else self.w
        guided: Tensor = (1 + w) * conditional - w * unconditional
        return guided


class Conditioned(nn.Module):
    """A denoiser that has learnt every guidance strength, at one of them."""

    def __init__(self, network: nn.Module, w: float) -> None:
        super().__init__()
        self.network = network
        self.w = w

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """S(x, σ, y, w), (B, C, H, W), with w as the network's second time."""
        denoised: Tensor = self.network(x, sigma, labels, torch.full_like(sigma, self.w))
        return denoised


@dataclass(frozen=True)
class GuidedSampler:
    """Any sampler on a guided denoiser."""

    w: float
    """Guidance strength; 0 is none and costs as much."""
    sampler: str = "heun@1"
    """The sampler that asks the guided denoiser."""
    args: dict[str, Any] = field(default_factory=lambda: {"steps": 18})

    @property
    def inner(self) -> Sampler:
        """The sampler within."""
        return build_sampler(Sampling(sampler=self.sampler, args=self.args))

    @property
    def nfe(self) -> int:
        """Two evaluations wherever the sampler within has one."""
        return 2 * self.inner.nfe

    def __call__(self, network: nn.Module, latents: Tensor, labels: Tensor) -> Tensor:
        """Images at σ = 0, (N, C, H, W), in the network's own range."""
        return self.inner(Guided(network, self.w), latents, labels)


@dataclass(frozen=True)
class ConditionedSampler(GuidedSampler):
    """Any sampler on a network that was given guidance strengths as it learnt."""

    @property
    def nfe(self) -> int:
        """As many evaluations as the sampler within."""
        return self.inner.nfe

    def __call__(self, network: nn.Module, latents: Tensor, labels: Tensor) -> Tensor:
        """Images at σ = 0, (N, C, H, W), in the network's own range."""
        return self.inner(Conditioned(network, self.w), latents, labels)
