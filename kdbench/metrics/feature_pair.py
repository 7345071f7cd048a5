"""The features of two image sets, checked, as every distance between sets needs them."""

from __future__ import annotations

import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import ImageSet

BLOCK = 4096
"""Rows that are looked at at a time: a whole set of 50,000 with 2,048 would take 700 MB more."""


def feature_pair(
    generated: ImageSet, reference: ImageSet, *, name: str = "reference"
) -> tuple[Tensor, Tensor]:
    """Features of both sets as they are held, float32: (N, D) and (M, D).

    Args:
        generated, reference: sets with features.
        name: what the second set is called in errors.

    Raises:
        NothingMeasured: a set has no features, fewer than two images or a feature that is not
            finite; or the sets have features of different length.
    """
    x, y = checked_features(generated, "generated"), checked_features(reference, name)
    if x.shape[1] != y.shape[1]:
        raise NothingMeasured(
            f"The generated images have {x.shape[1]} features each and the {name} images "
            f"{y.shape[1]}: both sets need the same extractor."
        )
    return x, y


def checked_features(images: ImageSet, which: str) -> Tensor:
    """Features of one set, (N, D), float32; raises as `feature_pair` does."""
    if images.features is None:
        raise NothingMeasured(f"The {which} images have no features: run the extractor on them.")
    if len(images) < 2:
        raise NothingMeasured(f"There are {len(images)} {which} images: at least 2 are needed.")
    if not all(part.isfinite().all() for part in torch.split(images.features, BLOCK)):
        raise NothingMeasured(f"Some features of the {which} images are not finite.")
    return images.features
