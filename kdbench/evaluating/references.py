"""What a set is compared with: images, precomputed statistics, or a task's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from kdbench import registry
from kdbench.digest import sha256_of
from kdbench.errors import UnknownName
from kdbench.metrics.image_sets import Images
from kdbench.reading import BadImages, ReadSet, Statistics, read_images, read_statistics
from kdbench.reading.arrays import open_arrays
from kdbench.reading.errors import whose
from kdbench.reading.memory import half_of_memory
from kdbench.reading.names import printable
from kdbench.scoring import real_images
from kdbench.stages import Progress, shared_task
from kdbench.tasks.base import Task

HELD_OUT = "held-out"
REFERENCE = "--reference"


@dataclass(frozen=True, eq=False)
class Reference:
    """Real images, or what is known of them."""

    name: str
    """Of its file or folder, or `task@version, held-out`; never a path."""
    given: Images | Statistics | ReadSet
    """A `ReadSet` only of several sizes, of which sets make nothing."""
    notes: tuple[str, ...] = ()
    task: Task | None = None
    """Whose held-out images these are."""
    has_labels: bool = False
    classes: tuple[str, ...] = ()
    """Names of sub-folders; a label is a position here."""

    @property
    def n(self) -> int | None:
        """Images; None where statistics do not say."""
        if isinstance(self.given, Statistics):
            return self.given.n
        return len(self.given.images)

    @property
    def sha256(self) -> str:
        """Of pixels, or of mean and covariance."""
        if isinstance(self.given, Statistics):
            return sha256_of(self.given.mean, self.given.covariance)
        return self.given.content

    def images(self) -> Images:
        """As images of one size.

        Raises:
            BadImages: sizes differ; these are statistics.
        """
        if isinstance(self.given, Statistics):
            raise BadImages("The reference is statistics, of which Fréchet distances alone exist.")
        if isinstance(self.given, ReadSet):
            with whose(REFERENCE):
                self.given.stacked()
        assert isinstance(self.given, Images)
        return self.given


def open_reference(word: str, *, progress: Progress) -> Reference:
    """Read a folder, a batch or statistics; or take a task's held-out images.

    Raises:
        BadImages: it is none of these.
    """
    task = task_named(word)
    if task is not None:
        return held_out(task)
    path = Path(word)
    name = printable(path.resolve().name)
    with whose(REFERENCE, path):
        if path.is_file() and _is_statistics(path):
            found = read_statistics(path)
            return Reference(name, found, (f"Statistics as {found.origin} writes them.",))
        read = read_images(path, progress=lambda done, total: progress("reading", done, total))
    one_size = isinstance(read.images, Tensor)
    given = Images(read.stacked(), labels_of(read), lasting=True) if one_size else read
    has_labels = read.labels is not None
    return Reference(name, given, read.notes, None, has_labels, read.classes)


def held_out(task: Task) -> Reference:
    """The images that a task measures against."""
    name = f"{task.id}, {HELD_OUT}"
    return Reference(name, real_images(task.id, HELD_OUT), (), task, has_labels=True)


def labels_of(read: ReadSet) -> Tensor:
    """(N,), int64; of images without labels, 0 for all."""
    return torch.zeros(len(read), dtype=torch.int64) if read.labels is None else read.labels


def task_named(word: str) -> Task | None:
    """The task that a word stands for; None for a file or folder.

    Raises:
        BadImages: there is no such file, and no such task.
    """
    if os.path.exists(word):
        return None
    try:
        return shared_task(registry.tasks.resolve(word))
    except UnknownName as error:
        raise BadImages(
            f"{REFERENCE}: There is no file or folder {printable(word)!r}, and no task of this "
            "name."
        ) from error


def _is_statistics(path: Path) -> bool:
    """Whether a file holds statistics and no images."""
    suffix = path.suffix.lower()
    if suffix != ".npz":
        return suffix in (".pt", ".safetensors")
    with open_arrays(path, most=half_of_memory()) as arrays:
        names = set(arrays.declared)
    return {"mu", "sigma"} <= names and not names & {"arr_0", "images"}
