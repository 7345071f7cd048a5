"""Stored pairs of a latent and the image that the teacher makes of it, without chance."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from kdbench.generators.build import build_sampler
from kdbench.seeds import seed
from kdbench.spec import Sampling, Spec
from kdbench.training.method import Method

CHUNK = 250


class PairParams(Spec):
    """How the pairs are made."""

    pairs: int = 10_000
    """Stored pairs."""
    sampler: str = "heun@1"
    """The teacher's sampler; must be deterministic."""
    sampler_args: dict[str, Any] = Field(default_factory=lambda: {"steps": 8})


class LearnsFromPairs(Method):
    """A method that sees pairs of its teacher and nothing else."""

    Params: ClassVar[type[PairParams]] = PairParams
    uses = ("teacher samples",)
    params: PairParams

    def prepare(self, student: nn.Module, teacher: nn.Module | None) -> None:
        """Make the pairs, or take those that another run with this teacher made."""
        assert teacher is not None
        identity = {
            "teacher": self.setting.teacher_sha256,
            "task": self.setting.task.id,
            **self.params.model_dump(),
        }
        pairs = self.setting.cached("teacher pairs", identity, lambda: self._make(teacher))
        self.latents, self.labels, self.images = (
            pairs[name].to(self.setting.device) for name in ("latents", "labels", "images")
        )

    def _make(self, teacher: nn.Module) -> dict[str, Tensor]:
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

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Latents, labels and images of a batch of pairs, drawn with replacement."""
        chosen = torch.randint(len(self.images), (self.setting.batch,)).to(self.setting.device)
        return self.latents[chosen], self.labels[chosen], self.images[chosen]
