"""Pixel agreement of each image with its own target: PSNR and SSIM."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import metric

DATA_RANGE = 255.0

MSE_FLOOR = 1 / 12
"""Mean square of the error that rounding to whole grey levels makes (uniform on ±½)."""

PSNR_CAP_DB = 10 * math.log10(DATA_RANGE**2 / MSE_FLOOR)

WINDOW = 7
CHUNK = 250
"""Images at a time; SSIM holds about ten float64 copies of them."""


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

    Args:
        images, targets: (N, C, H, W), uint8.

    Returns:
        (N,), float64, dB.

    >>> black = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    >>> [round(float(psnr(black, black + level)), 2) for level in (0, 1, 255)]
    [58.92, 48.13, 0.0]
    """
    parts = zip(torch.split(images, CHUNK), torch.split(targets, CHUNK), strict=True)
    errors = [(a.double() - b.double()).square().flatten(1).mean(1) for a, b in parts]
    return 10 * torch.log10(DATA_RANGE**2 / torch.cat(errors).clamp(min=MSE_FLOOR))


@metric(
    kind="paired",
    name="ssim-uniform7",
    higher_is_better=True,
    bounds=(-1.0, 1.0),
    protocol="uint8, data range 255, uniform 7x7 window, sample covariance, valid region, "
    "mean over channels",
    source="Wang et al. 2004, eq. 13; scikit-image structural_similarity, default window",
)
def ssim_uniform7(images: Tensor, targets: Tensor) -> Tensor:
    """Structural similarity of each image, with the window that scikit-image takes by default.

    Wang's own window, a Gaussian of 11x11, does not fit into images of 8x8; values of the two
    windows are not comparable.

    Args:
        images, targets: (N, C, H, W), uint8, H and W at least 7.

    Returns:
        (N,), float64.

    Raises:
        NothingMeasured: the images are smaller than the window.
    """
    if min(images.shape[-2:]) < WINDOW:
        raise NothingMeasured(
            f"SSIM takes a window of {WINDOW}x{WINDOW} pixels: the images are "
            f"{images.shape[-2]}x{images.shape[-1]}."
        )
    parts = zip(torch.split(images, CHUNK), torch.split(targets, CHUNK), strict=True)
    return torch.cat([_similarity(a.double(), b.double()) for a, b in parts])


def _similarity(x: Tensor, y: Tensor) -> Tensor:
    """(N,) mean of the local similarity over every window that lies inside the image."""
    c1, c2 = (0.01 * DATA_RANGE) ** 2, (0.03 * DATA_RANGE) ** 2
    sample = WINDOW**2 / (WINDOW**2 - 1)
    mx, my = _mean(x), _mean(y)
    vx, vy = sample * (_mean(x * x) - mx * mx), sample * (_mean(y * y) - my * my)
    vxy = sample * (_mean(x * y) - mx * my)
    local = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return local.flatten(1).mean(1)


def _mean(x: Tensor) -> Tensor:
    return avg_pool2d(x, WINDOW, stride=1)
