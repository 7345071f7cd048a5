"""Agreement of each image with its own target as an extractor sees them."""

from __future__ import annotations

import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import metric


@metric(
    kind="paired",
    name="feature-cosine",
    higher_is_better=True,
    bounds=(-1.0, 1.0),
    needs_features=True,
    protocol="cosine of the features as extracted, not centred, float64",
    source="x·y / (|x| |y|); scikit-learn cosine_similarity",
)
def feature_cosine(features: Tensor, targets: Tensor) -> Tensor:
    """Cosine between the features of each image and those of its own target.

    Blind to everything that the extractor is blind to, and to the length of features. Features
    that share a direction, as those behind a ReLU do, agree between any two images: read it beside
    the detail `shuffled`, the value of images with others' targets.

    Args:
        features, targets: (N, D), float32, of images and of their targets.

    Returns:
        (N,), float64.

    Raises:
        NothingMeasured: these are not features, or those of an image are not finite or all 0.

    >>> feature_cosine(torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 4.0]]))
    tensor([0.6000], dtype=torch.float64)
    """
    if features.ndim != 2 or features.shape != targets.shape:
        raise NothingMeasured(
            f"Features are (N, D) and belong to their targets': these are {tuple(features.shape)} "
            f"and {tuple(targets.shape)}."
        )
    x, y = features.double(), targets.double()
    lengths = torch.stack([x.norm(dim=1), y.norm(dim=1)])
    if not lengths.isfinite().all() or not lengths.all():
        raise NothingMeasured("Features of some images are not finite or have no direction.")
    return ((x * y).sum(1) / lengths.prod(0)).clamp(-1, 1)
