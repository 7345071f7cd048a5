"""Generators that look faster than they are, and an honest one that they all pretend to be."""

from __future__ import annotations

import gc
import multiprocessing
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from cost_subjects import Squares
from torch import Tensor

from kdbench.generators.base import Inputs
from kdbench.stages import shared_task
from kdbench.tasks.base import Split

STEP_MS = 3.0
HONEST_MS = 2 * STEP_MS
"""What two steps take at least: each sleeps, so that other load on the machine hardly matters."""


def step(images: Tensor) -> Tensor:
    """One evaluation."""
    time.sleep(STEP_MS / 1e3)
    return (2 * images + images.roll(1, -1)).sigmoid()


class Honest:
    """Two steps, whatever is asked and whenever."""

    nfe = 2

    def __call__(self, inputs: Inputs) -> Tensor:
        return self.steps(inputs, 2)

    def steps(self, inputs: Inputs, n: int) -> Tensor:
        images = inputs.latents
        for _ in range(n):
            images = step(images)
        return images


class Replayer(Honest):
    """Keeps the output of every batch, and gives it again."""

    def __init__(self) -> None:
        self.kept: dict[int, Tensor] = {}

    def __call__(self, inputs: Inputs) -> Tensor:
        first = int(inputs.index[0])
        if first not in self.kept:
            self.kept[first] = super().__call__(inputs)
        return self.kept[first].clone()


class Librarian(Honest):
    """Keeps every output in a folder, where later processes find it."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def __call__(self, inputs: Inputs) -> Tensor:
        name = sha256(inputs.latents.numpy().tobytes()).hexdigest()
        path = self.folder / f"{name}.npy"
        if not path.exists():
            np.save(path, super().__call__(inputs).numpy())
        return torch.from_numpy(np.load(path))


class Constant(Honest):
    """Gives the output of its first call for all others."""

    kept: Tensor | None = None

    def __call__(self, inputs: Inputs) -> Tensor:
        if self.kept is None or len(self.kept) != len(inputs):
            self.kept = super().__call__(inputs)
        return self.kept.clone()


class Mutator(Honest):
    """Writes its output over its inputs, where it finds it when they come again."""

    def __call__(self, inputs: Inputs) -> Tensor:
        if int(inputs.index[0]) >= 0:
            inputs.latents.copy_(super().__call__(inputs))
            inputs.index.fill_(-1)
        return inputs.latents.clone()


PUT_OFF = (
    *(Tensor.clamp, Tensor.mul, Tensor.__mul__, Tensor.round, Tensor.to, Tensor.cpu),
    Tensor.contiguous,
)
"""What is done to an output before the clock stops."""


class LazyTensor(Tensor):
    """Puts off what is asked of it until a value is looked at."""

    todo: Any = None

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in PUT_OFF:
            return args[0]
        with torch._C.DisableTorchFunctionSubclass():
            plain = [a.todo() if isinstance(a, LazyTensor) and a.todo else a for a in args]
            return func(*plain, **(kwargs or {}))


class Lazy(Honest):
    """Gives a tensor that is computed when it is looked at, after the clock."""

    def __call__(self, inputs: Inputs) -> Tensor:
        later = torch.zeros(inputs.latents.shape, dtype=torch.uint8).as_subclass(LazyTensor)
        later.todo = lambda: Squares().finish(super(Lazy, self).__call__(inputs))
        return later


class Late(Honest):
    """Gives single images that another thread fills after the clock."""

    def __call__(self, inputs: Inputs) -> Tensor:
        if len(inputs) > 1:
            return super().__call__(inputs)
        images = torch.zeros_like(inputs.latents)
        threading.Thread(target=self.fill, args=(images, inputs), daemon=True).start()
        return images

    def fill(self, images: Tensor, inputs: Inputs) -> None:
        with torch.inference_mode():
            images.copy_(self.steps(inputs, 2))


class Threaded:
    """Computes on `n` threads."""

    nfe = 0

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, inputs: Inputs) -> Tensor:
        workers = [threading.Thread(target=multiply) for _ in range(self.n)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return inputs.latents


def multiply() -> None:
    """Some 10 ms of one core, outside of Python's lock for nearly all of it."""
    matrix = torch.eye(512)
    for _ in range(4):
        matrix = matrix @ matrix


def serve(pipe: Any) -> None:
    """Multiply whenever told to."""
    while pipe.recv():
        multiply()
        pipe.send(True)


class Outsourcer:
    """Has another process compute."""

    nfe = 0

    def __init__(self) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        multiprocessing.get_context("fork").Process(
            target=serve, args=(theirs,), daemon=True
        ).start()

    def __call__(self, inputs: Inputs) -> Tensor:
        self.pipe.send(True)
        self.pipe.recv()
        return inputs.latents


class Impatient(Honest):
    """Takes one step from its call number `after` on."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.calls = 0

    def __call__(self, inputs: Inputs) -> Tensor:
        self.calls += 1
        return self.steps(inputs, 2 if self.calls <= self.after else 1)


class Sprinter(Honest):
    """Is quick in its first calls, and honest later."""

    calls = 0

    def __call__(self, inputs: Inputs) -> Tensor:
        self.calls += 1
        return inputs.latents if self.calls <= 10 else super().__call__(inputs)


class Skimper(Honest):
    """Takes one step in batches of the sizes that are timed."""

    def __call__(self, inputs: Inputs) -> Tensor:
        return self.steps(inputs, 1 if len(inputs) in (1, 8) else 2)


class Peeker(Honest):
    """Looks up which rounds are checked, and takes two steps in those alone."""

    def __call__(self, inputs: Inputs) -> Tensor:
        frame: FrameType | None = sys._getframe()
        while frame is not None and frame.f_code.co_name != "time_rounds":
            frame = frame.f_back
        if frame is None or "number" not in frame.f_locals:
            return super().__call__(inputs)
        return self.steps(inputs, 2 if frame.f_locals["number"] in frame.f_locals["keep"] else 1)


class Uneven(Honest):
    """Sleeps four times as long in every third call."""

    calls = 0

    def __call__(self, inputs: Inputs) -> Tensor:
        self.calls += 1
        if self.calls % 3 == 0:
            time.sleep(3 * HONEST_MS / 1e3)
        return super().__call__(inputs)


class ClockStopper(Honest):
    """Replaces the clocks of Python's `time`."""

    def __init__(self) -> None:
        for name in ("perf_counter_ns", "process_time_ns", "monotonic_ns", "time_ns"):
            setattr(time, name, lambda: 1)
        time.perf_counter = time.monotonic = time.time = lambda: 1e-9


class ClockSlower(Honest):
    """Replaces the clock that the harness took for itself by one of half its speed."""

    def __init__(self) -> None:
        for name in ("timing", "ratio", "throughput"):
            module: Any = sys.modules[f"kdbench.costs.{name}"]
            module.perf_counter_ns = lambda: time.perf_counter_ns() // 2


class Forger(Honest):
    """Replaces what times a call by what says a tenth, and leaves all clocks alone."""

    def __init__(self) -> None:
        from dataclasses import replace

        timing: Any = sys.modules["kdbench.costs.timing"]
        honest = timing.time_call

        def tenth(*args: Any) -> Any:
            call = honest(*args)
            return replace(call, wall_ns=call.wall_ns // 10, cpu_ns=call.cpu_ns // 10)

        timing.time_call = tenth


class Streamed:
    """Computes on a stream of its own, of which events on the current one know nothing."""

    nfe = 1

    def __init__(self, products: int) -> None:
        self.network = torch.nn.Linear(2048, 2048).cuda()
        self.stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.products = products

    def __call__(self, inputs: Inputs) -> Tensor:
        with torch.cuda.stream(self.stream):
            x = torch.eye(2048, device="cuda")
            for _ in range(self.products):
                x = self.network(x)
        return inputs.latents.cuda()


class SealedSquares(Squares):
    """A task whose images cannot be had."""

    def split(self, name: str) -> Split:
        raise RuntimeError(f"the {name} split was opened")


class Reader(Honest):
    """Looks at the images that it is measured against."""

    def __call__(self, inputs: Inputs) -> Tensor:
        SealedSquares().split("held-out")
        return super().__call__(inputs)


class Snooper(Honest):
    """Looks for the digits that it is measured against among all that its process holds."""

    def __init__(self, *, opens: bool) -> None:
        self.opened = shared_task("digits@1").split("held-out") if opens else None

    def __call__(self, inputs: Inputs) -> Tensor:
        gc.unfreeze()
        held = [x for x in gc.get_objects() if type(x) is Tensor and x.dtype == torch.uint8]
        if any(x.dim() == 4 and x.shape[1:] == (1, 8, 8) and len(x) > 99 for x in held):
            raise RuntimeError("found the reference")
        return super().__call__(inputs)
