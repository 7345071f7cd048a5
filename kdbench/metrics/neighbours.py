"""Precision, recall, density and coverage: which points lie in whose nearest-neighbour balls.

The ball of a point reaches to its k-th nearest neighbour in its own set, itself excluded. All four
values come from one pass over blocks of the distance matrix, which is never held whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import Estimate, ImageSet, metric
from kdbench.metrics.feature_pair import feature_pair

K = 5
BLOCK = 512
"""Rows at a time; memory is BLOCK x N x 8 bytes."""

SAME_POINT = 1e-13
"""Squared distances below this share of a point's squared norm are rounding, and become 0: a
collapsed generator then has balls of radius 0, which contain nothing."""

PROTOCOL = "k=5, Euclidean, self excluded, strict inequality, equal n, float64"
NAEEM = "Naeem et al. 2020, arXiv:2002.09797"
KYNKAANNIEMI = "Kynkäänniemi et al. 2019, arXiv:1904.06991"


@dataclass(frozen=True)
class Neighbours:
    """The four values of one pair of sets."""

    precision: float
    recall: float
    density: float
    coverage: float


@metric(
    kind="set",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    needs_features=True,
    equal_n=True,
    protocol=PROTOCOL,
    source=KYNKAANNIEMI,
)
def precision(generated: ImageSet, reference: ImageSet | None) -> Estimate:
    """Share of generated images inside the ball of any reference image."""
    return Estimate(_shared(generated, reference).precision)


@metric(
    kind="set",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    needs_features=True,
    equal_n=True,
    protocol=PROTOCOL,
    source=KYNKAANNIEMI,
)
def recall(generated: ImageSet, reference: ImageSet | None) -> Estimate:
    """Share of reference images inside the ball of any generated image.

    The most sensitive of the four to lost modes and to shrinkage within modes.
    """
    return Estimate(_shared(generated, reference).recall)


@metric(
    kind="set",
    higher_is_better=None,
    bounds=(0.0, None),
    needs_features=True,
    equal_n=True,
    protocol=PROTOCOL,
    source=NAEEM,
)
def density(generated: ImageSet, reference: ImageSet | None) -> Estimate:
    """Reference balls around a generated image, on average, over k: 1 for equal distributions.

    Outliers lower it; images that crowd in the middle of modes raise it above 1, so more is not
    better by itself.
    """
    return Estimate(_shared(generated, reference).density)


@metric(
    kind="set",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    needs_features=True,
    equal_n=True,
    protocol=PROTOCOL,
    source=NAEEM,
)
def coverage(generated: ImageSet, reference: ImageSet | None) -> Estimate:
    """Share of reference images whose ball holds a generated image; about 1 - 2⁻ᵏ at its best."""
    return Estimate(_shared(generated, reference).coverage)


@lru_cache(maxsize=16)
def _shared(generated: ImageSet, reference: ImageSet | None) -> Neighbours:
    """The four values of these very sets, kept for the other three metrics."""
    return neighbours(*feature_pair(generated, reference))


def neighbours(x: Tensor, y: Tensor, *, k: int = K, block: int = BLOCK) -> Neighbours:
    """Precision, recall, density and coverage of generated `x` against reference `y`.

    Args:
        x, y: (N, D), float64, the same N, more than `k`.
        k: which nearest neighbour a ball reaches to.
        block: rows at a time; the values do not depend on it.

    Raises:
        NothingMeasured: the sets differ in size or are too small.
    """
    if len(x) != len(y) or len(x) <= k:
        raise NothingMeasured(
            f"Nearest-neighbour metrics need two sets of one size above {k}; "
            f"these have {len(x)} generated and {len(y)} reference images."
        )
    x, y = x - y.mean(0), y - y.mean(0)
    radius_x, radius_y = radii(x, k, block), radii(y, k, block)
    balls = torch.zeros(len(x), dtype=torch.int64)
    recalled = covered = 0
    for part, radius in zip(torch.split(y, block), torch.split(radius_y, block), strict=True):
        distance = _squared_distances(part, x)
        inside = distance < radius[:, None]
        balls += inside.count_nonzero(0)
        covered += int(inside.count_nonzero(1).count_nonzero())
        recalled += int((distance < radius_x).count_nonzero(1).count_nonzero())
    n = len(x)
    return Neighbours(
        precision=int(balls.count_nonzero()) / n,
        recall=recalled / n,
        density=int(balls.sum()) / (k * n),
        coverage=covered / n,
    )


def radii(x: Tensor, k: int, block: int) -> Tensor:
    """(N,) squared distances of each row to its k-th nearest other row."""
    found = []
    for start, part in zip(range(0, len(x), block), torch.split(x, block), strict=True):
        distance = _squared_distances(part, x)
        own = torch.arange(len(part))
        distance[own, start + own] = torch.inf
        found.append(distance.topk(k, largest=False).values[:, -1])
    return torch.cat(found)


def _squared_distances(part: Tensor, whole: Tensor) -> Tensor:
    """(B, N) from |a|² + |b|² - 2ab, which is a matrix product and so several times faster."""
    norms = part.square().sum(1)[:, None]
    distances = torch.addmm(whole.square().sum(1), part, whole.T, alpha=-2).add_(norms)
    return distances.masked_fill_(distances < SAME_POINT * norms, 0)
