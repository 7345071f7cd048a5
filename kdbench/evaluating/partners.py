"""What belongs to each image: its target, or its teacher's image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from kdbench.digest import sha256_of
from kdbench.evaluating.subjects import Subject
from kdbench.reading import Pairs, ReadSet, pair

COLOURS = 3


@dataclass(frozen=True, eq=False)
class Partners:
    """Images with what each is compared with."""

    role: str
    """Whose images these are: `target` or `teacher`."""
    pairs: Pairs
    name: str
    """Of their file or folder, or `pair/arm`; never a path."""
    notes: tuple[str, ...] = ()
    """How their files were treated."""

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
    return Partners(role, pair(student.read, read, role=role), other.name, read.notes)


def in_colour(*given: Partners | None) -> frozenset[int]:
    """Which images are compared in three channels though some of them are grey.

    One rule for all that belong to one image: where the student's, the target or the teacher's is
    in colour, all of them are taken in three channels, and otherwise all stay grey. A protocol's
    planes of grey and of colour differ, and so would student and teacher against one target.
    """
    return frozenset[int]().union(*(one.pairs.widened for one in given if one is not None))


def widened(images: list[Tensor], places: frozenset[int]) -> list[Tensor]:
    """The same images, those at some places with their grey repeated in three channels.

    >>> grey = torch.zeros(1, 2, 2)
    >>> [tuple(image.shape) for image in widened([grey, grey], frozenset({1}))]
    [(1, 2, 2), (3, 2, 2)]
    """
    return [one.expand(COLOURS, -1, -1) if i in places else one for i, one in enumerate(images)]
