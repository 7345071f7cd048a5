"""Drawing a task's images from something that was brought from outside."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kdbench.generators.base import Generator, Inputs, sample
from kdbench.generators.exported import Exported
from kdbench.reading import ReadSet
from kdbench.stages import Progress, count_failed
from kdbench.tasks.base import Task


@dataclass(eq=False)
class _Told:
    """A generator that says how far it is."""

    generator: Generator
    progress: Progress
    total: int
    done: int = 0

    @property
    def nfe(self) -> int:
        return self.generator.nfe

    def __call__(self, inputs: Inputs) -> Tensor:
        images = self.generator(inputs)
        self.done = min(self.done + len(inputs), self.total)
        self.progress("drawing", self.done, self.total)
        return images


def drawn(
    generator: Generator, task: Task, *, replicate: int, chunk: int, progress: Progress
) -> tuple[ReadSet, int]:
    """Images of the task's held-out inputs, as they are measured, and how many of them failed.

    Args:
        generator: makes them.
        task: whose inputs, as many as it measures.
        replicate: which block of inputs.
        chunk: images a call.
        progress: told after every call.

    Raises:
        BadProgram: a program's images are in another range than [0, 1].
    """
    inputs = task.inputs(task.n, split="held-out", replicate=replicate)
    progress("drawing", 0, len(inputs))
    images = sample(_Told(generator, progress, len(inputs)), inputs, chunk=chunk)
    if task.quantised and isinstance(generator, Exported):
        generator.refuse_range(images)
    own = generator.notes if isinstance(generator, Exported) else ()
    labels_of = getattr(generator, "labels_of", None)
    read = ReadSet(
        names=tuple(str(i) for i in range(len(inputs))),
        images=task.finish(torch.nan_to_num(images)).contiguous(),
        labels=labels_of(inputs) if labels_of else inputs.labels,
        notes=(*own, *(_clipped(images) if task.quantised else ())),
        has_files=False,
    )
    return read, count_failed(images)


def _clipped(images: Tensor) -> tuple[str, ...]:
    finite = images[images.isfinite()]
    excess = torch.maximum(-finite, finite - 1)
    beyond = int((excess > 0).sum())
    if not beyond:
        return ()
    share = f"{100 * beyond / images.numel():.2g} %"
    return (f"{share} of all values were outside [0, 1], by {excess.max():.2g} at most: clipped.",)
