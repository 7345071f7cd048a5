"""The neighbours themselves: generated images beside the training images nearest to them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import ImageSet
from kdbench.metrics.memorisation import nearest_other, nearest_training

TILE_PIXELS = 64
"""Small images are enlarged by a whole factor to at least this height and width."""
GAP_PIXELS = 4

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Pair:
    """A generated image and the training image that it is nearest to."""

    generated: int
    """Its number among the generated images."""
    train: int
    """Its number among the training images."""
    ratio: float
    """Of `distance` to that of the training image to its own nearest other: 1 and less is close."""
    distance: float
    """Euclidean, in the extractor's features."""


def closest_pairs(generated: ImageSet, train: ImageSet, *, count: int = 8) -> list[Pair]:
    """The generated images that are closest to a training image, measured by its surroundings.

    Args:
        generated, train: features (N, D) and (T, D), float32, N and T at least 2.
        count: how many; all of them if there are fewer.

    Returns:
        By rising ratio, then distance, then number. The ratio of a copy is 0; that of an image
        beside a training image with an identical twin is infinite.

    Raises:
        NothingMeasured: see `feature_pair`.
    """
    squared, index = nearest_training(generated, train)
    ratios = (squared / nearest_other(train)[index]).sqrt().masked_fill(squared == 0, 0.0)
    order = np.lexsort((squared.numpy(), ratios.numpy()))[:count]
    distances = squared.sqrt()
    return [Pair(i, int(index[i]), float(ratios[i]), float(distances[i])) for i in order.tolist()]


def pairs_picture(generated: Tensor, train: Tensor, pairs: Sequence[Pair]) -> bytes:
    """Two rows of tiles: generated images above, the nearest training image below each.

    Args:
        generated, train: (N, C, H, W) and (T, C, H, W), uint8, one or three channels.
        pairs: of these images, one or more, from left to right.

    Returns:
        A PNG, the same bytes for the same images.

    Raises:
        NothingMeasured: there are no pairs, or the images are not pictures.
    """
    if not pairs:
        raise NothingMeasured("There are no pairs of images to show.")
    if generated.dtype != torch.uint8 or generated.shape[1] not in (1, 3):
        raise NothingMeasured("Only uint8 images of one or three channels have a picture.")
    rows = (
        [generated[pair.generated] for pair in pairs],
        [train[pair.train] for pair in pairs],
    )
    gap = np.full((GAP_PIXELS, *_row(rows[0]).shape[1:]), 255, np.uint8)
    picture = np.concatenate([_row(rows[0]), gap, _row(rows[1])])
    buffer = io.BytesIO()
    Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture).save(buffer, "PNG")
    return buffer.getvalue()


def _row(images: Sequence[Tensor]) -> Pixels:
    """(height, width, C): enlarged tiles side by side, white between them."""
    tiles = [_enlarged(image.permute(1, 2, 0).numpy()) for image in images]
    gap = np.full((len(tiles[0]), GAP_PIXELS, tiles[0].shape[-1]), 255, np.uint8)
    parts = [part for tile in tiles for part in (gap, tile)]
    return np.concatenate(parts[1:], axis=1)


def _enlarged(image: Pixels) -> Pixels:
    """Each pixel repeated a whole number of times."""
    factor = max(1, -(-TILE_PIXELS // min(image.shape[:2])))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)
