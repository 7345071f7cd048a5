"""ImageNet 64×64 unpacked once: a file a split, from which pictures are mapped and not read.

Published batches are compressed: no picture in them can be reached without unpacking all before it.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np
from filelock import FileLock
from numpy.lib import format as npy
from numpy.typing import NDArray

from kdbench.spec import content_key
from kdbench.tasks.base import Split
from kdbench.tasks.data_files import Labels, as_split
from kdbench.tasks.imagenet64_batches import (
    PIXELS,
    Batch,
    digests_of,
    find,
    labels_of,
    pictures_of,
)
from kdbench.tasks.imagenet64_files import DATA, IMAGES, SIDE, check_archives

VALIDATION_PER_CLASS = 50


def unpacked(folder: Path) -> Path:
    """The folder with the splits of the published batches in `folder`, made now if need be.

    Raises:
        DataError: batches are missing, damaged or not the published ones, or there is no room.
    """
    batches = find(folder)
    place = cache_folder() / "imagenet64" / _key([*batches["train"], *batches["val"]])
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_suffix(".lock")):  # workers begin together
            if not place.is_dir():
                _unpack(batches, place)
    except OSError as error:
        why = f"cannot be written: {error.strerror or type(error).__name__}"
        raise DATA.damaged("the folder of KDBENCH_CACHE", why) from error
    return place


def cache_folder() -> Path:
    """Where kdbench keeps what it can make again."""
    if named := os.environ.get("KDBENCH_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kdbench"


def mapped(place: Path, name: str) -> Split:
    """A split of an unpacked folder; its images are read from the file where they are used."""
    images = np.load(place / f"{name}.npy", mmap_mode="c")  # torch wants to be able to write
    return as_split(images, np.load(place / f"{name}-labels.npy"))


def _key(batches: list[Batch]) -> str:
    """Of the files as they are: other ones, or changed ones, are unpacked to another folder."""
    files = {batch.path.name: batch.path.stat() for batch in batches}
    known = {name: [state.st_size, state.st_mtime_ns] for name, state in files.items()}
    return content_key([known, VALIDATION_PER_CLASS])[:16]


def _unpack(batches: dict[str, tuple[Batch, ...]], place: Path) -> None:
    """Everything in a folder beside `place`, which becomes `place` when it is whole."""
    needed = sum(IMAGES.values()) * PIXELS
    if shutil.disk_usage(place.parent).free < needed:
        why = f"has no room: {needed / 1e9:.1f} GB are unpacked there"
        raise DATA.damaged("the folder of KDBENCH_CACHE", why)
    train, val = batches["train"], batches["val"]
    check_archives([batch.path for batch in (*train, *val)])
    made = place.with_suffix(".unfinished")
    shutil.rmtree(made, ignore_errors=True)  # of an unpacking that was killed
    made.mkdir()
    labels = labels_of(train, IMAGES["train"])
    first = first_of_each_class(labels, digests_of(train), per_class=VALIDATION_PER_CLASS)
    _write(made, train, labels, {"train": ~first, "validation": first})
    labels = labels_of(val, IMAGES["val"])
    _write(made, val, labels, {"held-out": np.ones(len(labels), dtype=bool)})
    os.replace(made, place)


def first_of_each_class(
    labels: Labels, digests: NDArray[np.uint8], *, per_class: int
) -> NDArray[np.bool_]:
    """Which pictures are the first of their class in the order of their SHA-256.

    The same choice as `kdbench.tasks.data_files.cut` makes.

    Args:
        labels: (N,).
        digests: (N, 32).
        per_class: pictures of each class.

    Returns:
        (N,).
    """
    words = np.ascontiguousarray(digests).view(">u8")  # big-endian: in the order of bytes
    order = np.lexsort((*words.T[::-1], labels))
    counts = np.bincount(labels)
    ranks = np.arange(len(labels)) - np.repeat(counts.cumsum() - counts, counts)
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[order[ranks < per_class]] = True
    return chosen


def _write(
    folder: Path,
    batches: tuple[Batch, ...],
    labels: Labels,
    splits: dict[str, NDArray[np.bool_]],
) -> None:
    """The chosen pictures of each split in their published order, and their labels."""
    with ExitStack() as stack:
        files = {}
        for name, chosen in splits.items():
            np.save(folder / f"{name}-labels.npy", labels[chosen])
            files[name] = stack.enter_context((folder / f"{name}.npy").open("wb"))
            _begin(files[name], int(chosen.sum()))
        read = 0
        for pictures in pictures_of(batches):
            for name, chosen in splits.items():
                files[name].write(pictures[chosen[read : read + len(pictures)]].tobytes())
            read += len(pictures)


def _begin(file: IO[bytes], n: int) -> None:
    """The header of an array of `n` pictures, which are written after it."""
    shape = (n, 3, SIDE, SIDE)
    npy.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": "|u1"})
