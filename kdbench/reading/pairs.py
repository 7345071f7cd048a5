"""Students with their targets, by the names of files."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass

from torch import Tensor

from kdbench.reading.errors import BadImages, lines
from kdbench.reading.names import printable
from kdbench.reading.read_set import ReadSet, size_of


@dataclass(frozen=True, eq=False)
class Pairs:
    """Images with what they should be, in the students' order."""

    names: tuple[str, ...]
    """Without the extension."""
    students: list[Tensor]
    """(C, H, W) each, uint8."""
    targets: list[Tensor]
    """Of the same shapes."""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)


def pair(students: ReadSet, targets: ReadSet) -> Pairs:
    """Pair images of one name, whatever the extension; batches are paired by position.

    A pair that is grey on both sides stays grey, whatever else is in the folders; where one side
    is grey and the other in colour, grey is repeated, and counted.

    Raises:
        BadImages: a name without its partner, a name twice, sizes that differ: all of them.
    """
    if students.has_files != targets.has_files:
        raise BadImages("A batch has no file names to pair by; give two folders or two batches.")
    own, other = _by_stem(students, "students"), _by_stem(targets, "targets")
    _refuse_alone(own, other)
    names = tuple(own)
    left = [_as_it_was(students, own[name]) for name in names]
    right = [_as_it_was(targets, other[name]) for name in names]
    _refuse_sizes(names, left, right)
    channels = [max(len(a), len(b)) for a, b in zip(left, right, strict=True)]
    widened = sum(len(a) != len(b) for a, b in zip(left, right, strict=True))
    note = (f"{widened:,} pairs of grey and colour: grey repeated in three channels.",)
    return Pairs(
        names,
        [image.expand(c, -1, -1) for image, c in zip(left, channels, strict=True)],
        [image.expand(c, -1, -1) for image, c in zip(right, channels, strict=True)],
        note if widened else (),
    )


def _as_it_was(images: ReadSet, i: int) -> Tensor:
    """One image, grey if its file is."""
    return images.images[i][:1] if i in images.widened else images.images[i]


def _by_stem(images: ReadSet, side: str) -> dict[str, int]:
    """Position of each name without its extension.

    Accents written as one character or as two are the same, as on file systems of Apple.
    """
    found: dict[str, int] = {}
    twice = []
    for i, name in enumerate(images.names):
        stem = os.path.splitext(name)[0] if images.has_files else name
        key = unicodedata.normalize("NFC", stem)
        if key in found:
            twice.append(f"{printable(images.names[found[key]])}, {printable(name)}")
        found[key] = i
    if twice:
        raise BadImages(f"Among the {side}, names differ by their extension only:{lines(twice)}")
    return found


def _refuse_alone(own: dict[str, int], other: dict[str, int]) -> None:
    sides = (("students", own, other), ("targets", other, own))
    alone = [
        f"{printable(name)} is among the {side} only"
        for side, names, partners in sides
        for name in names
        if name not in partners
    ]
    if alone:
        raise BadImages(f"{len(alone):,} names have no partner of the same name:{lines(alone)}")


def _refuse_sizes(names: tuple[str, ...], left: list[Tensor], right: list[Tensor]) -> None:
    differ = [
        f"{printable(name)}: {size_of(a)} and {size_of(b)}"
        for name, a, b in zip(names, left, right, strict=True)
        if a.shape[1:] != b.shape[1:]
    ]
    if differ:
        raise BadImages(
            f"{len(differ):,} of {len(names):,} pairs differ in size, student and target as "
            f"width × height:{lines(differ)}"
        )
