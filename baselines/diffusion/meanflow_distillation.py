"""MeanFlow with the velocities of a teacher: its flow is averaged instead of being learnt as well.

Geng et al. 2025, arXiv:2505.13447, as in `meanflow.py`, but v is the teacher's v(z_t, t) and not
e − x: a variant of the paper's method, which FastGen has as an option. Both have the same optimum
where the teacher's velocity is exact, because the target is linear in v.
"""

from __future__ import annotations

from functools import partial

import torch
from kdbench_baselines.diffusion.flow import velocity
from kdbench_baselines.diffusion.meanflow import MeanFlow, MeanFlowParams
from kdbench_baselines.diffusion.teacher_bank import draw, teacher_bank
from torch import Tensor, nn


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
            identity, ask = self.params.model_dump(), partial(self._ask, teacher)
            self.bank = teacher_bank(self.setting, self.params.bank, identity, ask)

    def points(
        self, teacher: nn.Module | None, images: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """Points z at times t, times r ≤ t, and the teacher's velocities v(z, t)."""
        if not self.bank:
            return self._ask(teacher, images, labels)
        return draw(self.bank, len(images))

    def _ask(self, teacher: nn.Module | None, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        assert teacher is not None
        drawn = super().points(teacher, images, labels)
        with torch.no_grad():
            drawn["v"] = velocity(teacher, drawn["z"], drawn["t"], labels)
        return drawn
