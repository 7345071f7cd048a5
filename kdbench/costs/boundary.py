"""Where a timed call begins and ends: the whole program, the pipeline, or one evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor, nn

from kdbench.costs.config import network_of
from kdbench.errors import NothingMeasured
from kdbench.generators.base import Generator, Inputs
from kdbench.tasks.base import Task

WARM = 4
TIMED = 16
"""Distinct batches of the largest size that a pool holds for warming up and for timing."""


@dataclass(frozen=True, eq=False)
class Arguments:
    """What a network is called with."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


Prepared = Inputs | Arguments
"""What a timed call is given, on the right side of its boundary."""


@dataclass(frozen=True, eq=False)
class Boundary(ABC):
    """A generator with its task, called between two named points.

    Only `__call__` is timed: `prepare` comes once a batch, `copy` before every call, `check` after
    the clock.
    """

    name: ClassVar[str]

    generator: Generator
    task: Task
    device: torch.device
    """Where the network is."""
    threads: int = 1
    """Threads of torch in this process."""

    @abstractmethod
    def prepare(self, inputs: Inputs) -> Prepared:
        """Host inputs on the right side of the boundary."""

    def copy(self, given: Prepared) -> Prepared:
        """A fresh copy: a generator that changes its inputs changes nothing that is used again."""
        # Not `clone`: a deep copy keeps strides, and reaches tensors in lists and dictionaries.
        return deepcopy(given)

    @abstractmethod
    def __call__(self, given: Prepared) -> Tensor:
        """The timed call."""

    @abstractmethod
    def check(self, output: Tensor, n: int) -> None:
        """Refuse an output of `n` images that is not what the boundary asks for.

        Raises:
            ValueError: a lazy subclass of Tensor, another shape, type or device, or values that
                are not finite.
        """

    def synchronise(self) -> None:
        """Wait for the whole device, side streams too."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @property
    def cpu_threads(self) -> int | None:
        """Threads that the CPU time of a call is shared by; None where a device does the work."""
        return self.threads if self.device.type == "cpu" else None


@dataclass(frozen=True, eq=False)
class EndToEnd(Boundary):
    """Inputs on the host to finished images on the host, as a user would call: the headline.

    A generator on a device moves its inputs there itself.
    """

    name: ClassVar[str] = "e2e"

    def prepare(self, inputs: Inputs) -> Inputs:
        """The inputs on the host, in storage of their own."""
        return _own(inputs, torch.device("cpu"))

    def __call__(self, given: Prepared) -> Tensor:
        """(N, C, H, W), contiguous, uint8 where the task is quantised, else float32."""
        assert isinstance(given, Inputs)
        return self.task.finish(self.generator(given)).cpu().contiguous()

    def check(self, output: Tensor, n: int) -> None:
        """Refuse what is not `n` finished images on the host."""
        dtype = torch.uint8 if self.task.quantised else torch.float32
        due = f"contiguous {(n, *self.task.shape)} {dtype} on cpu"
        fits = _is_plain(output, (n, *self.task.shape), torch.device("cpu"))
        if not (fits and output.dtype == dtype and output.is_contiguous()):
            _refuse(output, due)
        _refuse_non_finite(output)


@dataclass(frozen=True, eq=False)
class Pipe(Boundary):
    """Inputs on the device to float images there: all evaluations, sampler and decoder."""

    name: ClassVar[str] = "pipe"

    def prepare(self, inputs: Inputs) -> Inputs:
        """The inputs on the device, in storage of their own."""
        return _own(inputs, self.device)

    def __call__(self, given: Prepared) -> Tensor:
        """(N, C, H, W), what the generator itself makes."""
        assert isinstance(given, Inputs)
        return self.generator(given)

    def check(self, output: Tensor, n: int) -> None:
        """Refuse what is not `n` finite images on the device, in some floating-point type."""
        fits = _is_plain(output, (n, *self.task.shape), self.device)
        if not (fits and output.is_floating_point()):
            _refuse(output, f"{(n, *self.task.shape)} float on {self.device}")
        _refuse_non_finite(output)


@dataclass(frozen=True, eq=False)
class Core(Boundary):
    """One evaluation of the network, on the arguments of the first one of a sampling.

    Raises:
        NothingMeasured: the generator holds no network.
    """

    name: ClassVar[str] = "core"

    def __post_init__(self) -> None:
        self._network()

    def prepare(self, inputs: Inputs) -> Arguments:
        """The arguments of the first evaluation, where the sampling is broken off.

        Raises:
            NothingMeasured: the sampling ends without calling the network as a whole.
        """

        def capture(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> NoReturn:
            # A sampler may use its buffers again for the next batch.
            raise _Captured(Arguments(deepcopy(args), deepcopy(kwargs)))

        handle = self._network().register_forward_pre_hook(capture, with_kwargs=True)
        try:
            with torch.inference_mode():
                self.generator(_own(inputs, self.device))
        except _Captured as captured:
            return captured.arguments
        finally:
            handle.remove()
        raise NothingMeasured("the generator does not call its network as a whole")

    def __call__(self, given: Prepared) -> Tensor:
        """What the network returns; of a tuple, the first."""
        assert isinstance(given, Arguments)
        output = self._network()(*given.args, **given.kwargs)
        first: Tensor = output[0] if isinstance(output, tuple) else output
        return first

    def check(self, output: Tensor, n: int) -> None:
        """Refuse what is not a finite tensor on the device, of `n` images or a multiple of it.

        Guidance in a doubled batch makes two outputs an image.
        """
        plain = type(output) is Tensor and _is_on(output, self.device)
        if not (plain and output.dim() and len(output) and len(output) % n == 0):
            _refuse(output, f"a multiple of {n} outputs on {self.device}")
        _refuse_non_finite(output)

    def _network(self) -> nn.Module:
        network = network_of(self.generator)
        if network is None:
            raise NothingMeasured("the generator holds no network that could be called alone")
        return network


BOUNDARIES: dict[str, type[Boundary]] = {kind.name: kind for kind in (EndToEnd, Pipe, Core)}
"""By name, the headline first."""


@dataclass(frozen=True, eq=False)
class Pool:
    """Distinct batches of one size; a timed one is first seen when it is timed.

    A generator that replays earlier outputs therefore cannot have been warmed up with them.
    """

    warm: tuple[Prepared, ...]
    timed: tuple[Prepared, ...]


def inputs_for(task: Task, batch: int, *, replicate: int) -> Inputs:
    """As many held-out inputs of the task as a pool of this batch takes."""
    return task.inputs((WARM + TIMED) * batch, split="held-out", replicate=replicate)


def pool_of(boundary: Boundary, inputs: Inputs, batch: int) -> Pool:
    """All inputs in batches of one size, prepared, a fifth of them for warming up.

    Raises:
        ValueError: there are fewer than five batches, or some inputs come twice.
        NothingMeasured: the generator has no such boundary.
    """
    count = len(inputs) // batch
    warm = count * WARM // (WARM + TIMED)
    if not warm or len(set(inputs.index.tolist())) < len(inputs):
        raise ValueError(f"{len(inputs)} inputs are too few, or not distinct: batches of {batch}.")
    parts = [boundary.prepare(inputs.take(slice(i * batch, (i + 1) * batch))) for i in range(count)]
    return Pool(tuple(parts[:warm]), tuple(parts[warm:]))


class _Captured(BaseException):  # passes any `except Exception` of a generator
    def __init__(self, arguments: Arguments) -> None:
        super().__init__()
        self.arguments = arguments


def _own(inputs: Inputs, device: torch.device) -> Inputs:
    """The inputs on a device, cut off from the storage of the set that they are a part of."""
    there = inputs.to(device)
    return Inputs(there.latents.clone(), there.labels.clone(), there.index.clone())


def _is_plain(output: Tensor, shape: tuple[int, ...], device: torch.device) -> bool:
    return type(output) is Tensor and output.shape == shape and _is_on(output, device)


def _is_on(output: Tensor, device: torch.device) -> bool:
    # `cuda` without a number is the current device of that type.
    return output.device.type == device.type and device.index in (None, output.device.index)


def _refuse(output: object, due: str) -> NoReturn:
    found = type(output).__name__
    if isinstance(output, Tensor):
        found += f" {tuple(output.shape)} {output.dtype} on {output.device}"
    raise ValueError(f"The generator gave {found} where Tensor {due} was due.")


def _refuse_non_finite(output: Tensor) -> None:
    if not output.isfinite().all():
        raise ValueError("The generator gave values that are not finite.")
