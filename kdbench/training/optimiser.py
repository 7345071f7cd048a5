"""A network in training: its optimiser, its learning rate over the budget, its precision."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from kdbench.spec import Budget


def learning_rate(budget: Budget, step: int, *, phase: str = "student") -> float:
    """Linear warm-up, times what the budget's schedule leaves at an update.

    >>> budget = Budget(steps=1000, lr=1.0, warmup=100)
    >>> [round(learning_rate(budget, step), 3) for step in (0, 99, 500, 999)]
    [0.01, 0.976, 0.5, 0.0]
    >>> linear = Budget(steps=1000, lr=1.0, warmup=0, schedule="linear")
    >>> [round(learning_rate(linear, step), 3) for step in (0, 500, 999)]
    [1.0, 0.5, 0.001]
    """
    rise = min(1.0, (step + 1) / max(budget.warmup, 1))
    done = step / budget.steps
    left = {
        "cosine": 0.5 * (1 + math.cos(math.pi * done)),
        "linear": 1 - done,
        "constant": 1.0,
    }
    return budget.peak_lr(phase) * rise * left[budget.schedule]


def autocast(budget: Budget, device: torch.device) -> AbstractContextManager[object]:
    """Where losses are computed: bfloat16 for the operations that torch deems safe, or as it is.

    Weights, moments and the moving average stay float32.
    """
    if budget.precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


@dataclass(frozen=True, eq=False)
class Trained:
    """A network with its optimiser; parameters listed once, not at every update."""

    network: nn.Module
    optimiser: torch.optim.Optimizer
    parameters: tuple[nn.Parameter, ...]

    @classmethod
    def of(cls, network: nn.Module, budget: Budget) -> Trained:
        """A network in training mode with a fresh optimiser for what takes gradients."""
        parameters = tuple(p for p in network.train().parameters() if p.requires_grad)
        return cls(network, _optimiser(parameters, budget), parameters)

    def require_gradients(self, required: bool) -> None:
        """Let the network's weights take gradients, or not."""
        for parameter in self.parameters:
            parameter.requires_grad = required


def _optimiser(parameters: tuple[nn.Parameter, ...], budget: Budget) -> torch.optim.Optimizer:
    lr, betas, decay = budget.lr, budget.betas, budget.weight_decay
    if budget.optimiser == "radam":
        return torch.optim.RAdam(
            parameters, lr=lr, betas=betas, weight_decay=decay, decoupled_weight_decay=True
        )
    return torch.optim.AdamW(parameters, lr=lr, betas=betas, weight_decay=decay, fused=True)
