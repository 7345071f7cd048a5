"""Pairwise LPIPS: the mean perceptual distance between the images of a set, exact for any N.

LPIPS is a squared distance in its embedding (`kdbench.metrics.features.lpips`), so its mean
over all pairs needs one pass over the images and sums of the embedding's length F (31,872 for
64 x 64 pixels, about 600,000 for 256 x 256); embeddings of more than a few images are never held.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import ImageSet
from kdbench.metrics.features.base import shared_extractor
from kdbench.metrics.pairwise import Rows, pairwise_metrics

EXTRACTOR = "lpips-alex@1"


def embedded(images: ImageSet, which: str) -> Rows:
    """Rows of the LPIPS embedding of a set's images, computed when they are asked for.

    Raises:
        NothingMeasured: fewer than two images, not uint8, or too small for the network.
        WeightsError: weights of the network are missing or damaged.
    """
    if len(images) < 2:
        raise NothingMeasured(f"There are {len(images)} {which} images: at least 2 are needed.")
    if images.images.dtype != torch.uint8:
        raise NothingMeasured(f"LPIPS compares uint8 images: the {which} ones are points.")
    extractor = shared_extractor(EXTRACTOR)

    def rows(index: Tensor) -> Tensor:
        return extractor(images.images[index])[0]

    return rows


EXAMPLE = """
>>> from kdbench.metrics.collection import measure_images
>>> same = torch.full((2, 3, 64, 64), 128, dtype=torch.uint8)
>>> found = measure_images(["{name}"], same, others={{"teacher": same}})["{name}@1"]
>>> found.value == 0 or "alexnet" in found.reason or "all alike" in found.reason
True
"""

pairwise_lpips, pairwise_lpips_within, pairwise_lpips_ratio, pairwise_lpips_within_ratio = (
    pairwise_metrics(
        "pairwise-lpips",
        embedded,
        what="LPIPS",
        example=EXAMPLE,
        extractor=EXTRACTOR,
        protocol="LPIPS v0.1, AlexNet, images as they are",
        source="Zhang et al. 2018, arXiv:1801.03924, eq. 1; over pairs: Zhu et al. 2017, "
        "arXiv:1711.11586",
    )
)
