"""Pixel agreement of each image with its own target: PSNR and L1."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kdbench.metrics.base import metric
from kdbench.metrics.chunks import by_chunk

DATA_RANGE = 255.0

MSE_FLOOR = 1 / 12
"""Mean square of the error that rounding to whole grey levels makes (uniform on ±½)."""

PSNR_CAP_DB = 10 * math.log10(DATA_RANGE**2 / MSE_FLOOR)


@metric(
    kind="paired",
    higher_is_better=True,
    unit="dB",
    bounds=(0.0, PSNR_CAP_DB),
    protocol="uint8, data range 255, all channels, per image, MSE floored at 1/12 (58.92 dB)",
    source="10 log10(255^2 / MSE); scikit-image peak_signal_noise_ratio below the cap",
)
def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image.

    Identical images would be infinitely good and so would any mean over them. An MSE below 1/12
    is therefore taken as 1/12, the square of rounding alone: finer agreement than that cannot be
    told from what quantising both images did. Nothing at or below 58.92 dB is changed by it.

    It is blind to where an error is and to what it looks like: a shift by half a pixel costs more
    than a blur, and the mean of all plausible images does better than any one of them.

    Args:
        images, targets: (N, C, H, W), uint8 or planes in grey levels, float64.

    Returns:
        (N,), float64, dB.

    >>> black = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    >>> [round(float(psnr(black, black + level)), 2) for level in (0, 1, 255)]
    [58.92, 48.13, 0.0]
    """
    errors = by_chunk(lambda a, b: _difference(a, b).square_().mean(1), images, targets)
    return 10 * torch.log10(DATA_RANGE**2 / errors.clamp(min=MSE_FLOOR))


@metric(
    kind="paired",
    higher_is_better=False,
    unit="grey levels",
    bounds=(0.0, DATA_RANGE),
    protocol="uint8, data range 255, all channels, per image",
    source="mean of |image - target|; scikit-learn mean_absolute_error",
)
def l1(images: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute difference of each image, in grey levels of 255.

    Papers that scale images to [0, 1] print a 255th of it. Large errors weigh less than in PSNR,
    and the median of all plausible images does better than any one of them; it is as blind to
    where an error is and to what it looks like.

    Args:
        images, targets: (N, C, H, W), uint8 or planes in grey levels, float64.

    Returns:
        (N,), float64, grey levels.

    >>> black = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    >>> l1(black, black + 3)
    tensor([3.], dtype=torch.float64)
    """
    return by_chunk(lambda a, b: _difference(a, b).abs_().mean(1), images, targets)


def _difference(images: Tensor, targets: Tensor) -> Tensor:
    """(N, C·H·W), float64."""
    return (images.double() - targets).flatten(1)
