"""What eyes see of edges and fine detail in a single image: sharpness and edge energy.

None is better by itself: noise is sharp, too. A student should be like the real images, which is
what each metric's `-distance` measures.
"""

from __future__ import annotations

from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import metric
from kdbench.metrics.chunks import by_chunk
from kdbench.metrics.luma import luma
from kdbench.metrics.visible_distance import distance

SIDE = 3
"""Pixels of both filters."""


@metric(
    kind="per-image",
    higher_is_better=None,
    unit="(grey levels)²",
    bounds=(0.0, None),
    protocol="BT.601 luma, Laplacian of 4 neighbours, valid region, divisor the number of pixels",
    source="Pech-Pacheco et al. 2000, doi:10.1109/ICPR.2000.903548; scikit-image laplace",
)
def sharpness(images: Tensor) -> Tensor:
    """Variance of the Laplacian of an image's grey levels: the finest detail.

    Grows with the square of contrast, and is blind to the difference between detail and noise:
    noise, ringing and the borders of JPEG's blocks count as sharp. Blind to colour.

    Args:
        images: (N, 1 or 3, H, W), uint8; H and W at least 3.

    Returns:
        (N,), float64.

    Raises:
        NothingMeasured: a side is shorter than 3 pixels, or there are 2 or 4 channels.

    >>> import torch
    >>> dot = torch.zeros(1, 1, 5, 5, dtype=torch.uint8)
    >>> dot[..., 2, 2] = 9
    >>> round(float(sharpness(dot)), 9)  # 36, four times -9 and four zeros
    180.0
    """
    return by_chunk(_laplacian_variance, _large_enough(images))


@metric(
    kind="per-image",
    name="edge-energy",
    higher_is_better=None,
    unit="(grey levels per pixel)²",
    bounds=(0.0, None),
    protocol="BT.601 luma, mean squared gradient in grey levels per pixel by Sobel's filters with "
    "weights of sum 1/2 a side, valid region",
    source="Krotkov 1988, doi:10.1007/BF00127822, Tenengrad without its threshold; a quarter of "
    "scikit-image's sobel_h² + sobel_v², whose weights have sum 1 a side",
)
def edge_energy(images: Tensor) -> Tensor:
    """Mean squared gradient of an image's grey levels: how many edges, and how strong.

    Coarser than `sharpness`, so that noise and a slight blur move it less. Grows with the square
    of contrast; blind to what an edge belongs to, and to colour.

    Args:
        images: (N, 1 or 3, H, W), uint8; H and W at least 3.

    Returns:
        (N,), float64.

    Raises:
        NothingMeasured: a side is shorter than 3 pixels, or there are 2 or 4 channels.

    >>> import torch
    >>> ramp = torch.arange(0, 40, 4).byte().expand(1, 1, 6, 10)
    >>> edge_energy(ramp)
    tensor([16.], dtype=torch.float64)
    """
    return by_chunk(_mean_squared_gradient, _large_enough(images))


sharpness_distance = distance(sharpness)
edge_energy_distance = distance(edge_energy)


def _large_enough(images: Tensor) -> Tensor:
    if min(images.shape[-2:]) < SIDE:
        raise NothingMeasured(
            f"A filter of {SIDE} x {SIDE} pixels does not fit into images of "
            f"{images.shape[-2]} x {images.shape[-1]}."
        )
    return images


def _laplacian_variance(images: Tensor) -> Tensor:
    grey = luma(images)
    neighbours = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    return (4 * grey[:, 1:-1, 1:-1] - neighbours).flatten(1).var(1, correction=0)


def _mean_squared_gradient(images: Tensor) -> Tensor:
    grey = luma(images)
    down = _smoothed(grey.mT).mT
    down, right = down[:, 2:] - down[:, :-2], _smoothed(grey)
    right = right[:, :, 2:] - right[:, :, :-2]
    return (down.square() + right.square()).flatten(1).mean(1) / 4  # over two pixels


def _smoothed(grey: Tensor) -> Tensor:
    """Means of three rows with weights 1, 2, 1."""
    return (grey[:, :-2] + 2 * grey[:, 1:-1] + grey[:, 2:]) / 4
