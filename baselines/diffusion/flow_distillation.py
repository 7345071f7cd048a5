"""k-step distillation of a rectified flow: right where its k Euler steps begin, and only there.

Liu et al. 2022, arXiv:2209.03003 (the paper's "distillation"), official code
`ImageGeneration/losses.py`: reflow's loss on the flow's own pairs with t ∈ {1/k, 2/k, …, 1} instead
of t ~ U(0, 1). For k = 1 it is output distillation (`luhman.py`) over t_max². The paper prefers
LPIPS for k = 1; here it is the squared error, because 8×8 images are below what LPIPS is made for.
"""

from __future__ import annotations

from typing import Any

import torch
from kdbench_baselines.diffusion.flow import time_of
from kdbench_baselines.diffusion.reflow import Reflow, ReflowParams
from pydantic import Field
from torch import Tensor


class FlowDistillationParams(ReflowParams):
    """The student's steps, and the pairs of the flow that it follows."""

    calls: int = Field(1, ge=1)
    """k: Euler steps of the student."""
    sampler: str = "flow-euler@1"
    """The sampler of the flow that teaches."""
    sampler_args: dict[str, Any] = Field(default_factory=lambda: {"steps": 32})


class FlowDistillation(Reflow):
    """Learn the flow at the starts of k steps."""

    Params = FlowDistillationParams
    params: FlowDistillationParams

    def times(self, n: int) -> Tensor:
        """The times at which `flow-euler@1` with k steps asks, drawn evenly, (n,)."""
        k = self.params.calls
        return time_of(self.params.sigma_max) * (torch.randint(1, k + 1, (n,)) / k)
