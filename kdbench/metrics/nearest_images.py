"""The neighbours themselves: which generated images lie closest to which training images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdbench.metrics.base import ImageSet
from kdbench.metrics.memorisation import nearest_other, nearest_training


@dataclass(frozen=True)
class Pair:
    """A generated image and the training image that it is nearest to."""

    generated: int
    """Its number among the generated images."""
    train: int
    """Its number among the training images."""
    ratio: float
    """Of their distance to that of the training image to its own nearest other."""


def closest_pairs(generated: ImageSet, train: ImageSet, *, count: int = 8) -> list[Pair]:
    """The generated images that are closest to a training image, measured by its surroundings.

    They are to be looked at: a copy and a good image of a kind that varies little have the same
    ratio. Blind to altered copies of training images that have an identical twin.

    Args:
        generated, train: features (N, D) and (T, D), float32, N and T at least 2.
        count: how many; all of them if there are fewer.

    Returns:
        By rising ratio, then distance, then number. The ratio of a copy is 0; that of an image
        beside a training image with an identical twin is infinite.

    Raises:
        NothingMeasured: see `feature_pair`.

    >>> import torch
    >>> train, made = torch.tensor([[0.0], [4.0], [6.0]]), torch.tensor([[1.0], [5.0]])
    >>> sets = [ImageSet(x, torch.zeros(len(x)), x) for x in (made, train)]
    >>> closest_pairs(*sets, count=1)
    [Pair(generated=0, train=0, ratio=0.25)]
    """
    squared, index = nearest_training(generated, train)
    ratios = (squared / nearest_other(train)[index]).sqrt().masked_fill(squared == 0, 0.0)
    order = np.lexsort((squared.numpy(), ratios.numpy()))[:count]
    return [Pair(i, int(index[i]), float(ratios[i])) for i in order.tolist()]
