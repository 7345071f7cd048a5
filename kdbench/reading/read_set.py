"""What was read: images, what they are called, and how they were treated."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from kdbench.digest import sha256_of
from kdbench.reading.errors import BadImages, lines


@dataclass(frozen=True, eq=False)
class ReadSet:
    """Images in natural order of their names."""

    names: tuple[str, ...]
    """Of files with `/` between class and file; of a batch, the positions."""
    images: Tensor | list[Tensor]
    """(N, C, H, W) uint8 where all sizes agree, otherwise a list of (C, H, W); C is 1 or 3."""
    labels: Tensor | None = None
    """(N,), int64."""
    classes: tuple[str, ...] = ()
    """Names of sub-folders; a label is a position here."""
    notes: tuple[str, ...] = ()
    """What was counted and how it was treated, in sentences."""
    has_files: bool = True
    """Whether names are those of files."""
    widened: frozenset[int] = frozenset()
    """Positions of grey images that were repeated in three channels beside colour ones."""

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def content(self) -> str:
        """SHA-256 over the pixels; that of the stacked images where sizes agree."""
        return sha256_of(*([self.images] if isinstance(self.images, Tensor) else self.images))

    def stacked(self) -> Tensor:
        """(N, C, H, W), uint8.

        Raises:
            BadImages: sizes differ; the message counts them.
        """
        if isinstance(self.images, Tensor):
            return self.images
        sizes = Counter(size_of(image) for image in self.images)
        found = [f"{size} ({n:,})" for size, n in sizes.most_common()]
        raise BadImages(f"A set must have one size, width × height; here are:{lines(found)}")


def size_of(image: Tensor) -> str:
    """Width × height of (C, H, W)."""
    return f"{image.shape[2]}×{image.shape[1]}"


def alike(images: Tensor | list[Tensor]) -> list[str]:
    """A note where all images, at least two, have the same pixels."""
    if len(images) < 2 or not all(torch.equal(image, images[0]) for image in images):
        return []
    return [f"All {len(images):,} images have the same pixels."]
