"""Students with what they are compared with, by the names of files."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass

from torch import Tensor

from kdbench.reading.errors import BadImages, lines
from kdbench.reading.names import printable
from kdbench.reading.read_set import ReadSet, size_of

LARGEST_FACTOR = 8
"""Of super-resolution; what is left of an image's side by a factor is below it."""

CROP = (
    "\nSides of images that were enlarged are multiples of the factor: crop the targets to a "
    "multiple of the factor, from their right and lower edges, as before they were shrunk."
)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Images with what they are compared with, in the students' order."""

    names: tuple[str, ...]
    """Without the extension."""
    students: list[Tensor]
    """(C, H, W) each, uint8."""
    targets: list[Tensor]
    """Of the same shapes."""
    notes: tuple[str, ...] = ()
    widened: frozenset[int] = frozenset()
    """Positions of pairs of grey and colour, whose grey one was repeated in three channels."""

    def __len__(self) -> int:
        return len(self.names)


def pair(students: ReadSet, targets: ReadSet, *, role: str = "target") -> Pairs:
    """Pair images of one name, whatever the extension; batches are paired by position.

    A pair that is grey on both sides stays grey, whatever else is in the folders; where one side
    is grey and the other in colour, grey is repeated, and counted.

    Args:
        students: in whose order pairs are.
        targets: what they are compared with.
        role: what messages call one of `targets`: `target` or `teacher`.

    Raises:
        BadImages: a name without its partner, a name twice, sizes that differ: all of them.
    """
    places = matched(students, targets, role=role)
    names = tuple(places)
    left = [as_it_was(students, i) for i, _ in places.values()]
    right = [as_it_was(targets, j) for _, j in places.values()]
    _refuse_sizes(names, left, right, role)
    both = list(zip(left, right, strict=True))
    channels = [max(len(a), len(b)) for a, b in both]
    widened = frozenset(i for i, (a, b) in enumerate(both) if len(a) != len(b))
    return Pairs(
        names,
        [image.expand(c, -1, -1) for image, c in zip(left, channels, strict=True)],
        [image.expand(c, -1, -1) for image, c in zip(right, channels, strict=True)],
        _notes(len(widened)),
        widened,
    )


def matched(
    students: ReadSet, targets: ReadSet, *, role: str = "target"
) -> dict[str, tuple[int, int]]:
    """Places of images of one name in both sets, in the students' order, whatever their sizes.

    Args, raises: as `pair`, but for sizes.
    """
    _refuse_unnamed(students, targets, role)
    own, other = _by_stem(students, "students"), _by_stem(targets, _several(role))
    _refuse_alone(own, other, role)
    return {name: (i, other[name]) for name, i in own.items()}


def as_it_was(images: ReadSet, i: int) -> Tensor:
    """One image, grey if its file is."""
    return images.images[i][:1] if i in images.widened else images.images[i]


def _notes(widened: int) -> tuple[str, ...]:
    pairs = f"{widened:,} pair{'' if widened == 1 else 's'}"
    said = f"{pairs} of grey and colour: grey repeated in three channels."
    return (said,) if widened else ()


def _several(role: str) -> str:
    """What messages call all images of a role."""
    return "teacher's images" if role == "teacher" else f"{role}s"


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


def _refuse_unnamed(students: ReadSet, targets: ReadSet, role: str) -> None:
    """Batches and drawn images have no names but positions."""
    if students.has_files != targets.has_files:
        named, unnamed = ("student", role) if students.has_files else (role, "student")
        raise BadImages(
            f"Images of the {named} have file names, and those of the {unnamed} no file names to "
            "pair by; give two folders or two batches."
        )
    if not students.has_files and len(students) != len(targets):
        raise BadImages(
            f"Without file names images are paired by position, and there are {len(students):,} "
            f"of the student and {len(targets):,} of the {role}."
        )


def _refuse_alone(own: dict[str, int], other: dict[str, int], role: str) -> None:
    sides = (("students", own, other), (_several(role), other, own))
    alone = [
        f"{printable(name)} is among the {side} only"
        for side, names, partners in sides
        for name in names
        if name not in partners
    ]
    if alone:
        names = "1 name has" if len(alone) == 1 else f"{len(alone):,} names have"
        raise BadImages(f"{names} no partner of the same name:{lines(alone)}")


def _refuse_sizes(
    names: tuple[str, ...], left: list[Tensor], right: list[Tensor], role: str
) -> None:
    differ = [
        f"{printable(name)}: {size_of(a)} and {size_of(b)}"
        for name, a, b in zip(names, left, right, strict=True)
        if a.shape[1:] != b.shape[1:]
    ]
    if differ:
        uncropped = role == "target" and all(map(_is_uncropped, left, right))
        raise BadImages(
            f"{len(differ):,} of {len(names):,} pairs differ in size, student and {role} as "
            f"width × height:{lines(differ)}{CROP if uncropped else ''}"
        )


def _is_uncropped(student: Tensor, target: Tensor) -> bool:
    """Whether the target has at most a few rows and columns more."""
    more = [b - a for a, b in zip(student.shape[1:], target.shape[1:], strict=True)]
    return all(0 <= one < LARGEST_FACTOR for one in more)
