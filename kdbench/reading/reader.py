"""The one reader of images: a folder, a file, or a batch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import torch

from kdbench.reading.batches import read_batch
from kdbench.reading.errors import BadImages
from kdbench.reading.files import Progress, read_files, threads_for
from kdbench.reading.folder import Listing, list_images
from kdbench.reading.memory import half_of_memory
from kdbench.reading.names import FORMAT_OF, UNREAD, printable
from kdbench.reading.read_set import ReadSet, alike

BATCHES = (".npy", ".npz")


def _silent(done: int, total: int) -> None:
    """No progress is shown."""


def read_images(
    source: Path,
    *,
    at_least: int = 1,
    max_bytes: int | None = None,
    threads: int | None = None,
    progress: Progress = _silent,
) -> ReadSet:
    """Images of a folder, of one file, or of an `.npy` or `.npz` batch.

    What is refused and what is treated how: see `kdbench.reading`.

    Args:
        source: folder or file.
        at_least: images that are needed.
        max_bytes: that decoded images may take; by default half of the machine's memory.
        threads: that decode; by default one for each core, up to 8, and one alone for small JPEGs.
            The result is the same.
        progress: called with how many images are done and how many there are.

    Raises:
        BadImages: what cannot be read, all of it in one message; or fewer than `at_least`.
    """
    most = half_of_memory() if max_bytes is None else max_bytes
    if not source.exists():
        raise BadImages(f"There is no {printable(source.name)!r}.")
    if source.suffix.lower() in BATCHES and source.is_file():
        found = read_batch(source, most=most)
        progress(len(found), len(found))
        _refuse_few(len(found), source, at_least)
    else:
        listing = list_images(source) if source.is_dir() else _single(source)
        _refuse_few(len(listing.names) + len(listing.problems), source, at_least)
        found = _read_files(listing, most, threads, progress)
    return found


def _refuse_few(n: int, source: Path, at_least: int) -> None:
    if n < at_least:
        name = printable(source.name)
        raise BadImages(f"{name!r} holds {_images(n)}, and {at_least:,} are needed.")


def _read_files(listing: Listing, most: int, threads: int | None, progress: Progress) -> ReadSet:
    files = [(name, listing.root / name) for name in listing.names]
    images, widened, treatments = read_files(
        files,
        problems=listing.problems,
        most=most,
        threads=threads or threads_for(files),
        progress=progress,
    )
    labels = None if listing.labels is None else torch.tensor(listing.labels)
    notes = (*listing.notes, *_notes(treatments, len(files)), *alike(images))
    return ReadSet(tuple(listing.names), images, labels, listing.classes, notes, widened=widened)


def _single(source: Path) -> Listing:
    """One image as a set."""
    suffix = source.suffix.lower()
    if suffix in UNREAD:
        raise BadImages(f"{printable(source.name)!r}: {suffix} is not read; convert it to PNG.")
    if suffix not in FORMAT_OF or not source.is_file():
        raise BadImages(
            f"{printable(source.name)!r} is not what is read: a folder of images, an image "
            f"({', '.join(sorted(FORMAT_OF))}) or a batch ({', '.join(BATCHES)})."
        )
    return Listing(source.parent.resolve(), [source.name])


def _notes(treatments: Counter[str], n: int) -> list[str]:
    return [f"{count:,} of {_images(n)} {how}" for how, count in sorted(treatments.items())]


def _images(n: int) -> str:
    return f"{n:,} image{'' if n == 1 else 's'}"
