"""Bicubic resizing as MATLAB's imresize: what super-resolution degrades and is compared with.

Keys' kernel with a = -1/2, stretched by the factor when an image shrinks (antialiasing); pixel
centres at halves, the border mirrored with its last pixel twice. Pillow has the same kernel and
cuts it off at the border; OpenCV and, without antialiasing, torch have a = -3/4.

Source: Keys 1981, doi:10.1109/TASSP.1981.1163711, section IV; MATLAB's imresize.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

import torch
from torch import Tensor

from kdbench.errors import NothingMeasured


def shrink(images: Tensor, scale: int) -> Tensor:
    """Images smaller by a whole factor, of which both sides are multiples; see `resize`.

    Raises:
        NothingMeasured: a side is not a multiple of `scale`; see `mod_crop`.
    """
    height, width = images.shape[-2:]
    if height % scale or width % scale:
        raise NothingMeasured(f"{height}x{width} pixels cannot be divided by {scale}: crop first.")
    return resize(images, Fraction(1, scale))


def enlarge(images: Tensor, scale: int) -> Tensor:
    """Images larger by a whole factor; see `resize`."""
    return resize(images, Fraction(scale))


def mod_crop(images: Tensor, scale: int) -> Tensor:
    """Images without the last rows and columns that `scale` does not divide.

    >>> mod_crop(torch.zeros(1, 3, 9, 8), 4).shape
    torch.Size([1, 3, 8, 8])
    """
    height, width = images.shape[-2:]
    return images[..., : height - height % scale, : width - width % scale]


def resize(images: Tensor, scale: Fraction) -> Tensor:
    """MATLAB's `imresize(image, scale, "bicubic")`.

    Sides are rounded up. As in MATLAB, whole numbers are rounded after each of the two directions,
    rows first, and halves away from 0.

    Args:
        images: (…, H, W), uint8, or float in any unit.
        scale: above 0.

    Returns:
        (…, ⌈scale·H⌉, ⌈scale·W⌉), uint8, or float64.

    >>> resize(torch.tensor([[0, 0, 255, 255]]).byte().expand(4, 4), Fraction(2))[0].tolist()
    [0, 0, 0, 52, 203, 255, 255, 255]
    """
    height, width = images.shape[-2:]
    rows, columns = (weights(side, scale) for side in (height, width))
    if images.dtype != torch.uint8:
        return rows @ images.double() @ columns.T
    return _rounded(_rounded(rows @ images.double()).double() @ columns.T)


@lru_cache(maxsize=64)
def weights(length: int, scale: Fraction) -> Tensor:
    """(⌈scale·length⌉, length), float64: each new pixel as a sum over the old ones of one line."""
    size, squeeze = math.ceil(scale * length), min(1.0, float(scale))
    centres = (torch.arange(size, dtype=torch.float64) + 0.5) / float(scale) - 0.5
    reach = math.ceil(2 / squeeze)
    places = centres.floor()[:, None] + torch.arange(-reach, reach + 2)
    shares = squeeze * _cubic(squeeze * (centres[:, None] - places))
    shares /= shares.sum(1, keepdim=True)
    mirrored = places.long() % (2 * length)
    mirrored = torch.minimum(mirrored, 2 * length - 1 - mirrored)
    return torch.zeros(size, length, dtype=torch.float64).scatter_add_(1, mirrored, shares)


def _cubic(x: Tensor) -> Tensor:
    """Keys' kernel with a = -1/2, 0 from 2 on."""
    x = x.abs()
    inner = (1.5 * x - 2.5) * x**2 + 1
    outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x <= 1, inner, torch.where(x < 2, outer, 0.0))


def _rounded(values: Tensor) -> Tensor:
    return values.clamp_(0, 255).add_(0.5).floor_().byte()
