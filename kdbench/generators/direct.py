"""Networks as generators: a sampler turns latents and labels into images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from kdbench.generators.base import Inputs
from kdbench.tasks.base import Task


class Sampler(Protocol):
    """Draws from a network: `sampler(network, latents, labels)` in the network's own range."""

    @property
    def nfe(self) -> int:
        """Network evaluations per image."""
        ...

    def __call__(self, network: nn.Module, latents: Tensor, labels: Tensor) -> Tensor:
        """Images (N, C, H, W) as the network makes them, before the task decodes them."""
        ...


@dataclass(frozen=True)
class Direct:
    """One call, `network(latents, labels)`: GANs and other one-pass generators."""

    nfe: int = 1

    def __call__(self, network: nn.Module, latents: Tensor, labels: Tensor) -> Tensor:
        """One evaluation of the network."""
        images: Tensor = network(latents, labels)
        return images


@dataclass(eq=False)
class NetworkGenerator:
    """A task's network with a sampler: what most rows of a table are."""

    network: nn.Module
    sampler: Sampler
    task: Task

    def __post_init__(self) -> None:
        self.network.eval().requires_grad_(False)

    @property
    def nfe(self) -> int:
        """Network evaluations per image."""
        return self.sampler.nfe

    def __call__(self, inputs: Inputs) -> Tensor:
        """Images of all inputs in one batch, on the network's device."""
        device = next(self.network.parameters()).device
        there = inputs.to(device)
        return self.task.decode(self.sampler(self.network, there.latents, there.labels))
