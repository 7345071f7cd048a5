"""A small task and generators whose costs are known."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from kdbench.costs.boundary import Boundary, EndToEnd, Pool, inputs_for, pool_of
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


class Decoded(Convolver):
    """Evaluates a convolution, and then sleeps where others decode."""

    def __init__(self, *, calls: int, decode_ms: float) -> None:
        super().__init__(calls=calls, nfe=calls)
        self.decode_ms = decode_ms

    def __call__(self, inputs: Inputs) -> Tensor:
        images = super().__call__(inputs)
        time.sleep(self.decode_ms / 1e3)
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


class Greedy(Recorder):
    """Fills so many MiB meanwhile."""

    def __init__(self, mib: int) -> None:
        super().__init__()
        self.mib = mib

    def __call__(self, inputs: Inputs) -> Tensor:
        block = torch.ones(self.mib * 2**18)
        return super().__call__(inputs) * block[0]


class Writer(Recorder):
    """Writes down what its process computes with."""

    def __init__(self, note: str) -> None:
        super().__init__()
        variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        told = {name: os.environ.get(name) for name in variables}
        Path(note).write_text(json.dumps({"torch": torch.get_num_threads(), **told}))


def pool(size: int = 1, batch: int = 1, *, boundary: Boundary | None = None) -> Pool:
    """The batches of one size, of inputs for batches of up to `size`."""
    return pool_of(boundary or subject(Recorder()), inputs_for(Squares(), size, replicate=0), batch)


def subject(generator: object, task: Task | None = None) -> EndToEnd:
    """The generator at the boundary, on one thread of the CPU."""
    return EndToEnd(generator, task or Squares(), CPU)  # type: ignore[arg-type]
