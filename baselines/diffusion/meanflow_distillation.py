"""MeanFlow with the velocities of a teacher: its flow is averaged instead of being learnt as well.

Geng et al. 2025, arXiv:2505.13447, as in `meanflow.py`, but v is the teacher's v(z_t, t) and not
e − x: a variant of the paper's method, which FastGen has as an option. Both have the same optimum
where the teacher's velocity is exact, because the target is linear in v.
"""

from __future__ import annotations

import torch
from kdbench_baselines.diffusion.flow import velocity
from kdbench_baselines.diffusion.meanflow import MeanFlow, MeanFlowParams
from torch import Tensor, nn

from kdbench.seeds import seed

CHUNK = 250


class MeanFlowDistillationParams(MeanFlowParams):
    """MeanFlow's, and whether the teacher is asked in advance."""

    bank: int = 0
    """Points with velocities that are made in advance and drawn from; 0 asks at every update."""


class MeanFlowDistillation(MeanFlow):
    """Learn the mean velocities of the teacher's flow."""

    Params = MeanFlowDistillationParams
    uses = ("real images", "teacher outputs")
    params: MeanFlowDistillationParams

    def prepare(self, student: nn.Module, teacher: nn.Module | None) -> None:
        """Ask the teacher in advance, or take what another run with this teacher asked."""
        self.bank: dict[str, Tensor] = {}
        if self.params.bank:
            identity = {
                "teacher": self.setting.teacher_sha256,
                "task": self.setting.task.id,
                **self.params.model_dump(),
            }
            made = self.setting.cached("teacher velocities", identity, lambda: self._fill(teacher))
            self.bank = {name: part.to(self.setting.device) for name, part in made.items()}

    def _fill(self, teacher: nn.Module | None) -> dict[str, Tensor]:
        """Points in advance, the same for every student of this teacher."""
        split, task = self.setting.task.split("train"), self.setting.task
        torch.manual_seed(seed("teacher velocities", task.id))
        parts = []
        for _ in range(0, self.params.bank, CHUNK):
            chosen = torch.randint(len(split), (CHUNK,))
            images = task.encode(split.images[chosen]).to(self.setting.device)
            parts.append(self._ask(teacher, images, split.labels[chosen].to(images.device)))
        return {name: torch.cat([part[name].cpu() for part in parts]) for name in parts[0]}

    def points(
        self, teacher: nn.Module | None, images: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """Points z at times t, times r ≤ t, and the teacher's velocities v(z, t)."""
        if not self.bank:
            return self._ask(teacher, images, labels)
        chosen = torch.randint(self.params.bank, (len(images),)).to(images.device)
        return {name: part[chosen] for name, part in self.bank.items()}

    def _ask(self, teacher: nn.Module | None, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        assert teacher is not None
        drawn = super().points(teacher, images, labels)
        with torch.no_grad():
            drawn["v"] = velocity(teacher, drawn["z"], drawn["t"], labels)
        return drawn
