"""What belongs to each image: its target, or its teacher's image, of one size at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from kdbench.digest import sha256_of
from kdbench.evaluating.subjects import Subject
from kdbench.metrics.image_sets import Images
from kdbench.metrics.restoration import RestorationProtocol
from kdbench.reading import Pairs, ReadSet, pair

NO_LABEL = 0


@dataclass(frozen=True, eq=False)
class OneSize:
    """Images of one size, with their partners if they have any."""

    places: Tensor
    """(n,), int64: which images of the whole set these are."""
    own: Images
    other: Images | None = None


@dataclass(frozen=True, eq=False)
class Partners:
    """Images with what each is compared with."""

    role: str
    """Whose images these are: `target` or `teacher`."""
    pairs: Pairs
    name: str
    """Of their file or folder, or `pair/arm`; never a path."""
    notes: tuple[str, ...] = ()
    """How their files, and those of the pairs, were treated."""

    @cached_property
    def sha256(self) -> str:
        """Of the partners' pixels, in the order of the students."""
        return sha256_of(*self.pairs.targets)

    def others(self) -> Tensor:
        """The partners as a set, (N, C, H, W).

        Raises:
            BadImages: sizes differ.
        """
        channels = max(map(len, self.pairs.targets))
        found = [image.expand(channels, -1, -1) for image in self.pairs.targets]
        same = len({image.shape for image in found}) == 1
        return ReadSet(self.pairs.names, torch.stack(found) if same else found).stacked()

    def by_size(self, protocol: RestorationProtocol | None, crop: int) -> list[OneSize]:
        """Pairs of one size each, as whole images or as the planes of a protocol.

        Raises:
            NothingMeasured: nothing is left of images when their border is cut.
        """
        found = []
        for places in _places([image.shape for image in self.pairs.students]):
            own, other = (
                torch.stack([side[i] for i in places.tolist()])
                for side in (self.pairs.students, self.pairs.targets)
            )
            if protocol is not None:
                own, other = protocol.planes(own, crop), protocol.planes(other, crop)
            found.append(OneSize(places, _images(own), _images(other)))
        return found


def partners(student: Subject, other: Subject, *, role: str) -> Partners:
    """Pair by name, batches and drawn images by position, two single images as they are.

    Args:
        student: in whose order pairs are.
        other: targets, or a teacher.
        role: `target` or `teacher`.

    Raises:
        BadImages: a name without its partner, a name twice, or sizes that differ.
    """
    read = other.read
    if student.is_file and other.is_file:
        read = replace(read, names=student.read.names)
    pairs = pair(student.read, read)
    return Partners(role, pairs, other.name, (*read.notes, *pairs.notes))


def paired(own: list[Tensor], other: list[Tensor], role: str) -> Partners:
    """Images and their partners in one order."""
    names = tuple(map(str, range(len(own))))
    sides = (ReadSet(names, images, has_files=False) for images in (own, other))
    return Partners(role, pair(*sides), role)


def singles(read: ReadSet) -> list[OneSize]:
    """Images of one size each, without partners."""
    if isinstance(read.images, Tensor):
        return [OneSize(torch.arange(len(read)), _images(read.images))]
    images = read.images
    return [
        OneSize(places, _images(torch.stack([images[i] for i in places.tolist()])))
        for places in _places([image.shape for image in images])
    ]


def _places(shapes: list[torch.Size]) -> list[Tensor]:
    """Which images have one shape, in the order of first appearance."""
    by_shape: dict[torch.Size, list[int]] = {}
    for i, shape in enumerate(shapes):
        by_shape.setdefault(shape, []).append(i)
    return [torch.tensor(places) for places in by_shape.values()]


def _images(images: Tensor) -> Images:
    return Images(images, torch.full((len(images),), NO_LABEL))
