"""Shortcut models: one network for all step sizes, which teaches itself the longer steps.

Frans et al. 2024, arXiv:2410.12557, algorithm 1; official code `targets_shortcut.py`.
s(z, t, d) moves z by −d·s towards the image. The smallest d learns the velocity e − x by flow
matching; two steps of d teach one of 2d, without gradients and from the moving average:
s(z, t, 2d) = ½ [s(z, t, d) + s(z − d·s, t − d, d)]. No teacher.

Times here are t_max times the paper's, counted from the image (`flow.py`); there is no label
dropout, because nothing here is guided.
"""

from __future__ import annotations

import torch
from kdbench_baselines.diffusion.flow import path, spread, step_code, time_of, velocity
from pydantic import Field
from torch import Tensor, nn

from kdbench.spec import Spec
from kdbench.training.method import Batch, Method
from kdbench.training.trainer import Trainer


class ShortcutParams(Spec):
    """The official values, but for `sigma_max`."""

    levels: int = Field(7, ge=1)
    """log₂ of the number of smallest steps, 128."""
    every: int = Field(8, ge=1)
    """One in so many images learns a longer step, the others flow matching."""
    clip: float = 4.0
    """Largest value of what the moving average reaches and teaches."""
    sigma_max: float = 80.0
    """Noise level that stands for t = 1."""


class Shortcut(Method):
    """Flow matching and self-consistency of steps in one loss."""

    Params = ShortcutParams
    uses = ("real images",)
    params: ShortcutParams

    def fit(self, trainer: Trainer) -> None:
        """Let the average that is measured teach, as in the official code."""
        self.average = trainer.ema.network
        trainer.run(self)

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        """Mean squared error of the velocity, over longer steps and smallest ones alike."""
        p, device = self.params, batch.images.device
        longer = len(batch.images) // p.every
        level = torch.full((len(batch.images),), p.levels)
        level[:longer] = torch.arange(longer) % p.levels  # every longer step equally often
        steps = 2**level
        place = torch.rand(len(level)).mul(steps).floor() + 1  # 1 … steps
        d, t = (1 / steps).to(device), (time_of(p.sigma_max) * place / steps).to(device)
        z, target = path(batch.images, torch.randn_like(batch.images), t, sigma_max=p.sigma_max)
        target[:longer] = two_step_target(
            self.average,
            z[:longer],
            t[:longer],
            d[:longer],
            batch.labels[:longer],
            t_max=time_of(p.sigma_max),
            clip=p.clip,
        )
        error = velocity(student, z, t, batch.labels, step_code(d)) - target
        return error.square().mean()


@torch.no_grad()
def two_step_target(
    network: nn.Module,
    z: Tensor,
    t: Tensor,
    d: Tensor,
    labels: Tensor,
    *,
    t_max: float,
    clip: float,
) -> Tensor:
    """The mean velocity of two steps of d/2 from t, which one step of d should have.

    Args:
        network: s.
        z: where the steps begin, (B, …).
        t: when they begin, (B,).
        d: the step that is taught, as a share of the whole way t_max, (B,).
        labels: (B,).
        t_max: time of the noise end.
        clip: bound of the second point and of the target.
    """
    half, code = t_max * d / 2, step_code(d / 2)
    first = velocity(network, z, t, labels, code)
    ahead = (z - spread(half, z) * first).clamp(-clip, clip)
    second = velocity(network, ahead, t - half, labels, code)
    return ((first + second) / 2).clamp(-clip, clip)
