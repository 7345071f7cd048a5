"""Structural similarity of each image with its own target, in the windows of two conventions.

    SSIM = mean over windows of l · cs,   l = (2 μx μy + c1) / (μx² + μy² + c1),
                                         cs = (2 σxy + c2) / (σx² + σy² + c2)

Libraries disagree by up to 0.25 on one pair: scikit-image's default window is uniform and its
covariance that of a sample; torchmetrics keeps the padded border in the mean; piq halves large
images first; pyiqa takes a rounded luma. Each convention here has a name of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import metric
from kdbench.metrics.chunks import by_chunk

C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

_BELLS = [math.exp(-(i**2) / (2 * 1.5**2)) for i in range(-5, 6)]
GAUSSIAN = tuple(bell / sum(_BELLS) for bell in _BELLS)
"""Wang's window along one side: 11 pixels, standard deviation 1.5."""

UNIFORM = (1 / 7,) * 7
SAMPLE = 49 / 48
"""Covariance of the 49 pixels of a uniform window with divisor 48, over that with divisor 49."""


@metric(
    kind="paired",
    higher_is_better=True,
    bounds=(-1.0, 1.0),
    protocol="uint8, data range 255, Gaussian 11x11 window of sigma 1.5, population covariance, "
    "valid region, mean over channels",
    source="Wang et al. 2004, doi:10.1109/TIP.2003.819861, eq. 13, and its authors' ssim_index.m; "
    "scikit-image structural_similarity with gaussian_weights",
)
def ssim(images: Tensor, targets: Tensor) -> Tensor:
    """Structural similarity of each image, as its authors compute it.

    Not resized first: the authors' advice to halve large images is left to whoever prepares them.
    It forgives shifts of brightness and contrast that PSNR counts, takes each channel for itself,
    and is blind to texture that is wrong in place but right in kind; in flat dark places it sees
    the smallest noise.

    Args:
        images, targets: (N, C, H, W), uint8 or planes in grey levels, float64; H, W at least 11.

    Returns:
        (N,), float64.

    Raises:
        NothingMeasured: the images are smaller than the window.

    >>> import torch
    >>> ramp = torch.arange(256).reshape(1, 1, 16, 16).byte()
    >>> [round(float(ssim(ramp, y)), 3) for y in (ramp, ramp // 2, 255 - ramp)]
    [1.0, 0.65, -0.826]
    """
    return _mean_similarity(images, targets, GAUSSIAN, 1.0)


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

    For images into which Wang's own window, a Gaussian of 11x11, does not fit; values of the two
    windows are not comparable. Blind to what `ssim` is blind to.

    Args:
        images, targets: (N, C, H, W), uint8, H and W at least 7.

    Returns:
        (N,), float64.

    Raises:
        NothingMeasured: the images are smaller than the window.

    >>> import torch
    >>> image = torch.randint(0, 256, (1, 1, 8, 8), dtype=torch.uint8)
    >>> round(float(ssim_uniform7(image, image)), 9)
    1.0
    """
    return _mean_similarity(images, targets, UNIFORM, SAMPLE)


def similarity_maps(
    x: Tensor, y: Tensor, window: Sequence[float], sample: float = 1.0
) -> tuple[Tensor, Tensor]:
    """The maps l and cs of planes (n, H, W): (n, H - K + 1, W - K + 1) each, float64.

    Args:
        x, y: in grey levels, float64.
        window: K weights along one side, symmetric and of sum 1.
        sample: what covariances are multiplied by.
    """
    mx, my = windowed(x, window), windowed(y, window)
    product, squares = mx * my, mx.square_().add_(my.square_())
    covariance = windowed(x * y, window).sub_(product)
    variances = windowed(x.square().addcmul_(y, y), window).sub_(squares)
    luminance = product.mul_(2).add_(C1).div_(squares.add_(C1))
    structure = covariance.mul_(2 * sample).add_(C2).div_(variances.mul_(sample).add_(C2))
    return luminance, structure


def windowed(x: Tensor, window: Sequence[float]) -> Tensor:
    """Weighted means over every window of K x K pixels that lies inside planes (…, H, W).

    The weights are symmetric, so that the outermost two are one sum of two pixels, which the others
    are scaled to: one pass over the planes less in each direction.

    >>> import torch
    >>> windowed(torch.ones(1, 3, 4), (0.25, 0.5, 0.25)).tolist()
    [[[1.0, 1.0]]]
    """
    for side in (-2, -1):
        length = x.shape[side] - len(window) + 1
        total = x.narrow(side, 0, length) + x.narrow(side, len(window) - 1, length)
        for start, weight in enumerate(window[1:-1], 1):
            total.add_(x.narrow(side, start, length), alpha=weight / window[0])
        x = total
    return x.mul_(window[0] ** 2)


def _mean_similarity(
    images: Tensor, targets: Tensor, window: Sequence[float], sample: float
) -> Tensor:
    """(N,): the mean over all windows and channels."""
    size, (n, channels, height, width) = len(window), images.shape
    if min(height, width) < size:
        raise NothingMeasured(
            f"SSIM takes a window of {size}x{size} pixels: the images are {height}x{width}."
        )

    def similarity(x: Tensor, y: Tensor) -> Tensor:
        luminance, structure = similarity_maps(x.double(), y.double(), window, sample)
        return luminance.mul_(structure).flatten(1).mean(1)

    planes = by_chunk(similarity, images.flatten(0, 1), targets.flatten(0, 1))
    return planes.view(n, channels).mean(1)
