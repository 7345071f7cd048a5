"""Which points lie in whose nearest-neighbour balls: precision, recall, density and coverage.

The ball of a point reaches to its k-th nearest neighbour in its own set, itself excluded. Values
for every k come from one pass over the distances between the sets, of which only those near a
radius are computed in float64: the others need no more than to be told from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.distances import (
    BLOCK,
    Cloud,
    lower_bounds,
    mean_row,
    nearest,
    precision_for,
    spans,
    squared_distances,
)

MANY = 1 / 32
"""A tile with more doubtful pairs than this share is cheaper to do again in float64."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """What one k says of N generated and N reference points; all tensors are (N,), int64."""

    k: int
    around: Tensor
    """Reference balls around each generated point."""
    reached: Tensor
    """Generated balls around each reference point."""
    held: Tensor
    """Generated points in each reference ball."""

    @property
    def precision(self) -> float:
        """Share of generated points in any reference ball."""
        return _share(self.around)

    @property
    def recall(self) -> float:
        """Share of reference points in any generated ball."""
        return _share(self.reached)

    @property
    def density(self) -> float:
        """Reference balls around a generated point, on average, over k."""
        return 1 / self.k * (int(self.around.sum()) / len(self.around))  # rounded as prdc does

    @property
    def coverage(self) -> float:
        """Share of reference balls that hold a generated point."""
        return _share(self.held)


def neighbours(
    x: Tensor,
    y: Tensor,
    *,
    ks: tuple[int, ...] = (5,),
    strict: bool = True,
    radii_x: Tensor | None = None,
    radii_y: Tensor | None = None,
    block: int = BLOCK,
) -> dict[int, Neighbours]:
    """Ball memberships of generated `x` and reference `y` for every k of `ks`.

    Equal to float64 arithmetic on Σ (a - b)². Memory beside the sets is a few hundred bytes a
    point and, where not every second pair is in a ball, about 100 MB: 171 MB in all were measured
    for 10,000 points with 2,048 features.

    Args:
        x, y: (N, D), float32 or float64, finite, the same N, more than each k.
        ks: which nearest neighbours balls reach to.
        strict: whether a point on the rim of a ball is outside (Naeem et al. 2020) or inside
            (Kynkäänniemi et al. 2019, eq. 2).
        radii_x, radii_y: `radii` of either set if they are known; each is about a quarter of the
            work.
        block: rows and columns at a time; the results do not depend on it.

    Raises:
        NothingMeasured: the sets differ in size or are too small.

    >>> x, y = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[1.5], [3.0], [9.0]])
    >>> neighbours(x, y, ks=(1,))[1].coverage  # radii of y: 1.5, 1.5 and 6
    0.6666666666666666
    """
    check_sizes(len(x), len(y), ks)
    radii_x = radii(x, ks, block=block) if radii_x is None else radii_x
    radii_y = radii(y, ks, block=block) if radii_y is None else radii_y
    inside = torch.lt if strict else torch.le
    around, reached, held = torch.zeros(3, len(x), len(ks), dtype=torch.int64)
    for i, j, distances in _pairs(x, y, (radii_x, radii_y), block):
        in_reference = inside(distances[:, None], radii_y[j]).long()
        around.index_add_(0, i, in_reference)
        held.index_add_(0, j, in_reference)
        reached.index_add_(0, j, inside(distances[:, None], radii_x[i]).long())
    return {k: Neighbours(k, around[:, c], reached[:, c], held[:, c]) for c, k in enumerate(ks)}


def check_sizes(n: int, m: int, ks: tuple[int, ...]) -> None:
    """Refuse sets of different size, whose values depend on the sizes; and those without a k-th.

    Raises:
        NothingMeasured: n is not m, or not above every k.
    """
    if n != m or n <= max(ks):
        raise NothingMeasured(
            f"Nearest-neighbour metrics need two sets of one size above {max(ks)}; "
            f"these have {n} generated and {m} reference images."
        )


def radii(points: Tensor, ks: tuple[int, ...], *, block: int = BLOCK) -> Tensor:
    """(N, len(ks)), float64: squared distances of each row to its k-th nearest other rows.

    >>> radii(torch.tensor([[0.0], [1.0], [3.0]]), (1, 2)).tolist()
    [[1.0, 9.0], [1.0, 4.0], [4.0, 9.0]]
    """
    distances, _ = nearest(points, points, k=max(ks), exclude_self=True, block=block)
    return distances[:, [k - 1 for k in ks]]


def _pairs(
    x: Tensor, y: Tensor, limits: tuple[Tensor, Tensor], block: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Pairs (i, j) within any limit of x_i or y_j, with a squared distance on its right side."""
    centre = mean_row(y).to(y.dtype)
    clouds = Cloud.of(x, centre), Cloud.of(y, centre)
    for rows in spans(len(x), block):
        for columns in spans(len(y), block):
            i, j, distances = _tile(
                clouds[0][rows], clouds[1][columns], (limits[0][rows], limits[1][columns])
            )
            yield i + rows.start, j + columns.start, distances


def _tile(x: Cloud, y: Cloud, limits: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """`_pairs` of one tile: exact where a limit lies within the error of the product."""
    for dtype in dict.fromkeys((precision_for(x, y), torch.float64)):
        i, j, low = _candidates(x, y, limits, dtype)
        high = low + 2 * (x.slack(dtype)[i] + y.slack(dtype)[j])
        near = torch.cat([limits[0][i], limits[1][j]], 1)
        doubtful = ((low[:, None] <= near) & (near <= high[:, None])).any(1).nonzero()[:, 0]
        if len(doubtful) <= MANY * len(x) * len(y):
            break
    high[doubtful] = squared_distances(x.points, y.points, i[doubtful], j[doubtful])
    return i, j, high


def _candidates(
    x: Cloud, y: Cloud, limits: tuple[Tensor, Tensor], dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs whose lower bound, float64, does not exceed every limit of both points."""
    bounds = lower_bounds(x, y, dtype)
    reach_x, reach_y = (limit.amax(1).to(dtype) for limit in limits)
    i, j = ((bounds <= reach_x[:, None]) | (bounds <= reach_y)).nonzero().T
    return i, j, bounds[i, j].double()


def _share(counts: Tensor) -> float:
    return int(counts.count_nonzero()) / len(counts)
