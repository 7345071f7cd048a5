"""Samplers of flows: equal steps in t from noise to image, z ← z − (t − r)·v.

Euler's method on a velocity (Liu et al. 2022, arXiv:2209.03003), the same with a network that is
told its step size (shortcut models: Frans et al. 2024, arXiv:2410.12557, algorithm 2), and with
one that gives the mean velocity of a step (MeanFlow: Geng et al. 2025, arXiv:2505.13447, algorithm
2). Times and noise levels: `flow.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from kdbench_baselines.diffusion.flow import step_code, time_of, velocity
from torch import Tensor, nn


@dataclass(frozen=True)
class FlowEuler:
    """Euler steps on the velocity of a denoiser."""

    steps: int
    sigma_max: float = 80.0
    """Noise level of the start; the one that the student was trained from."""

    @property
    def nfe(self) -> int:
        """One evaluation a step."""
        return self.steps

    def __call__(self, network: nn.Module, latents: Tensor, labels: Tensor) -> Tensor:
        """Images at t = 0, (N, C, H, W), in the network's own range."""
        t_max = time_of(self.sigma_max)
        times = t_max * (torch.arange(self.steps, -1, -1, device=latents.device) / self.steps)
        z = t_max * latents
        for t, r in pairwise(times):
            now = t.expand(len(z))
            z = z - (t - r) * velocity(network, z, now, labels, *self._second(t - r, now))
        return z

    def _second(self, step: Tensor, like: Tensor) -> tuple[Tensor, ...]:
        """What the network is told beside t."""
        return ()


@dataclass(frozen=True)
class ShortcutSteps(FlowEuler):
    """Steps of a network that is told how long they are; `steps` is a power of 2."""

    def __post_init__(self) -> None:
        if self.steps.bit_count() != 1:
            raise TypeError(f"shortcut steps are a power of 2, not {self.steps}")

    def _second(self, step: Tensor, like: Tensor) -> tuple[Tensor, ...]:
        return (step_code(torch.full_like(like, 1 / self.steps)),)


@dataclass(frozen=True)
class MeanFlowSteps(FlowEuler):
    """Steps of a network that gives the mean velocity between t and r."""

    def _second(self, step: Tensor, like: Tensor) -> tuple[Tensor, ...]:
        return (step.expand_as(like),)
