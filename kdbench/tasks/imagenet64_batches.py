"""The npz batches of ImageNet 64×64, read a few rows at a time; nothing is ever unpickled.

A batch has `data`, uint8 (N, 12288), the three planes of each picture, and `labels`, 1 to 1000 in
an order of the authors' own (Chrabaszcz, Loshchilov and Hutter 2017, arXiv:1707.08819).
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kdbench.reading.arrays import ArrayFile
from kdbench.reading.errors import BadImages, Unreadable
from kdbench.tasks.data_files import Labels, Pixels
from kdbench.tasks.imagenet64_files import CLASSES, DATA, PARTS, SIDE, locate

PIXELS = 3 * SIDE * SIDE
ROWS = 4096
"""Pictures that are read at a time: 50 MB."""
MOST = 1 << 32
"""Bytes of the largest array that is believed: a published batch has 1.6 GB."""

FILE_ERRORS = (
    *(OSError, EOFError, ValueError, LookupError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, BadImages, Unreadable),
)
"""What damaged batches lead to."""


@dataclass(frozen=True)
class Batch:
    """A batch: a file of its own, or a member of an archive."""

    name: str
    path: Path

    @contextmanager
    def opened(self) -> Iterator[Opened]:
        """Its arrays; whatever goes wrong within becomes a DataError."""
        file = f"{self.name}.npz"
        try:
            with ExitStack() as stack:
                archive = stack.enter_context(zipfile.ZipFile(self.path))
                if self.path.suffix == ".zip":
                    (member,) = (m for m in archive.namelist() if Path(m).name == file)
                    inner = stack.enter_context(archive.open(member))
                    archive = stack.enter_context(zipfile.ZipFile(inner))
                yield Opened(archive)
        except FILE_ERRORS:
            raise DATA.damaged(file, "is damaged or not the published batch") from None


class Opened:
    """The arrays of an open batch."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._arrays = ArrayFile(archive, most=MOST)
        found = self._arrays.declared["data"]
        if found.dtype != np.uint8 or found.fortran or found.shape[1:] != (PIXELS,):
            raise Unreadable("its data are no rows of planes")
        self._count, self._header = found.shape[0], found.bytes - found.payload

    def labels(self) -> Labels:
        """(N,), 0 to 999."""
        labels = self._arrays.load("labels").astype(np.int64) - 1
        if labels.shape != (self._count,) or not np.isin(labels, np.arange(CLASSES)).all():
            raise Unreadable("its labels are not those of its pictures")
        return labels

    def pictures(self) -> Iterator[Pixels]:
        """(at most `ROWS`, 3, 64, 64) at a time, in the published order."""
        with self._archive.open("data.npy") as stream:
            stream.read(self._header)
            while block := stream.read(ROWS * PIXELS):
                yield np.frombuffer(block, np.uint8).reshape(-1, 3, SIDE, SIDE)


def find(folder: Path) -> dict[str, tuple[Batch, ...]]:
    """The published batches of `train` and `val`, none of them opened.

    Raises:
        DataError: some are missing.
    """
    *train, val = (
        Batch(name, locate(folder, part, name)) for part, names in PARTS.items() for name in names
    )
    return {"train": tuple(train), "val": (val,)}


def pictures_of(batches: tuple[Batch, ...]) -> Iterator[Pixels]:
    """All pictures, (at most `ROWS`, 3, 64, 64) at a time, in the published order."""
    for batch in batches:
        with batch.opened() as opened:
            yield from opened.pictures()


def labels_of(batches: tuple[Batch, ...], n: int) -> Labels:
    """All labels, (n,).

    Raises:
        DataError: there are not `n` of them, or a batch is damaged.
    """
    parts = []
    for batch in batches:
        with batch.opened() as opened:
            parts.append(opened.labels())
    labels = np.concatenate(parts)
    if len(labels) != n:
        names = f"{batches[0].name} … {batches[-1].name}"
        raise DATA.damaged(names, f"have {len(labels):,} pictures, published {n:,}")
    return labels


def digests_of(batches: tuple[Batch, ...]) -> NDArray[np.uint8]:
    """SHA-256 of the pixels of all pictures, (N, 32)."""
    digests = bytearray()
    for pictures in pictures_of(batches):
        for picture in pictures:
            digests += hashlib.sha256(picture.tobytes()).digest()
    return np.frombuffer(digests, np.uint8).reshape(-1, 32)
