"""The features of two image sets, checked, as every distance between sets needs them."""

from __future__ import annotations

from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import ImageSet


def feature_pair(generated: ImageSet, reference: ImageSet | None) -> tuple[Tensor, Tensor]:
    """Features of both sets in float64: (N, D) and (M, D).

    Raises:
        NothingMeasured: there is no reference; a set has no features, fewer than two images or
            a feature that is not finite; or the sets have features of different length.
    """
    if reference is None:
        raise NothingMeasured("This metric compares with a reference set, and none was given.")
    x, y = _checked(generated, "generated"), _checked(reference, "reference")
    if x.shape[1] != y.shape[1]:
        raise NothingMeasured(
            f"The generated images have {x.shape[1]} features each and the reference images "
            f"{y.shape[1]}: both sets need the same extractor."
        )
    return x, y


def _checked(images: ImageSet, which: str) -> Tensor:
    if images.features is None:
        raise NothingMeasured(f"The {which} images have no features: run the extractor on them.")
    if len(images) < 2:
        raise NothingMeasured(f"There are {len(images)} {which} images: at least 2 are needed.")
    if not images.features.isfinite().all():
        raise NothingMeasured(f"Some features of the {which} images are not finite.")
    return images.features.double()
