"""What eyes see of texture in a single image: entropy, homogeneity, slope of the spectrum.

None is better by itself: noise has texture, too. A student should be like the real images, which
is what each metric's `-distance` measures.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import metric
from kdbench.metrics.chunks import by_chunk
from kdbench.metrics.luma import luma
from kdbench.metrics.visible_distance import distance

TILE = 9
"""Pixels along a side: 81 in a tile, about those of scikit-image's usual disk of radius 5."""

LEVELS = 256


@metric(
    kind="per-image",
    name="texture-entropy",
    higher_is_better=None,
    unit="bits",
    bounds=(0.0, math.log2(TILE**2)),
    protocol="BT.601 luma rounded to 256 levels, tiles of 9x9 pixels from the upper left, mean "
    "over whole tiles",
    source="scikit-image filters.rank.entropy (Shannon, base 2), at every ninth pixel",
)
def texture_entropy(images: Tensor) -> Tensor:
    """Mean entropy of the grey levels in small tiles: how much goes on within 9 pixels.

    Blind to how far apart grey levels are: faint grain counts as much as strong texture. It is near
    its bound with any noise of some 20 grey levels. Blind to colour.

    Args:
        images: (N, 1 or 3, H, W), uint8; H and W at least 9.

    Returns:
        (N,), float64, bits.

    Raises:
        NothingMeasured: a side is shorter than 9 pixels, or there are 2 or 4 channels.

    >>> stripes = (torch.arange(18) % 2).byte().expand(1, 1, 9, 18)
    >>> texture_entropy(stripes).round(decimals=4)  # 36 against 45 pixels of one level
    tensor([0.9911], dtype=torch.float64)
    """
    return by_chunk(_tile_entropy, _with_sides(images, TILE, "Entropy of tiles"))


@metric(
    kind="per-image",
    name="texture-homogeneity",
    higher_is_better=None,
    bounds=(0.0, 1.0),
    protocol="BT.601 luma rounded to 256 levels, pairs of neighbours in 4 directions, mean over "
    "directions of the mean of 1 / (1 + difference²)",
    source="Haralick et al. 1973, doi:10.1109/TSMC.1973.4309314, inverse difference moment; "
    "scikit-image graycomatrix and graycoprops, homogeneity",
)
def texture_homogeneity(images: Tensor) -> Tensor:
    """Homogeneity of the grey-level co-occurrence matrix: 1 where neighbours are alike.

    Rises where a student irons out fine texture, of which strong edges take no notice. Saturated
    black and white count as perfectly smooth; blind to texture coarser than a pixel, to whether
    fine texture is noise, and to colour. The matrix's contrast is left out: it is the mean squared
    difference of neighbours, which `edge-energy` is as well.

    Args:
        images: (N, 1 or 3, H, W), uint8; H and W at least 2.

    Returns:
        (N,), float64.

    Raises:
        NothingMeasured: a side is shorter than 2 pixels, or there are 2 or 4 channels.

    >>> stripes = (torch.arange(6) % 2).byte().expand(1, 1, 6, 6)
    >>> texture_homogeneity(stripes)  # 1 along the stripes, 1/2 in the other three directions
    tensor([0.6250], dtype=torch.float64)
    """
    return by_chunk(_homogeneity, _with_sides(images, 2, "Homogeneity of neighbours"))


texture_entropy_distance = distance(texture_entropy)
texture_homogeneity_distance = distance(texture_homogeneity)


def _with_sides(images: Tensor, least: int, what: str) -> Tensor:
    if min(images.shape[-2:]) < least:
        raise NothingMeasured(
            f"{what} takes images of {least} x {least} pixels or more: these are "
            f"{images.shape[-2]} x {images.shape[-1]}."
        )
    return images


def _levels(images: Tensor) -> Tensor:
    """(N, H, W), int64, 0…255."""
    return luma(images).round().long()


def _tile_entropy(images: Tensor) -> Tensor:
    tiles = _levels(images).unfold(1, TILE, TILE).unfold(2, TILE, TILE).flatten(3).flatten(1, 2)
    return by_chunk(_entropy, tiles.flatten(0, 1)).view(tiles.shape[:2]).mean(1)


def _entropy(tiles: Tensor) -> Tensor:
    """(T,) bits of tiles (T, pixels) of grey levels."""
    count, size = tiles.shape
    places = tiles + LEVELS * torch.arange(count)[:, None]
    histogram = places.flatten().bincount(minlength=count * LEVELS).view(count, LEVELS)
    share = torch.arange(size + 1, dtype=torch.float64) / size
    terms: Tensor = (torch.special.entr(share) / math.log(2))[histogram]
    return terms.sum(1)


def _homogeneity(images: Tensor) -> Tensor:
    levels = _levels(images)
    pairs = (
        (levels[:, :, 1:], levels[:, :, :-1]),
        (levels[:, 1:], levels[:, :-1]),
        (levels[:, 1:, 1:], levels[:, :-1, :-1]),
        (levels[:, 1:, :-1], levels[:, :-1, 1:]),
    )
    alike = 1 / (1 + torch.arange(LEVELS, dtype=torch.float64).square())
    means = [alike[(a - b).abs()].flatten(1).mean(1) for a, b in pairs]
    return torch.stack(means).mean(0)
