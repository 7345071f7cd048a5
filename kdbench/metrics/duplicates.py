"""Duplicates: generated images that resemble each other more than real images do."""

from __future__ import annotations

import hashlib
import math

import torch
from scipy import stats
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import Estimate, ImageSet, metric
from kdbench.metrics.distances import nearest
from kdbench.metrics.feature_pair import feature_pair
from kdbench.metrics.group_jackknife import GROUPS, Replicates, deal
from kdbench.metrics.intervals import LEVEL, t_interval
from kdbench.metrics.memorisation import nearest_other

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
    few=1000,
    protocol="Euclidean, nearest other image, 1 % quantile of the reference, equal n, float64",
    source="share below a quantile of real nearest-neighbour distances; Kott 2001 (jackknife), "
    "Woodruff 1952 (interval of a quantile), Zou and Donner 2008 (their combination)",
)
def duplicates(generated: ImageSet, reference: ImageSet) -> Estimate:
    """Share of generated images as close to another one as the closest 1 % of real images are.

    A second real set reads about 0.01, the lower the less alike the images. Details: `identical`,
    the share of images that equal an earlier one in every bit, and `threshold`, the distance
    up to which images are too close. Blind to sameness that is looser than the closest real
    pairs, and noise reads 0: less than 0.01 is no merit. Narrow modes read like copies.

    The interval joins that of the share, from a jackknife of 20 groups of the generated images,
    and that of the threshold, whose ends are other ranks of the real distances; it is wide because
    few real images are that close. The former is up to √2 too wide, since both images of a pair
    go with either. Where no image or every image is too close, there is no interval.

    Args:
        generated, reference: features (N, D), float32, the same N, 100 or more.

    Raises:
        NothingMeasured: there are fewer than 100 images, or see `feature_pair`.

    >>> made, real = torch.randn(2, 400, 3)
    >>> made[:100] = made[0] + 1e-4 * made[:100]
    >>> made, real = (ImageSet(x, torch.zeros(400), x) for x in (made, real))
    >>> 0.25 <= duplicates(made, real).value < 0.35
    True
    """
    x, y = feature_pair(generated, reference)
    smaller = min(len(x), len(y))
    if smaller < FEWEST:
        raise NothingMeasured(f"Duplicates need {FEWEST} images a set, not {smaller}.")
    distances = closeness(x, deal(generated.labels))
    limits = too_close(nearest_other(reference))
    least, value, most = (_share(distances[0], limit) for limit in limits)
    details: dict[str, float | None] = {
        "identical": identical(generated.images),
        "threshold": math.sqrt(limits[1]),
    }
    if value in (0.0, 1.0):
        return Estimate(value, None, "No interval: leaving images out shows no spread.", details)
    left = torch.tensor([[_share(part, limits[1]) for part in distances[1:]]], dtype=torch.float64)
    error = Replicates(value, left).standard_error or 0.0
    own = t_interval(value, error, df=GROUPS - 1, method="jackknife-woodruff")
    ends = {
        "low": value - math.hypot(value - own.low, value - least),
        "high": value + math.hypot(own.high - value, most - value),
    }
    return Estimate(value, own.model_copy(update=ends), None, details)


def closeness(rows: Tensor, groups: Tensor) -> list[Tensor]:
    """Squared distances of (N, D) rows to their nearest other: of all, then without each group."""
    distances, index = (found[:, 0] for found in nearest(rows, rows, exclude_self=True))
    kept = [groups != group for group in range(GROUPS)]
    return [distances, *(among(some, rows, distances, index) for some in kept)]


def among(kept: Tensor, rows: Tensor, distances: Tensor, index: Tensor) -> Tensor:
    """The squared distances of the rows that are kept, (N,) bool, to their nearest of those."""
    lost = kept & ~kept[index]
    left = distances.clone()
    if lost.any():  # the nearest of two is the row itself
        left[lost] = nearest(rows[lost], rows[kept], k=2)[0][:, 1]
    return left[kept]


def too_close(distances: Tensor) -> tuple[float, float, float]:
    """What the closest 1 % of squared distances do not exceed, between the ends of its interval.

    The ends are the distances of other ranks. The number k of distances below a limit varies by
    √(2k): close images come in pairs, each the other's nearest. Below the first rank lies 0.

    >>> too_close(torch.arange(2000.0))  # the 20th, and the 12.4 below and above it
    (7.0, 19.0, 31.0)
    """
    ranked = distances.sort().values
    k = max(round(SHARE * len(ranked)), 1)
    reach = round(float(stats.norm.ppf((1 + LEVEL) / 2)) * math.sqrt(2 * k))
    least = float(ranked[k - reach - 1]) if k > reach else 0.0
    return least, float(ranked[k - 1]), float(ranked[k + reach - 1])


def identical(images: Tensor) -> float:
    """Share of (N, C, H, W) images that equal an earlier one in every bit.

    >>> identical(torch.zeros(4, 1, 2, 2, dtype=torch.uint8))
    0.75
    """
    kept = {hashlib.sha256(image.contiguous().numpy().tobytes()).digest() for image in images}
    return 1 - len(kept) / len(images)


def _share(distances: Tensor, limit: float) -> float:
    return float((distances <= limit).double().mean())
