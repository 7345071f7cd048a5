"""The students' network: a residual multilayer perceptron over flattened images or points."""

from __future__ import annotations

import math

from kdbench_baselines.diffusion.embedding import Condition
from kdbench_baselines.diffusion.precondition import Denoiser
from torch import Tensor, nn
from torch.nn import functional as F

from kdbench.tasks.base import Task


class ResidualLayer(nn.Module):
    """Layer norm, two linear layers; the condition scales, shifts and gates them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.affine = nn.Linear(width, 3 * width)
        self.inner = nn.Linear(width, 2 * width)
        self.outer = nn.Linear(2 * width, width)
        nn.init.zeros_(self.affine.weight)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, width) to (B, width)."""
        scale, shift, gate = self.affine(condition).chunk(3, dim=1)
        hidden = self.inner(self.norm(x) * (1 + scale) + shift)
        out: Tensor = x + (1 + gate) * self.outer(F.silu(hidden))
        return out


class ResMLP(nn.Module):
    """A linear entry, `depth` residual layers, a linear exit."""

    def __init__(
        self, values: int, classes: int, width: int, depth: int, *, second_time: bool = False
    ) -> None:
        super().__init__()
        self.condition = Condition(classes, width, second_time=second_time)
        self.entry = nn.Linear(values, width)
        self.layers = nn.ModuleList(ResidualLayer(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.exit = nn.Linear(width, values)
        nn.init.zeros_(self.exit.weight)
        nn.init.zeros_(self.exit.bias)

    def forward(self, x: Tensor, noise: Tensor, labels: Tensor, *second: Tensor) -> Tensor:
        """Scaled noisy image (B, …), noise level (B,), labels (B,) to the shape of x."""
        condition = self.condition(noise, labels, *second)
        hidden = self.entry(x.flatten(1))
        for layer in self.layers:
            hidden = layer(hidden, condition)
        out: Tensor = self.exit(self.norm(hidden)).view_as(x)
        return out


def resmlp(
    task: Task,
    *,
    width: int = 64,
    depth: int = 2,
    second_time: bool = False,
    null_label: bool = False,
) -> Denoiser:
    """A preconditioned residual MLP for the images or points of a task."""
    values, classes = math.prod(task.shape), task.classes + null_label
    network = ResMLP(values, classes, width, depth, second_time=second_time)
    return Denoiser(network, task.sigma_data, null_label=task.classes if null_label else None)
