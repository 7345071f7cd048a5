"""Data sets that kdbench does not bring: where their files are looked for, and what is wrong."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from kdbench.errors import KdbenchError
from kdbench.tasks.base import Split

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]


class DataError(KdbenchError):
    """Files of a data set are missing, damaged or not the published ones."""


@dataclass(frozen=True)
class DataSet:
    """A set of images in the folder that `--data` or KDBENCH_DATA names."""

    task: str
    """The task's name, for messages."""
    layout: str
    """The files that are expected there, for people."""
    origin: str
    """Who publishes them, and how to get them."""

    def folder(self) -> Path:
        """The folder of all data sets.

        Raises:
            DataError: none is named, or it is not there.
        """
        named = os.environ.get("KDBENCH_DATA")
        if not named:
            raise self._error("no folder is named: give --data FOLDER or set KDBENCH_DATA")
        if not Path(named).is_dir():
            raise self._error("KDBENCH_DATA names a folder that is not there")
        return Path(named)

    def missing(self, what: str) -> DataError:
        """The error for files that are not in the folder; a user's paths are never in it."""
        return self._error(f"{what} is not in the folder of --data or KDBENCH_DATA")

    def damaged(self, what: str, why: str) -> DataError:
        """The error for files that cannot be used."""
        return self._error(f"{what} {why}")

    def check(self, what: str, found: Split, sha256: str) -> Split:
        """`found`, if its pixels and labels are the published ones.

        Raises:
            DataError: they are not.
        """
        if found.sha256 != sha256:
            why = f"has other pixels or labels than published: SHA-256 {found.sha256[:12]}…"
            raise self.damaged(what, f"{why}, published {sha256[:12]}…")
        return found

    def _error(self, problem: str) -> DataError:
        return DataError(
            f"The task {self.task} lacks its images: {problem}. Expected there: {self.layout}. "
            f"{self.origin}"
        )


def as_split(images: Pixels, labels: Labels) -> Split:
    """Arrays as they were read, (N, C, H, W) and (N,), without a copy."""
    return Split(torch.from_numpy(images), torch.from_numpy(labels))


def cut(whole: Split, *, per_class: int) -> tuple[Split, Split]:
    """The first images of every class in the order of their SHA-256, and all others.

    No choice of ours decides who is where. Both parts stay in this order.

    Args:
        whole: images and labels.
        per_class: images of each class in the first part.

    >>> whole = Split(torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1), torch.arange(6) % 2)
    >>> [part.labels.bincount().tolist() for part in cut(whole, per_class=1)]
    [[1, 1], [2, 2]]
    """
    images, labels = whole.images.numpy(), whole.labels.numpy()
    order = np.array(
        sorted(range(len(images)), key=lambda i: hashlib.sha256(images[i].tobytes()).digest())
    )
    first = np.zeros(len(order), dtype=bool)
    for label in np.unique(labels):
        first[np.flatnonzero(labels[order] == label)[:per_class]] = True
    chosen, others = order[first], order[~first]
    return as_split(images[chosen], labels[chosen]), as_split(images[others], labels[others])
