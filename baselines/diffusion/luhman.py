"""Output distillation: one call of the student is the end of the teacher's trajectory.

Luhman and Luhman 2021, arXiv:2101.02388, section 3 (Denoising Student):
min ‖S(σ_max z, σ_max, y) − x_T(z, y)‖² over stored pairs (z, x_T) that a deterministic sampler of
the teacher made. No real image is seen.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from kdbench.generators.build import build_sampler
from kdbench.seeds import seed
from kdbench.spec import Sampling, Spec
from kdbench.training.method import Batch, Method

CHUNK = 250


class LuhmanParams(Spec):
    """How the pairs are made."""

    pairs: int = 10_000
    """Stored pairs."""
    sampler: str = "heun@1"
    """The teacher's sampler; must be deterministic."""
    sampler_args: dict[str, Any] = Field(default_factory=lambda: {"steps": 8})
    sigma_max: float = 20.0
    """Noise level at which the student is called."""


class Luhman(Method):
    """Regress the teacher's samples from their latents."""

    Params = LuhmanParams
    uses = ("teacher samples",)
    params: LuhmanParams

    def prepare(self, student: nn.Module, teacher: nn.Module | None) -> None:
        """Make the pairs, or take those that another run with this teacher made."""
        assert teacher is not None
        identity = {
            "teacher": self.setting.teacher_sha256,
            "task": self.setting.task.id,
            **self.params.model_dump(),
        }
        pairs = self.setting.cached("teacher pairs", identity, lambda: self._draw(teacher))
        self.latents, self.labels, self.images = (
            pairs[name].to(self.setting.device) for name in ("latents", "labels", "images")
        )

    def _draw(self, teacher: nn.Module) -> dict[str, Tensor]:
        """Latents, labels and the teacher's images, the same for every student of this teacher."""
        task, device, n = self.setting.task, self.setting.device, self.params.pairs
        generator = torch.Generator().manual_seed(seed("teacher pairs", task.id))
        latents = torch.randn((n, *task.shape), generator=generator)
        labels = torch.randint(task.classes, (n,), generator=generator)
        sampler = build_sampler(
            Sampling(sampler=self.params.sampler, args=self.params.sampler_args)
        )
        with torch.no_grad():
            images = torch.cat(
                [
                    sampler(teacher, latents[part].to(device), labels[part].to(device)).cpu()
                    for part in (slice(i, i + CHUNK) for i in range(0, n, CHUNK))
                ]
            )
        return {"latents": latents, "labels": labels, "images": images}

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        """Mean squared error to the teacher's image from the same latent."""
        device = self.setting.device
        chosen = torch.randint(len(self.images), (self.setting.batch,)).to(device)
        sigma = torch.full((self.setting.batch,), self.params.sigma_max, device=device)
        x = self.params.sigma_max * self.latents[chosen]
        error: Tensor = student(x, sigma, self.labels[chosen]) - self.images[chosen]
        return error.square().mean()
