"""Arrays of `.npy` and `.npz` files: checked against what the file holds before they are loaded.

Nothing is ever unpickled.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from kdbench.reading.errors import BadImages, Unreadable
from kdbench.reading.memory import refuse_size
from kdbench.reading.names import printable

Array = NDArray[Any]

BLOCK = 1 << 24
"""Bytes that are read at a time."""

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
"""Version 3 is for names of fields, which images do not have."""

MEMBERS = 1000
"""Arrays of one `.npz`."""

OBJECTS = (
    "it holds pickled Python objects, which could run a program and are never loaded; "
    "save plain numbers"
)


@dataclass(frozen=True)
class Declared:
    """What an array's header says."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    bytes: int
    """With the header itself."""

    @property
    def payload(self) -> int:
        """Bytes of the elements."""
        return math.prod(self.shape) * self.dtype.itemsize


class ArrayFile:
    """An open `.npy`, whose only array is named "", or `.npz`."""

    def __init__(self, archive: zipfile.ZipFile | Path, most: int) -> None:
        """Check the size and the header of every array.

        Args:
            archive: what holds them.
            most: bytes that an array may take.

        Raises:
            BadImages: one is too large.
            Unreadable: one holds something else than its header says, or no plain numbers.
        """
        self._archive, self._most = archive, most
        self.declared = {name: self._declare(name) for name in self._names()}

    def load(self, name: str) -> Array:
        """One array.

        Raises:
            Unreadable: the file holds something else than its header says.
        """
        declared = self.declared[name]
        with self._stream(name) as stream:
            stream.read(declared.bytes - declared.payload)
            return _elements(stream, declared)

    def _names(self) -> list[str]:
        if isinstance(self._archive, Path):
            return [""]
        names = self._archive.namelist()
        arrays = [name.removesuffix(".npy") for name in names if name.endswith(".npy")]
        if len(arrays) != len(names) or len(set(arrays)) != len(arrays) or len(arrays) > MEMBERS:
            raise Unreadable("not an archive of arrays as NumPy writes it")
        return arrays

    def _declare(self, name: str) -> Declared:
        held = self._held(name)
        refuse_size("These arrays", held, most=self._most)
        with self._stream(name) as stream:
            declared = _header(stream)
        if held != declared.bytes:
            raise Unreadable(
                f"its header declares {declared.bytes:,} bytes and the file holds {held:,}"
            )
        return declared

    def _held(self, name: str) -> int:
        if isinstance(self._archive, Path):
            return self._archive.stat().st_size
        return self._archive.getinfo(f"{name}.npy").file_size

    def _stream(self, name: str) -> IO[bytes]:
        if isinstance(self._archive, Path):
            return self._archive.open("rb")
        return self._archive.open(f"{name}.npy")


@contextmanager
def open_arrays(path: Path, *, most: int) -> Iterator[ArrayFile]:
    """The arrays of a file; whatever goes wrong within becomes BadImages.

    Args:
        path: of an `.npy` or `.npz` file.
        most: bytes that an array may take.
    """
    try:
        if path.suffix.lower() == ".npy":
            yield ArrayFile(path, most)
        else:
            with zipfile.ZipFile(path) as archive:
                yield ArrayFile(archive, most)
    except Unreadable as why:
        raise BadImages(f"{printable(path.name)!r} cannot be read: {why}.") from why
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        cause = printable(str(error)) or type(error).__name__
        raise BadImages(f"{printable(path.name)!r} is damaged or no array file: {cause}") from error


def _header(stream: IO[bytes]) -> Declared:
    try:
        shape, fortran, dtype = HEADERS[npy.read_magic(stream)](stream)
    except (OSError, zipfile.BadZipFile, zlib.error):
        raise
    except Exception as error:  # NumPy parses it as Python, and passes on what that raises
        raise Unreadable("it has no header of a plain array; save plain numbers") from error
    if dtype.hasobject:
        raise Unreadable(OBJECTS)
    if dtype.kind not in "buif":
        raise Unreadable(f"its elements are {dtype}, not plain numbers")
    if any(not isinstance(length, int) or length < 0 for length in shape):
        raise Unreadable(f"its shape is {shape}")
    elements = math.prod(shape) * dtype.itemsize
    return Declared(shape, fortran, dtype, stream.tell() + elements)


def _elements(stream: IO[bytes], declared: Declared) -> Array:
    """The elements that follow a header; at their end, an archive compares its checksum."""
    buffer = np.empty(declared.payload, np.uint8)
    at = 0
    while at < declared.payload:
        block = stream.read(min(BLOCK, declared.payload - at))
        if not block:
            raise Unreadable(f"{at:,} of {declared.payload:,} bytes are there")
        buffer[at : at + len(block)] = np.frombuffer(block, np.uint8)
        at += len(block)
    array: Array = buffer.view(declared.dtype)
    order = declared.shape[::-1] if declared.fortran else declared.shape
    array = array.reshape(order)
    return array.T if declared.fortran else array
