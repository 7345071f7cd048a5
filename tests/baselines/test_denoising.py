"""Denoising: no denoiser beats the conditional mean; preconditioning by its definition."""

from __future__ import annotations

import pytest
import torch
from kdbench_baselines.diffusion.denoising import Denoising, DenoisingParams
from kdbench_baselines.diffusion.precondition import Denoiser, denoising_weight
from torch import Tensor, nn

from kdbench.training.method import Batch

from .conftest import MEAN, STD, Bench, Oracle


class Shifted(nn.Module):
    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = shift

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        return Oracle()(x, sigma, labels) + self.shift


@pytest.mark.parametrize("shift", [-0.1, 0.1])
def test_the_conditional_mean_has_the_least_loss(bench: Bench, shift: float) -> None:
    method = bench.method(Denoising, DenoisingParams())
    images = MEAN + STD * torch.randn((20_000, 1, 2, 2))
    batch = Batch(images, torch.zeros(20_000, dtype=torch.int64), 0)
    losses = []
    for student in (Oracle(), Shifted(shift)):
        torch.manual_seed(3)
        losses.append(float(method.loss(student, None, batch)))
    assert losses[0] < losses[1]
    # λ(σ)·E(D* − x)² = (σ² + s²) / (σ·s)² · s²σ² / (s² + σ²) = 1 at every noise level
    assert losses[0] == pytest.approx(1.0, abs=0.02)


def test_preconditioning_keeps_input_and_target_at_unit_variance() -> None:
    class Remember(nn.Module):
        def forward(self, x: Tensor, noise: Tensor, labels: Tensor) -> Tensor:
            self.x, self.noise = x, noise
            return torch.zeros_like(x)

    torch.manual_seed(0)
    network = Remember()
    denoiser = Denoiser(network, sigma_data=0.75)
    sigma = torch.full((20_000,), 1.7)
    clean = 0.75 * torch.randn((20_000, 1, 1, 1))
    noisy = clean + 1.7 * torch.randn_like(clean)
    denoised = denoiser(noisy, sigma, torch.zeros(20_000, dtype=torch.int64))
    assert float(network.x.std()) == pytest.approx(1.0, abs=0.02)
    assert float(network.noise[0]) == pytest.approx(torch.tensor(1.7).log().item() / 4)
    c_out = 1.7 * 0.75 / (1.7**2 + 0.75**2) ** 0.5
    assert float(((clean - denoised) / c_out).std()) == pytest.approx(1.0, abs=0.02)
    assert float(denoising_weight(sigma[:1], 0.75)) == pytest.approx(1 / c_out**2)
