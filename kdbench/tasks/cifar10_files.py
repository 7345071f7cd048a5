"""CIFAR-10 as it is published: Python batches, in a folder or archive, or the binary archive.

Every file is compared with its published checksum before it is read. Batches are pickles, and
nothing in a pickle can run here: under NumPy's names it meets the inert stand-ins of
`kdbench.reading.plain_pickle`, and under any other name nothing.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kdbench.reading.plain_pickle import STAND_INS
from kdbench.store import sha256_file
from kdbench.tasks.base import Split
from kdbench.tasks.data_files import DataSet, Pixels, as_split

SIDE, PIXELS = 32, 3 * 32 * 32
FOLDER = "cifar-10-batches-py"
BATCHES = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
"""MD5 of each file, as torchvision compares it. It says which set this is; that a pickle can do no
harm does not hang on it."""
PYTHON_ARCHIVE = "cifar-10-python.tar.gz"
BINARY_ARCHIVE = "cifar-10-binary.tar.gz"
BINARY_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"

DATA = DataSet(
    "cifar10@1",
    f"{FOLDER}/ with {', '.join(BATCHES)}, or {PYTHON_ARCHIVE}, or {BINARY_ARCHIVE}",
    "They are the published files, which torchvision.datasets.CIFAR10(FOLDER, download=True) gets.",
)


def read_published(folder: Path) -> tuple[Split, Split]:
    """Training and test images, in their published order.

    Raises:
        DataError: there are none, or they are not the published ones.
    """
    if (folder / FOLDER).is_dir():
        batches = [_python(name, _whole(folder, name)) for name in BATCHES]
    elif (archive := folder / PYTHON_ARCHIVE).is_file():
        batches = [_python(name, _member(archive, f"{FOLDER}/{name}")) for name in BATCHES]
    elif (archive := folder / BINARY_ARCHIVE).is_file():
        if sha256_file(archive) != BINARY_SHA256:
            raise DATA.damaged(BINARY_ARCHIVE, "is not the published archive")
        members = (f"cifar-10-batches-bin/{name}.bin" for name in BATCHES)
        batches = [records(_member(archive, name)) for name in members]
    else:
        raise DATA.missing(f"none of {FOLDER}/, {PYTHON_ARCHIVE} and {BINARY_ARCHIVE}")
    rows = np.concatenate(batches[:-1])
    return split_of(rows), split_of(batches[-1])


def split_of(rows: Pixels) -> Split:
    """Rows of the binary layout, (N, 1 + 3072): a label and the three planes of a picture."""
    images = np.ascontiguousarray(rows[:, 1:]).reshape(-1, 3, SIDE, SIDE)
    return as_split(images, rows[:, 0].astype(np.int64))


def records(data: bytes) -> Pixels:
    """The rows of a binary file.

    >>> records(bytes([3]) + bytes(3072)).shape
    (1, 3073)
    """
    return np.frombuffer(data, np.uint8).reshape(-1, 1 + PIXELS)


def _python(name: str, data: bytes) -> Pixels:
    if hashlib.md5(data, usedforsecurity=False).hexdigest() != BATCHES[name]:
        raise DATA.damaged(name, "is not the published file")
    found = rows_of_pickle(data)
    if found is None:
        raise DATA.damaged(name, "cannot be read without running code from it")
    return found


class _Plain(pickle.Unpickler):
    """An unpickler that knows the stand-ins and nothing else."""

    stand_ins: ClassVar = {named[1]: named[0] for named in STAND_INS if isinstance(named, tuple)}

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        try:
            return self.stand_ins[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name}") from None


def rows_of_pickle(data: bytes) -> Pixels | None:
    """A batch as rows of the binary layout; None if it holds anything but plain numbers."""
    try:
        found: Any = _Plain(io.BytesIO(data), encoding="bytes").load()
        pixels, labels = found[b"data"], np.array(found[b"labels"], dtype=np.uint8)
        if pixels.type.code not in (b"u1", "u1") or pixels.fortran:
            return None
        planes = np.frombuffer(pixels.data, np.uint8).reshape(len(labels), PIXELS)
    except Exception:  # a forged pickle can make the unpickler raise anything
        return None
    return np.concatenate([labels[:, None], planes], axis=1)


def _whole(folder: Path, name: str) -> bytes:
    try:
        return (folder / FOLDER / name).read_bytes()
    except OSError:
        raise DATA.missing(f"{FOLDER}/{name}") from None


def _member(archive: Path, name: str) -> bytes:
    """One file of an archive, of which nothing is unpacked to disk."""
    try:
        with tarfile.open(archive) as opened:
            file = opened.extractfile(name)
            assert file is not None
            return file.read()
    except (OSError, EOFError, KeyError, AssertionError, tarfile.TarError, zlib.error):
        raise DATA.damaged(archive.name, f"is damaged or lacks {name}") from None
