"""Arrays in a `.pt` file, as plain numbers: none of NumPy's own unpickling code runs.

torch's restricted unpickler refuses NumPy arrays, as a forged one could corrupt memory. Here what
it meets under NumPy's names are the inert stand-ins below, which keep type, shape and bytes.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdbench.reading.errors import Unreadable
from kdbench.reading.memory import refuse_size

FLOATS = frozenset({"f2", "f4", "f8"})


class _Type:
    """Stands in for `numpy.dtype`."""

    def __init__(self, code: object, *_: object) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self.order = str(state[1])


class _Array:
    """Stands in for `numpy.ndarray`."""

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self.shape, self.type, self.fortran, self.data = state[1:]

    def floats(self) -> Tensor:
        """The numbers, after everything about them was checked."""
        kind, shape, data = self.type, self.shape, self.data
        if not isinstance(kind, _Type) or kind.code not in FLOATS or kind.order not in "<>=|":
            raise Unreadable("its arrays are not floating-point numbers")
        if not isinstance(shape, tuple) or not isinstance(data, bytes):
            raise Unreadable("its arrays are not plain numbers")
        found = np.frombuffer(data, f"{kind.order}{kind.code}").astype(np.float64)
        if found.size != math.prod(shape):
            raise Unreadable("an array has another size than it says")
        return torch.from_numpy(found.reshape(shape, order="F" if self.fortran else "C"))


def _reconstruct(*_: object) -> _Array:
    """Stands in for the function of the same name of NumPy."""
    return _Array()


STAND_INS: list[Callable[..., object] | tuple[Callable[..., object], str]] = [
    (_Array, "numpy.ndarray"),
    (_Type, "numpy.dtype"),
    (_reconstruct, "numpy._core.multiarray._reconstruct"),
    (_reconstruct, "numpy.core.multiarray._reconstruct"),  # NumPy 1
]


def load_floats(path: Path, *, names: tuple[str, ...], most: int) -> list[Tensor]:
    """Arrays or tensors of a dictionary that `torch.save` wrote.

    Args:
        path: of the file.
        names: of the arrays, all of which must be there.
        most: bytes that the file may hold.

    Raises:
        Unreadable: it is no such file, or holds anything but plain numbers under these names.
        BadImages: it is too large.
    """
    if not zipfile.is_zipfile(path):
        raise Unreadable("not a file of torch.save since torch 1.6")
    with zipfile.ZipFile(path) as archive:
        refuse_size("These arrays", sum(i.file_size for i in archive.infolist()), most=most)
    try:
        with torch.serialization.safe_globals(STAND_INS):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a forged file can make the unpickler raise anything
        raise Unreadable("it cannot be loaded without running code from it") from error
    if not isinstance(found, dict) or not set(names) <= found.keys():
        raise Unreadable(f"it is no dictionary with {' and '.join(names)}")
    return [_floats(found[name]) for name in names]


def _floats(value: object) -> Tensor:
    if isinstance(value, _Array):
        return value.floats()
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.detach().double()
    raise Unreadable("it holds something else than arrays of floating-point numbers")
