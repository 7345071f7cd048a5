"""Multi-scale structural similarity of each image with its own target.

    MS-SSIM = l₅ · Π over scales j = 1 … 5 of cs_j ^ w_j   (l₅ with the exponent w₅ as well)

Libraries disagree where a side is odd, on the border, and on negative similarity: see `ms_ssim`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import metric
from kdbench.metrics.chunks import by_chunk
from kdbench.metrics.ssim import GAUSSIAN, similarity_maps

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales, from the finest (Wang et al. 2003, section 3.2)."""

SMALLEST = len(GAUSSIAN) * 2 ** (len(WEIGHTS) - 1)
"""Pixels: with a shorter side the authors' msssim.m gives -Inf."""


@metric(
    kind="paired",
    name="ms-ssim",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    protocol="uint8, data range 255, Gaussian 11x11 window of sigma 1.5, population covariance, "
    "valid region, 5 scales, odd sides repeat their last pixel, negative similarity taken as 0, "
    "mean over channels",
    source="Wang et al. 2003, doi:10.1109/ACSSC.2003.1292216, eq. 7, and its authors' msssim.m",
)
def ms_ssim(images: Tensor, targets: Tensor) -> Tensor:
    """Multi-scale structural similarity of each image, as its authors compute it.

    Each channel is an image of its own. Where a mean similarity of a scale is negative, the
    authors' power is a complex number; it is taken as 0 here, as in TensorFlow and piq. piq
    agrees where sides are multiples of 16 and repeats the first pixel elsewhere; torchmetrics
    drops the last one, averages channels before the product and counts the padded border in l₅.

    Blind to what `ssim` is blind to; fine detail weighs less, as seen from further away.

    Args:
        images, targets: (N, C, H, W), uint8 or planes in grey levels, float64; H, W at least 176.

    Returns:
        (N,), float64.

    Raises:
        NothingMeasured: a side is shorter than 176 pixels.

    >>> image = torch.randint(0, 256, (1, 1, 176, 176), dtype=torch.uint8)
    >>> float(ms_ssim(image, image))
    1.0
    """
    n, channels, height, width = images.shape
    if min(height, width) < SMALLEST:
        raise NothingMeasured(
            f"MS-SSIM takes images of {SMALLEST} x {SMALLEST} pixels or more: these are "
            f"{height} x {width}."
        )
    planes = by_chunk(_of_planes, images.flatten(0, 1), targets.flatten(0, 1))
    return planes.view(n, channels).mean(1)


def _of_planes(images: Tensor, targets: Tensor) -> Tensor:
    """(n,) of planes (n, H, W)."""
    x, y = images.double(), targets.double()
    value = torch.ones(len(x), dtype=torch.float64)
    for scale, weight in enumerate(WEIGHTS, 1):
        luminance, structure = similarity_maps(x, y, GAUSSIAN)
        if scale == len(WEIGHTS):
            structure.mul_(luminance)
        value *= structure.flatten(1).mean(1).clamp(min=0) ** weight
        x, y = _halved(x), _halved(y)
    return value


def _halved(x: Tensor) -> Tensor:
    """Means of 2 x 2 pixels; an odd side repeats its last pixel."""
    return avg_pool2d(pad(x, (0, x.shape[2] % 2, 0, x.shape[1] % 2), mode="replicate"), 2)
