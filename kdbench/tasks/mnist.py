"""The task `mnist@1`: 70,000 handwritten digits, 28×28, grey, class-conditional.

Data: LeCun, Cortes and Burges, CC BY-SA 3.0; not brought by kdbench. Training and test images are
of different writers; those of training and validation are not told apart.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from functools import cache
from pathlib import Path

import numpy as np

from kdbench.tasks.base import Split
from kdbench.tasks.data_files import DataSet, Pixels, as_split, cut
from kdbench.tasks.generation import SmallImages

FOLDERS = ("MNIST/raw", "MNIST", "mnist")
"""As torchvision stores them, and what people name a folder of the published files."""
PARTS = {"train": 60_000, "t10k": 10_000}
SIDE = 28
VALIDATION_PER_CLASS = 500
HELD_OUT_PER_CLASS = 890
"""The rarest class of the test images has 892. Generators are asked for every class equally often;
the test set's own shares (892 to 1,135) would double what real images score (FD 0.09 to 0.18)."""
SHA256 = {
    "train": "46a98eb11d8efce3a046c142bae16d48eed63010bf9e5b470476884dc1c2bda4",
    "t10k": "804be7ddc90544638e97007dd028b0faa52d984b47d463f3617187659802b5d0",
}
"""Of the published pixels and labels."""
MOST = 16 + PARTS["train"] * SIDE**2 + 1
"""Bytes that are unpacked of a file: one more than the largest one has."""
IMAGES, LABELS = 2051, 2049
"""Magic numbers of an idx file of bytes: in three dimensions, and in one."""

DATA = DataSet(
    "mnist@1",
    "MNIST/raw/train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
    "t10k-labels-idx1-ubyte, each unpacked or as .gz, in MNIST/raw, MNIST or mnist",
    "They are the published files, which torchvision.datasets.MNIST(FOLDER, download=True) gets.",
)


class Mnist(SmallImages):
    """Make 28×28 digits of a given class."""

    name = "mnist"
    shape = (1, SIDE, SIDE)
    sigma_data = 0.616  # standard deviation of the training split in −1…1
    margin = 0.02
    extractor = "mnist-cnn@1"
    auxiliary = "mnist-aux@1"

    def split(self, name: str) -> Split:
        """`train` (55,000), `validation` (500 a class) or `held-out` (890 a class of the test set).

        Classes of `train` are as frequent as published, 9 to 11 %.

        Raises:
            DataError: files are missing, damaged or not the published ones.
        """
        return _splits(DATA.folder())[name]


@cache
def _splits(folder: Path) -> dict[str, Split]:
    parts = {
        part: DATA.check(f"the part {part}", _read(folder, part, n), SHA256[part])
        for part, n in PARTS.items()
    }
    validation, train = cut(parts["train"], per_class=VALIDATION_PER_CLASS)
    held_out, _ = cut(parts["t10k"], per_class=HELD_OUT_PER_CLASS)
    return {"train": train, "validation": validation, "held-out": held_out}


def _read(folder: Path, part: str, n: int) -> Split:
    """One part of the set, as it was published."""
    images = idx(_bytes(folder, f"{part}-images-idx3-ubyte"), IMAGES, (n, SIDE, SIDE))
    labels = idx(_bytes(folder, f"{part}-labels-idx1-ubyte"), LABELS, (n,))
    if images is None or labels is None:
        raise DATA.damaged(f"a file of the part {part}", "is not the published idx file")
    return as_split(images[:, None], labels.astype(np.int64))


def idx(data: bytes, magic: int, shape: tuple[int, ...]) -> Pixels | None:
    """The bytes of an idx file; None if its header or its size are not as expected.

    >>> idx(struct.pack(">2I", LABELS, 3) + bytes([7, 8, 9]), LABELS, (3,)).tolist()
    [7, 8, 9]
    """
    header = struct.pack(f">{1 + len(shape)}I", magic, *shape)
    if not data.startswith(header) or len(data) != len(header) + int(np.prod(shape)):
        return None
    return np.frombuffer(bytearray(data[len(header) :]), np.uint8).reshape(shape)


def _bytes(folder: Path, name: str) -> bytes:
    """A file's unpacked bytes, from the first place where it is."""
    for place in FOLDERS:
        if (plain := folder / place / name).is_file():
            return plain.read_bytes()
        if (packed := folder / place / f"{name}.gz").is_file():
            try:
                with gzip.open(packed) as file:
                    return file.read(MOST)
            except (OSError, EOFError, zlib.error):
                raise DATA.damaged(f"{place}/{name}.gz", "is damaged") from None
    raise DATA.missing(f"{name} or {name}.gz")
