"""Learned perceptual distance of each image to its own target, in three networks.

Values of different networks are not comparable, and papers often do not say which they took.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import Metric, metric
from kdbench.metrics.features.base import Extractor, shared_extractor

ELEMENTS = 2**22
"""Numbers of the embedding at a time: 16 MiB a side in float32."""

SAID = """Perceptual distance (LPIPS) of each image to its target, in {network}.

0 for equal images. It counts blur that PSNR hardly sees and forgives texture that is displaced by
little. Blind to what a network that names objects does not look at, and to whether a picture makes
sense. Images are taken in the size they have; people's judgements, to which it was fitted, were of
patches of 64 x 64 pixels.

Args:
    images, targets: (N, 1 or 3, H, W), uint8; grey becomes three channels.

Returns:
    (N,), float64.

Raises:
    NothingMeasured: the images are not uint8, have 2 or 4 channels or are too small.
    WeightsError: weights of the network are missing or damaged.

>>> from kdbench.metrics.collection import measure_images
>>> same = torch.full((2, 3, 64, 64), 128, dtype=torch.uint8)
>>> found = measure_images(["{name}"], same, targets=same)["{name}@1"]
>>> found.value in (0.0, None)  # None without the network's weights; `reason` says so
True
"""


def perceptual_distance(extractor: Extractor, images: Tensor, targets: Tensor) -> Tensor:
    """LPIPS of N pairs through an extractor that gives LPIPS's embedding.

    Args:
        extractor: uint8 images to embeddings (n, F), float32.
        images, targets: (N, C, H, W), uint8.

    Returns:
        (N,), float64.

    Raises:
        NothingMeasured: the images are not uint8, or the extractor does not take them.
    """
    if images.dtype != torch.uint8 or targets.dtype != torch.uint8:
        raise NothingMeasured("LPIPS compares uint8 images: these are points, or planes of images.")
    return embedded_distance(extractor, images, targets)


def embedded_distance(extractor: Extractor, images: Tensor, targets: Tensor) -> Tensor:
    """What `perceptual_distance` gives, of images that need not have been rounded to uint8.

    Args:
        extractor: images to embeddings (n, F), float32.
        images, targets: (N, C, H, W), uint8 or float32 on its scale of [0, 255].

    Returns:
        (N,), float64.

    Raises:
        NothingMeasured: the extractor does not take the images.
    """
    found: list[Tensor] = []
    start, count = 0, 1  # the first pair alone tells F, and with it how many fit
    while start < len(images):
        part = slice(start, start + count)
        x, y = (extractor(side[part])[0] for side in (images, targets))
        found.append((x - y).square_().sum(1, dtype=torch.float64).cpu())
        start, count = start + count, max(1, ELEMENTS // x.shape[1])
    return torch.cat(found)


def lpips_metric(trunk: str, network: str) -> Metric:
    """`lpips-TRUNK`: LPIPS in the extractor of this name.

    Args:
        trunk: as the package `lpips` calls it.
        network: its name in full.
    """
    name = f"lpips-{trunk}"

    def distance(images: Tensor, targets: Tensor) -> Tensor:
        return perceptual_distance(shared_extractor(f"{name}@1"), images, targets)

    distance.__doc__ = SAID.format(name=name, network=network)
    return metric(
        kind="paired",
        name=name,
        higher_is_better=False,
        bounds=(0.0, None),
        extractor=f"{name}@1",
        protocol=f"uint8, LPIPS v0.1, {network}, images as they are, per image",
        source="Zhang et al. 2018, arXiv:1801.03924, eq. 1, and its authors' package lpips 0.1.4",
    )(distance)


lpips_alex = lpips_metric("alex", "AlexNet")
lpips_vgg = lpips_metric("vgg", "VGG-16")
lpips_squeeze = lpips_metric("squeeze", "SqueezeNet 1.1")
