"""Image sets of features alone; and lets the tests here import `photographs`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kdbench.metrics.base import ImageSet

sys.path.insert(0, str(Path(__file__).parent))

MakeSet = Callable[..., ImageSet]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def image_set() -> MakeSet:
    """A function from features (and labels, logits) to an image set of black images."""

    def make(
        features: Tensor | None = None,
        *,
        labels: Tensor | None = None,
        logits: Tensor | None = None,
        n: int = 0,
    ) -> ImageSet:
        for tensor in (features, labels, logits):
            n = n if tensor is None else len(tensor)
        images = torch.zeros(n, 1, 8, 8, dtype=torch.uint8)
        labels = torch.arange(n) % 10 if labels is None else labels
        return ImageSet(images, labels, features, logits)

    return make
