"""A small task and generators whose costs are known."""

from __future__ import annotations

import time
from typing import ClassVar

import torch
from torch import Tensor, nn

from kdbench.costs.boundary import EndToEnd
from kdbench.generators.base import Inputs
from kdbench.metrics.base import Use
from kdbench.tasks.base import Split, Task

CPU = torch.device("cpu")


class Squares(Task):
    """8 by 8 images of three classes."""

    name = "squares"
    kind = "class-conditional generation"
    shape = (1, 8, 8)
    classes = 3
    sigma_data = 0.5
    main = "none"
    margin = 0.0
    n = 16
    uses: ClassVar[tuple[Use, ...]] = ()

    def split(self, name: str) -> Split:
        """No image is ever looked at."""
        return Split(torch.zeros(1, *self.shape, dtype=torch.uint8), torch.zeros(1).long())


class Points(Squares):
    """A task whose output stays as it is."""

    name = "points"
    quantised = False


class Sleeper:
    """Sleeps, and so uses no processor."""

    def __init__(self, ms: float) -> None:
        self.nfe = 0
        self.ms = ms

    def __call__(self, inputs: Inputs) -> Tensor:
        time.sleep(self.ms / 1e3)
        return torch.zeros(len(inputs), *Squares.shape)


class Worker:
    """Multiplies matrices so many times."""

    def __init__(self, products: int) -> None:
        self.nfe = 0
        self.products = products
        self.matrix = torch.eye(128)

    def __call__(self, inputs: Inputs) -> Tensor:
        product = self.matrix
        for _ in range(self.products):
            product = product @ self.matrix
        return inputs.latents * product[0, 0]


class Recorder:
    """Remembers what it was given."""

    def __init__(self) -> None:
        self.nfe = 0
        self.seen: list[int] = []

    def __call__(self, inputs: Inputs) -> Tensor:
        self.seen.append(int(inputs.index[0]))
        return inputs.latents


class Replayer:
    """Sleeps for an input that it has not seen, and replays the output of one that it has."""

    def __init__(self, ms: float) -> None:
        self.nfe = 0
        self.ms = ms
        self.outputs: dict[int, Tensor] = {}

    def __call__(self, inputs: Inputs) -> Tensor:
        first = int(inputs.index[0])
        if first not in self.outputs:
            time.sleep(self.ms / 1e3)
            self.outputs[first] = inputs.latents.clone()
        return self.outputs[first]


class Convolver:
    """Calls a convolution `calls` times, and says that it calls it `nfe` times."""

    def __init__(self, *, calls: int, nfe: int) -> None:
        self.nfe = nfe
        self.calls = calls
        self.network = nn.Conv2d(1, 1, 3, padding=1).eval()

    def __call__(self, inputs: Inputs) -> Tensor:
        images = inputs.latents
        for _ in range(self.calls):
            images = self.network(images)
        return images


class Hoarder:
    """Asks for more memory than there is at any batch above `limit`."""

    def __init__(self, limit: int) -> None:
        self.nfe = 0
        self.limit = limit

    def __call__(self, inputs: Inputs) -> Tensor:
        if len(inputs) > self.limit:
            torch.empty(10**15)
        return inputs.latents


def subject(generator: object, task: Task | None = None) -> EndToEnd:
    """The generator at the boundary, on one thread of the CPU."""
    return EndToEnd(generator, task or Squares(), CPU)  # type: ignore[arg-type]
