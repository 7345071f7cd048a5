"""Generators on an NVIDIA GPU whose costs are known."""

from __future__ import annotations

import torch
from cost_subjects import Squares
from torch import Tensor, nn
from torch.nn import functional as F

from kdbench.generators.base import Inputs
from kdbench.generators.direct import Direct, NetworkGenerator

WIDE_MIB = 256
"""What `wide` fills for an image."""


class _Wide(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        pixels = latents[0].numel()
        channels = WIDE_MIB * 2**20 // (4 * pixels)
        wide: Tensor = self.convolution(latents).repeat(1, channels, 1, 1)
        return wide.mean(1, keepdim=True)


def wide(device: str) -> NetworkGenerator:
    """Fills `WIDE_MIB` for each image of a batch."""
    return NetworkGenerator(_Wide().to(device), Direct(), Squares())


class _Attentive(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(1, 3 * 64), nn.Linear(64, 1)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        tokens = self.enter(latents.flatten(2).transpose(1, 2))
        q, k, v = tokens.unflatten(2, (3, 2, 32)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.leave(mixed.transpose(1, 2).flatten(2))
        return out.transpose(1, 2).reshape_as(latents)


def attentive(device: str) -> NetworkGenerator:
    """Two heads of attention over all pixels, by whatever kernel torch chooses."""
    torch.manual_seed(1)
    return NetworkGenerator(_Attentive().to(device), Direct(), Squares())


class Busy:
    """Keeps the device busy for some cycles of its clock, and the host hardly at all."""

    nfe = 0

    def __init__(self, cycles: int) -> None:
        self.network = nn.Linear(1, 1, device="cuda")  # says where the work is done
        self.cycles = cycles

    def __call__(self, inputs: Inputs) -> Tensor:
        torch.cuda._sleep(self.cycles)
        return inputs.latents.cuda()


class Sidelong:
    """Multiplies matrices on a stream of its own, and knows how long the last time took."""

    nfe = 0

    def __init__(self, products: int) -> None:
        self.network = nn.Linear(2048, 2048, device="cuda")
        self.products = products
        self.stream = torch.cuda.Stream()
        self.begin, self.end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def __call__(self, inputs: Inputs) -> Tensor:
        with torch.cuda.stream(self.stream):
            self.begin.record()
            product = torch.eye(2048, device="cuda")
            for _ in range(self.products):
                product = self.network(product)
            self.end.record()
        return inputs.latents.cuda()

    def last_ms(self) -> float:
        """Milliseconds on the stream of the last call."""
        self.end.synchronize()
        return self.begin.elapsed_time(self.end)
