"""What eyes see of the balance of coarse and fine in a single image: the slope of its spectrum."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import metric
from kdbench.metrics.chunks import by_chunk
from kdbench.metrics.luma import luma
from kdbench.metrics.visible_distance import distance

COARSEST = 3
"""Cycles along the shorter side: with fewer, the window's own spectrum is measured."""

SMALLEST = 24
"""Pixels: with a shorter side, fewer than two octaves are left below the finest frequency."""

ROUNDING = 1 / 12
"""Power that rounding to whole grey levels adds to every frequency, in (grey levels)²."""


@metric(
    kind="per-image",
    name="spectrum-slope",
    higher_is_better=None,
    protocol="BT.601 luma less its weighted mean, Hann window, mean power in rings of half an "
    "octave from 3 cycles a side to 0.5 cycles a pixel, plus 1/12; least squares of the logarithms",
    source="Field 1987, doi:10.1364/JOSAA.4.002379; van der Schaaf and van Hateren 1996, "
    "doi:10.1016/0042-6989(96)00002-8",
)
def spectrum_slope(images: Tensor) -> Tensor:
    """Exponent of the power spectrum: -2 to -3 for photographs, below if blurred, 0 for noise.

    Images that lack fine detail fall steeper. Noise on top of a blur hides it: the slope can be
    that of a sharp image. Blind to contrast, to phase and so to where anything is, and to colour.
    What is weaker than the noise of rounding is taken for it, so that a constant image has 0.

    Args:
        images: (N, 1 or 3, H, W), uint8; H and W at least 24.

    Returns:
        (N,), float64.

    Raises:
        NothingMeasured: a side is shorter than 24 pixels, or there are 2 or 4 channels.

    >>> noise = torch.randint(256, (1, 1, 64, 64), generator=torch.Generator().manual_seed(0))
    >>> abs(float(spectrum_slope(noise.byte()))) < 0.1
    True
    """
    height, width = images.shape[-2:]
    if min(height, width) < SMALLEST:
        raise NothingMeasured(
            f"The slope of the spectrum takes images of {SMALLEST} x {SMALLEST} pixels or more: "
            f"these are {height} x {width}."
        )
    return by_chunk(_slope, images)


spectrum_slope_distance = distance(spectrum_slope)


@lru_cache(maxsize=2)
def _rings(height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Where the frequencies belong that `rfft2` gives of an image, which are half of all.

    Returns:
        (F,), int64: the ring of each, from 0 for the finest; K if it is in none of K rings.
        (F,), float64: its share of the ring's mean.
        (K,), float64: the mean frequency of each ring, in cycles a pixel.
    """
    rows = torch.fft.fftfreq(height, dtype=torch.float64)[:, None]
    columns = torch.fft.rfftfreq(width, dtype=torch.float64)
    frequency = (rows.square() + columns.square()).sqrt().flatten()
    depth = 2 * torch.log2(0.5 / frequency.clamp(min=1e-9)) + 1e-9  # a ring has its upper end
    count = math.floor(2 * math.log2(0.5 * min(height, width) / COARSEST) + 1e-9)
    ring = torch.where((depth >= 0) & (depth < count), depth, count).long()
    halves = torch.where((columns > 0) & (columns < 0.5), 2.0, 1.0).double()  # mirrored or not
    share = halves.expand(height, -1).flatten()
    share = share / ring.bincount(share)[ring]
    return ring, share, ring.bincount(share * frequency)[:count]


def _slope(images: Tensor) -> Tensor:
    grey = luma(images)
    n, height, width = grey.shape
    window = torch.outer(_hann(height), _hann(width))
    window /= window.norm()
    centred = grey - (grey * window).sum((1, 2), keepdim=True) / window.sum()
    power = torch.fft.rfft2(centred * window).abs().square_().flatten(1)
    ring, share, frequency = _rings(height, width)
    count = len(frequency) + 1
    places = ring + count * torch.arange(n)[:, None]
    means = places.flatten().bincount(power.mul_(share).flatten()).view(n, count)[:, :-1]
    octaves = frequency.log()
    octaves = octaves - octaves.mean()
    slope: Tensor = (means + ROUNDING).log() @ (octaves / octaves.square().sum())
    return slope


def _hann(length: int) -> Tensor:
    return torch.hann_window(length, periodic=False, dtype=torch.float64)
