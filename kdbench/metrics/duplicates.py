"""Duplicates: generated images that resemble each other more than real images do."""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache

import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import Estimate, ImageSet, metric
from kdbench.metrics.distances import nearest
from kdbench.metrics.feature_pair import checked_features, feature_pair
from kdbench.metrics.frechet import GROUPS, jackknife_groups
from kdbench.metrics.intervals import t_interval

SHARE = 0.01
"""Of the reference images, the closest to another one: they say what too close means."""
FEWEST = 100
"""With fewer images there is no closest 1 %."""


@metric(
    kind="set",
    higher_is_better=False,
    bounds=(0.0, 1.0),
    needs_features=True,
    equal_n=True,
    few=500,
    protocol="Euclidean, nearest other image, 1 % quantile of the reference, equal n, float64",
    source="share below a quantile of real nearest-neighbour distances; Kott 2001, jackknife",
)
def duplicates(generated: ImageSet, reference: ImageSet) -> Estimate:
    """Share of generated images as close to another one as the closest 1 % of real images are.

    A second real set reads about 0.01, the lower the less alike the images. Details: `identical`,
    the share of images that equal an earlier one in every bit, and `threshold`, the distance
    below which images are too close. Blind to sameness that is looser than the closest real
    pairs, and noise reads 0: less than 0.01 is no merit.

    The interval is Student t over a jackknife of 20 groups of each set, whose standard error is
    that of the value or somewhat more. Where no image or every image is too close, leaving out
    groups shows no spread and there is no interval.

    Args:
        generated, reference: features (N, D), float32, the same N, 100 or more.

    Raises:
        NothingMeasured: there are fewer than 100 images, or see `feature_pair`.
    """
    x, _ = feature_pair(generated, reference)
    if min(len(x), len(reference)) < FEWEST:
        raise NothingMeasured(f"Duplicates need {FEWEST} images a set, not {len(x)}.")
    kept, limits = closeness(generated), [too_close(part) for part in closeness(reference)]
    shares = [float((part <= limits[0]).double().mean()) for part in kept]
    moved = [float((kept[0] <= limit).double().mean()) for limit in limits]
    value, threshold = shares[0], math.sqrt(float(limits[0]))
    details: dict[str, float | None] = {
        "identical": identical(generated.images),
        "threshold": threshold,
    }
    if value in (0.0, 1.0):
        return Estimate(value, None, "No interval: leaving images out shows no spread.", details)
    error = math.hypot(spread(shares[1:]), spread(moved[1:]))
    interval = t_interval(value, error, df=GROUPS - 1, method="jackknife")
    return Estimate(value, interval, None, details | {"standard_error": error})


@lru_cache(maxsize=8)
def closeness(images: ImageSet) -> list[Tensor]:
    """Squared distances to the nearest other image: of all images, then without each group."""
    rows, groups = (
        checked_features(images, "compared"),
        jackknife_groups(images.labels, images.labels),
    )
    distances, index = (found[:, 0] for found in nearest(rows, rows, exclude_self=True))
    return [distances, *(without(group, rows, distances, index) for group in groups[0])]


def without(group: Tensor, rows: Tensor, distances: Tensor, index: Tensor) -> Tensor:
    """The squared distances that are left when a group of rows is gone."""
    kept = torch.ones(len(rows), dtype=torch.bool)
    kept[group] = False
    lost = kept & ~kept[index]
    left = distances.clone()
    if lost.any():  # the nearest of two is the row itself
        left[lost] = nearest(rows[lost], rows[kept], k=2)[0][:, 1]
    return left[kept]


def too_close(distances: Tensor) -> Tensor:
    """The squared distance that the closest 1 % of images do not exceed."""
    return distances.kthvalue(max(round(SHARE * len(distances)), 1)).values


def spread(left: list[float]) -> float:
    """Standard error by delete-a-group jackknife, from the values without each group."""
    values = torch.tensor(left, dtype=torch.float64)
    return math.sqrt((len(left) - 1) * float(values.var(correction=0)))


def identical(images: Tensor) -> float:
    """Share of (N, C, H, W) images that equal an earlier one in every bit.

    >>> identical(torch.zeros(4, 1, 2, 2, dtype=torch.uint8))
    0.75
    """
    kept = {hashlib.sha256(image.contiguous().numpy().tobytes()).digest() for image in images}
    return 1 - len(kept) / len(images)
