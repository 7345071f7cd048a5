"""Numbers of images, a few images at a time: memory does not grow with their number."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

ELEMENTS = 2**17
"""Values at a time: 1 MiB in float64, so that a chunk and what is made of it stay in the cache."""


def by_chunk(function: Callable[..., Tensor], *images: Tensor) -> Tensor:
    """What `function` gives for all images, from chunks of `ELEMENTS` values or of one image.

    Args:
        function: tensors (n, …) to (n, …), each image for itself.
        images: tensors (N, …) of one shape, N at least 1.

    Returns:
        (N, …).

    >>> by_chunk(lambda x, y: (x - y).flatten(1).sum(1), torch.ones(3, 2, 2), torch.zeros(3, 2, 2))
    tensor([4., 4., 4.])
    """
    count = max(1, ELEMENTS // max(1, math.prod(images[0].shape[1:])))
    parts = zip(*(torch.split(tensor, count) for tensor in images), strict=True)
    return torch.cat([function(*part) for part in parts])
