"""The relativistic GAN loss with zero-centred gradient penalties (R3GAN).

Huang et al. 2024, arXiv:2501.05441, section 2 (RpGAN + R1 + R2): real and generated images are
judged in pairs, and both penalties are taken at every update.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def discriminator_loss(
    discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor, *, gamma: float
) -> Tensor:
    """E softplus(−(D(x) − D(x̃))) + γ/2 (E‖∇D(x)‖² + E‖∇D(x̃)‖²), norms over all pixels.

    Args:
        discriminator: images and labels to logits (B,).
        real: real images, (B, C, H, W).
        fake: generated images of the same labels.
        labels: (B,), int64.
        gamma: weight of the penalties.
    """
    images = torch.cat([real, fake]).detach().requires_grad_()
    logits = discriminator(images, torch.cat([labels, labels]))
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    penalty = gradient.square().flatten(1).sum(1)
    on_real, on_fake = logits.chunk(2)
    r1, r2 = penalty.chunk(2)
    return F.softplus(on_fake - on_real).mean() + gamma / 2 * (r1.mean() + r2.mean())


def generator_loss(discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor) -> Tensor:
    """E softplus(−(D(x̃) − D(x))), the gradient through the generated images alone."""
    with torch.no_grad():
        on_real = discriminator(real, labels)
    return F.softplus(on_real - discriminator(fake, labels)).mean()
