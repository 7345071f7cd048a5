"""Programs that others exported, as generators: torch.export's `.pt2`, TorchScript's `.pt`, `.ts`.

A program is called with latents (N, C, H, W), float32 and standard normal, and labels (N,), int64,
which may be optional, or with latents alone if it takes no labels; it returns images (N, C, H, W)
in [0, 1].

Loading a program is running it: measure programs of people you trust. Pickled Python objects, of
which a program needs none, are refused all the same, and nothing is unpickled.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdbench.errors import KdbenchError, NothingMeasured
from kdbench.generators.base import Inputs
from kdbench.generators.program_archive import EXPORT, archive_kind
from kdbench.reading.names import printable
from kdbench.tasks.base import Task

PROGRAMS = (".pt2", ".pt", ".ts")

AT_ONCE = 250
"""Images a call, of a program that takes any number."""

LOWEST, HIGHEST = -0.5, 1.5
"""Values in [0, 1] before clipping stay well within; those of [-1, 1] or [0, 255] do not."""


class BadProgram(KdbenchError):
    """A file that is no program, or one that breaks the contract."""


@dataclass(frozen=True, eq=False)
class Exported:
    """A program as a generator of one task's images."""

    name: str
    """Of its file."""
    call: Callable[..., Any]
    inputs: int
    """1: latents; 2: latents and labels."""
    at_once: int
    """Images that it must be, or can be, asked for at a time."""
    shape: tuple[int, int, int]
    """Of the task's images."""
    nfe: int = 1
    """Calls of the program, whatever it does within."""

    def __call__(self, inputs: Inputs) -> Tensor:
        """What the program returns, (N, C, H, W), float32.

        Raises:
            NothingMeasured: the program fails.
            BadProgram: it returns something else than images of this task.
        """
        given = (inputs.latents, inputs.labels)[: self.inputs]
        try:
            images = self.call(*given)
        except Exception as error:  # whatever a program may raise
            cause = _line(error, -1)
            raise NothingMeasured(
                f"The program {printable(self.name)!r} failed on {_shapes(given)}: {cause}"
            ) from error
        due = (len(inputs), *self.shape)
        if not isinstance(images, Tensor) or not images.is_floating_point():
            found = images.dtype if isinstance(images, Tensor) else type(images).__name__
            raise self._breach(f"{found}")
        if tuple(images.shape) != due:
            raise self._breach(f"the shape {tuple(images.shape)} where {due} was due")
        return images.detach().float()

    @property
    def network(self) -> torch.nn.Module | None:
        """The program itself, where it is a module: its types and parameters can be read."""
        return self.call if isinstance(self.call, torch.nn.Module) else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of its images must know of how they were drawn."""
        return ("called with latents alone",) if self.inputs == 1 else ()

    def _breach(self, found: str) -> BadProgram:
        return BadProgram(
            f"The program {printable(self.name)!r} returned {found}; it must return images "
            "(N, C, H, W), floating-point, in [0, 1]."
        )

    def refuse_range(self, images: Tensor) -> None:
        """Compare all its images, (N, C, H, W), float32, with [0, 1], ahead of clipping.

        Raises:
            BadProgram: they are in another range.
        """
        finite = images[images.isfinite()]
        if not len(finite):
            return
        low, high = float(finite.min()), float(finite.max())
        if low < LOWEST or high > HIGHEST:
            said = f"values from {low:.4g} to {high:.4g} ({_hint(low, high)} before exporting)"
            raise self._breach(said)


def _hint(low: float, high: float) -> str:
    """What brings values that are not in [0, 1] there."""
    if low >= LOWEST and high > 2:
        return "divide by 255"
    if -2 <= low < LOWEST and high <= 2:  # [-1, 1] before clipping
        return "return (x + 1) / 2 if it makes [-1, 1]"
    return "values are unbounded: apply the program's own output activation"


def load_program(path: Path, task: Task) -> Exported:
    """An exported program, on the CPU.

    Args:
        path: of the file.
        task: whose inputs it takes and whose images it makes.

    Raises:
        BadProgram: it is none, holds pickled objects, or takes other inputs.
    """
    data = _bytes(path)
    kind = archive_kind(data)
    if kind.refused:
        raise BadProgram(f"{printable(path.name)!r} is not run: {kind.refused}.")
    load = _exported if kind.name == EXPORT else _scripted
    try:
        with _quiet():
            call, inputs, at_once = load(io.BytesIO(data))
    except Exception as error:  # what a damaged file makes a loader raise is not foreseeable
        raise BadProgram(
            f"{printable(path.name)!r} cannot be loaded as a program: {_line(error, 0)}"
        ) from error
    if inputs not in (1, 2):
        raise BadProgram(
            f"The program {printable(path.name)!r} takes {inputs} inputs; it must take latents, or "
            "latents and labels."
        )
    return Exported(path.name, call, inputs, at_once, task.shape)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's own words: TorchScript is deprecated, and a traceback of a damaged file."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _bytes(path: Path) -> bytes:
    """Read once, so that what is checked is what is run."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BadProgram(f"There is no {printable(path.name)!r}.") from error
    except OSError as error:
        raise BadProgram(f"{printable(path.name)!r} cannot be read: {error.strerror}.") from error


def _exported(file: io.BytesIO) -> tuple[Callable[..., Any], int, int]:
    program = torch.export.load(file)
    names = program.graph_signature.user_inputs
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    count = nodes[str(names[0])].meta["val"].shape[0]
    return program.module(), len(names), _at_once(count, program.range_constraints)


def _at_once(count: Any, ranges: Any) -> int:
    """A fixed number of images, or the most up to `AT_ONCE` that an open one allows."""
    if isinstance(count, int):
        return count
    found = ranges.get(count.node.expr)
    return int(min(AT_ONCE, found.upper)) if found is not None else AT_ONCE


def _scripted(file: io.BytesIO) -> tuple[Callable[..., Any], int, int]:
    program: Any = torch.jit.load(file, map_location="cpu")  # type: ignore[no-untyped-call]
    program.eval()
    arguments = program.forward.schema.arguments[1:]  # without itself
    inputs = sum(not argument.has_default_value() for argument in arguments)
    if inputs == 1 and len(arguments) > 1 and _takes_labels(arguments[1]):
        inputs = 2
    return program, inputs, AT_ONCE


def _takes_labels(argument: Any) -> bool:
    """Whether the second argument, which has a default, is a tensor by position."""
    labels = torch._C.OptionalType.ofTensor()
    return not argument.kwarg_only and argument.type.isSubtypeOf(labels)


def _shapes(given: tuple[Tensor, ...]) -> str:
    return " and ".join(f"{tuple(tensor.shape)} {tensor.dtype}" for tensor in given)


def _line(error: Exception, which: int) -> str:
    """One line of what an error says: torch tells causes first, and tracebacks end with theirs."""
    said = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable(said[which] if said else type(error).__name__)
