"""The generators of the GAN family: multilayer perceptrons over the latent and the class."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from kdbench.tasks.base import Task


class GeneratorLayer(nn.Module):
    """Layer norm scaled and shifted by the class, then two linear layers, residual.

    The last layer starts at zero; without that, wide generators collapse.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.affine = nn.Linear(width, 2 * width)
        self.inner = nn.Linear(width, 2 * width)
        self.outer = nn.Linear(2 * width, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, width) to (B, width)."""
        scale, shift = self.affine(condition).chunk(2, dim=1)
        out: Tensor = x + self.outer(F.silu(self.inner(self.norm(x) * (1 + scale) + shift)))
        return out


class MLPGenerator(nn.Module):
    """Latents (B, C, H, W) and labels (B,) to images of the same shape, in the encoded range."""

    def __init__(self, values: int, classes: int, width: int, depth: int) -> None:
        super().__init__()
        self.label = nn.Embedding(classes, width)
        self.entry = nn.Linear(values, width)
        self.layers = nn.ModuleList(GeneratorLayer(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.exit = nn.Linear(width, values)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """One image a latent."""
        condition = self.label(labels)
        hidden = self.entry(latents.flatten(1)) + condition
        for layer in self.layers:
            hidden = layer(hidden, F.silu(condition))
        out: Tensor = self.exit(self.norm(hidden)).view_as(latents)
        return out


def mlp_generator(task: Task, *, width: int, depth: int = 2) -> MLPGenerator:
    """A one-call generator for the images of a task; latents have the images' shape."""
    return MLPGenerator(math.prod(task.shape), task.classes, width, depth)
