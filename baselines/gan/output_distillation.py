"""Output distillation of a GAN: the student repeats the teacher's image of the same latent.

Aguinaldo et al. 2019, arXiv:1902.00159, section 3: min E‖S(z, y) − T(z, y)‖². Latents are drawn
afresh for every update, so there is no end of pairs; no real image is seen.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdbench.training.method import Batch, Method


class OutputDistillation(Method):
    """Regress a one-call teacher's images."""

    uses = ("teacher samples",)

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        """Mean squared error to the teacher's image."""
        assert teacher is not None
        task, device = self.setting.task, self.setting.device
        latents = torch.randn((self.setting.batch, *task.shape), device=device)
        labels = torch.randint(task.classes, (self.setting.batch,), device=device)
        with torch.no_grad():
            target = teacher(latents, labels)
        error: Tensor = student(latents, labels) - target
        return error.square().mean()
