"""Rectified flows on a denoiser: from the linear path to EDM's noise levels and back.

The linear path goes from an image x (t = 0) to noise e ~ N(0, I) (t = 1); Liu et al. 2022,
arXiv:2209.03003, equation 1, with time turned round:

    z_t = (1 − t) x + t e,        dz_t/dt = v = e − x.

Divided by 1 − t it is the path of EDM (Karras et al. 2022, arXiv:2206.00364):

    x_σ = z_t / (1 − t) = x + σ e   with   σ = t / (1 − t),   so   t = σ / (1 + σ).

A denoiser D(x_σ, σ) = E[x | x_σ] therefore knows E[x | z_t]; with e = (z_t − (1 − t) x) / t

    E[v | z_t] = E[(z_t − x) / t | z_t] = (z_t − D(z_t / (1 − t), t / (1 − t))) / t,

and dz/dt = E[v | z] is the probability-flow ODE dx_σ/dσ = (x_σ − D) / σ in other coordinates. With
k = 1 step from t to 0 the image is z_t − t·v = D: the squared error of v is that of D over t².

At t = 1 σ would be infinite, at t = 0 ln σ: t stays between σ_min / (1 + σ_min) and
t_max = σ_max / (1 + σ_max). A sampler begins at t_max and knows nothing of the image there, so the
image's share, 1 − t_max, is left out at t_max: z = t_max·e, which is EDM's x_σ = σ_max·e.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SIGMA_MIN = 0.002
"""EDM's smallest noise level."""


def time_of(sigma: float) -> float:
    """The t of a noise level σ: σ / (1 + σ)."""
    return sigma / (1 + sigma)


def capped(t: Tensor, *, sigma_max: float) -> Tensor:
    """t where a denoiser can be asked."""
    return t.clamp(time_of(SIGMA_MIN), time_of(sigma_max))


def spread(t: Tensor, like: Tensor) -> Tensor:
    """t (B,) as (B, 1, …), to multiply `like` (B, …) with."""
    return t.view(-1, *[1] * (like.ndim - 1))


def path(images: Tensor, noise: Tensor, t: Tensor, *, sigma_max: float) -> tuple[Tensor, Tensor]:
    """The point z_t and the velocity (z_t − x) / t, which is e − x below t_max.

    Args:
        images: x, (B, …).
        noise: e, (B, …).
        t: capped, (B,).
        sigma_max: noise level of t_max, where z_t = t_max·e.
    """
    s = spread(t, images)
    share = torch.where(s < time_of(sigma_max), 1 - s, 0.0)
    return share * images + s * noise, noise - (1 - share) / s * images


def velocity(network: nn.Module, z: Tensor, t: Tensor, labels: Tensor, *second: Tensor) -> Tensor:
    """(z − D) / t of a denoiser, or of a network that is told a second time.

    Args:
        network: D, called as D(x_σ, σ, labels, *second).
        z: the point, (B, …).
        t: its time, capped, (B,).
        labels: (B,).
        second: nothing, or one more number for each point, (B,).
    """
    s = spread(t, z)
    velocity: Tensor = (z - network(z / (1 - s), t / (1 - t), labels, *second)) / s
    return velocity


def step_code(d: Tensor) -> Tensor:
    """What a network is told of a step size: ln d / 4, as of a noise level."""
    return d.log() / 4
