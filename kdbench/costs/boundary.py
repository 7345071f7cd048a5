"""The boundary `e2e`: inputs on the host to finished images on the host."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kdbench.generators.base import Generator, Inputs
from kdbench.tasks.base import Task

WARM = 4
TIMED = 16
"""Distinct batches of the largest size that a pool holds for warming up and for timing."""


@dataclass(frozen=True, eq=False)
class EndToEnd:
    """A generator with its task, called as a user would: copies and quantisation included.

    A generator on a device moves its inputs there itself.
    """

    generator: Generator
    task: Task
    device: torch.device
    """Where the network is."""
    threads: int = 1
    """Threads of torch in this process."""

    def __call__(self, inputs: Inputs) -> Tensor:
        """Images of host inputs: (N, C, H, W), uint8 where the task is quantised, on the host."""
        return self.task.finish(self.generator(inputs)).cpu()

    @property
    def cpu_threads(self) -> int | None:
        """Threads that the CPU time of a call is shared by; None where a device does the work."""
        return self.threads if self.device.type == "cpu" else None

    def synchronise(self) -> None:
        """Wait for the whole device, side streams too."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def check(self, images: Tensor, n: int) -> None:
        """Refuse what is not `n` finished images: a lazy subclass, another shape or type.

        Raises:
            ValueError: the output is not what the task asks for.
        """
        shape = (n, *self.task.shape)
        dtype = torch.uint8 if self.task.quantised else torch.float32
        if type(images) is not Tensor or images.shape != shape or images.dtype != dtype:
            found = f"{type(images).__name__} {tuple(images.shape)} {images.dtype}"
            raise ValueError(f"The generator gave {found} where Tensor {shape} {dtype} was due.")


@dataclass(frozen=True, eq=False)
class Pool:
    """Distinct batches of one size; a timed one is first seen when it is timed.

    A generator that replays earlier outputs therefore cannot have been warmed up with them.
    """

    warm: tuple[Inputs, ...]
    timed: tuple[Inputs, ...]


def inputs_for(task: Task, batches: tuple[int, ...]) -> Inputs:
    """As many held-out inputs of the task as the pool of the largest batch takes."""
    return task.inputs((WARM + TIMED) * max(batches), split="held-out", replicate=0)


def cut(inputs: Inputs, batch: int) -> Pool:
    """All inputs in batches of one size, a fifth of them for warming up."""
    parts = [inputs.take(slice(i, i + batch)) for i in range(0, len(inputs) - batch + 1, batch)]
    warm = len(parts) * WARM // (WARM + TIMED)
    return Pool(tuple(parts[:warm]), tuple(parts[warm:]))
