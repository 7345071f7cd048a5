"""An extractor that says how far it is, and why it does not take some images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.features.base import Extractor
from kdbench.stages import Progress


@dataclass(frozen=True, eq=False)
class _Watched(Extractor):
    told: Callable[[int], None] = lambda n: None

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        try:
            found = super().__call__(images)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, IndexError) as error:
            size = "×".join(map(str, images.shape[1:]))
            name = self.id.partition(":")[0]
            raise NothingMeasured(f"{name} does not take images of {size} (C×H×W).") from error
        self.told(len(images))
        return found


def watched(extractor: Extractor, whose: str, total: int, *, progress: Progress) -> Extractor:
    """The same extractor, for one set of images.

    Args:
        extractor: which.
        whose: the images are, in words.
        total: images in the set.
        progress: told after every few of them.

    Returns:
        One that raises NothingMeasured where the network fails on images of some size.
    """
    done = 0

    def told(n: int) -> None:
        nonlocal done
        done = min(done + n, total)
        progress(f"features of the {whose}", done, total)

    return _Watched(extractor.id, extractor.network, extractor.at_once, told)
