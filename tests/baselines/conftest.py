"""The Gaussian whose optimal denoiser and trajectories are known in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdbench.spec import Spec
from kdbench.tasks.base import Split, Task
from kdbench.training.ledger import Ledger
from kdbench.training.method import Method, Setting

MEAN, STD = 0.3, 0.6


class Oracle(nn.Module):
    """D*(x, σ) of data N(MEAN, STD²): (s²x + σ²μ) / (s² + σ²)."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        self.calls += 1
        s = sigma.view(-1, 1, 1, 1).square()
        return (STD**2 * x + s * MEAN) / (STD**2 + s)


class ExactConsistency(nn.Module):
    """The denoiser whose consistency function is the exact map to σ_min, for σ_data = STD.

    f = c_skip·x + (1 − σ_min/σ)·(D − a·x), solved for D; at σ_min any D does.
    """

    def __init__(self, sigma_min: float) -> None:
        super().__init__()
        self.sigma_min = sigma_min

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        s, low = sigma.view(-1, 1, 1, 1), self.sigma_min
        f = MEAN + ((STD**2 + low**2) / (STD**2 + s**2)).sqrt() * (x - MEAN)
        c_skip = STD**2 / ((s - low) ** 2 + STD**2)
        denoised = STD**2 / (STD**2 + s**2) * x + (f - c_skip * x) / (1 - low / s)
        return torch.where(s > low, denoised, x)


def exact_map(x: Tensor, a: float, b: float) -> Tensor:
    """Where the probability-flow ODE takes x from noise level a to b."""
    return MEAN + ((STD**2 + b**2) / (STD**2 + a**2)) ** 0.5 * (x - MEAN)


class Gaussian(Task):
    """A task whose data are N(MEAN, STD²), independent values."""

    name = "gaussian"
    kind = "test"
    shape = (1, 2, 2)
    classes = 2
    sigma_data = STD
    quantised = False
    main = "kid@1"
    margin = 0.0
    n = 4
    uses = ()

    def split(self, name: str) -> Split:
        generator = torch.Generator().manual_seed(len(name))
        images = MEAN + STD * torch.randn((4096, *self.shape), generator=generator)
        return Split(images, torch.arange(4096) % 2)

    def encode(self, images: Tensor) -> Tensor:
        return images


@dataclass
class Bench:
    """Makes a method around the Gaussian, with a cache that counts how often it is filled."""

    made: int = 0

    def method(self, kind: type[Method], params: Spec | None = None, *, batch: int = 64) -> Any:
        store: dict[str, dict[str, Tensor]] = {}

        def cached(what: str, identity: dict[str, Any], make: Any) -> dict[str, Tensor]:
            if what not in store:
                self.made += 1
                store[what] = make()
            return store[what]

        setting = Setting(
            task=Gaussian(),
            seed=1,
            batch=batch,
            device=torch.device("cpu"),
            ledger=Ledger(),
            teacher_sha256="0" * 64,
            cached=cached,
        )
        return kind(setting, params)


@pytest.fixture
def bench() -> Bench:
    torch.manual_seed(0)
    return Bench()
