"""MeanFlow: a network that gives the mean velocity between two times.

Geng et al. 2025, arXiv:2505.13447, equation 6 and algorithm 1; official code
`meanflow.py`. u(z_t, r, t) = (z_t − z_r) / (t − r) satisfies u = v − (t − r) du/dt, where du/dt is
the derivative along the flow, a Jacobian–vector product with the tangent (v, 0, 1) for (z, r, t).
The right side, without gradients, is the target of the left; v = e − x of an image, no teacher.

Not the paper's: u is (z − D) / t of a preconditioned network (`flow.py`); no guidance and no label
dropout. As in the official code the network is told t and t − r.
"""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from kdbench_baselines.diffusion.flow import capped, path, spread, velocity
from pydantic import Field
from torch import Tensor, nn
from torch.func import jvp

from kdbench.spec import Spec
from kdbench.training.method import Batch, Method


class MeanFlowParams(Spec):
    """The official values for ImageNet, but for `sigma_max`."""

    p_mean: float = -0.4
    """Mean of logit t, which is ln σ."""
    p_std: float = 1.0
    """Standard deviation of logit t."""
    still: float = Field(0.75, ge=0, le=1)
    """Share of the batch with r = t, where the target is v."""
    power: float = 1.0
    """p of the adaptive weight 1 / (‖error‖² + c)^p."""
    c: float = 0.01
    """c of the adaptive weight."""
    sigma_max: float = 80.0
    """Noise level that stands for t = 1."""


class MeanFlow(Method):
    """Learn mean velocities from scratch."""

    Params: ClassVar[type[MeanFlowParams]] = MeanFlowParams
    uses: ClassVar[tuple[str, ...]] = ("real images",)
    params: MeanFlowParams

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        """Adaptively weighted squared error of the mean velocity."""
        p, drawn = self.params, self.points(teacher, batch.images, batch.labels)
        t = drawn["t"]
        moving = torch.arange(len(t), device=t.device) >= int(p.still * len(t))
        r = torch.where(moving, drawn["r"], t)
        u, target = mean_velocity(student, drawn["z"], t, r, drawn["v"], drawn["labels"])
        error = (u - target).square().sum(dim=(1, 2, 3))
        return (error / (error.detach() + p.c) ** p.power).mean()

    def points(
        self, teacher: nn.Module | None, images: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """Points z at times t, times r ≤ t, and the velocities v = e − x there."""
        p = self.params
        logits = p.p_mean + p.p_std * torch.randn((2, len(images)), device=images.device)
        times = capped(torch.sigmoid(logits), sigma_max=p.sigma_max)
        t, r = times.amax(dim=0), times.amin(dim=0)
        z, v = path(images, torch.randn_like(images), t, sigma_max=p.sigma_max)
        return {"z": z, "t": t, "r": r, "v": v, "labels": labels}


def mean_velocity(
    network: nn.Module, z: Tensor, t: Tensor, r: Tensor, v: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """u(z_t, r, t) with its gradients, and its target v − (t − r)·du/dt without.

    Args:
        network: told σ of t and t − r.
        z: the points z_t, (B, …).
        t: their times, (B,).
        r: the times up to which is averaged, (B,).
        v: the velocities at z_t, (B, …).
        labels: (B,).
    """

    def u_of(z: Tensor, t: Tensor) -> Tensor:
        return velocity(network, z, t, labels, t - r)

    u, du = cast(tuple[Tensor, Tensor], jvp(u_of, (z, t), (v, torch.ones_like(t))))
    return u, (v - spread(t - r, z) * du).detach()
