"""Squared Euclidean distances with float64 results at about the cost of a float32 matrix product.

|a - b|² = |a|² + |b|² - 2ab is a matrix product, but its rounding grows with |a|² + |b|², not with
the distance. It serves as a bound alone: with s = ε |·|² for each point, seen from a common centre,

    L ≤ |a - b|² ≤ L + 2 (s_a + s_b),   ε = 2 γ(u) + 6 γ(u64),   γ(u) = (D+16) u / (1 - (D+16) u),

u being the unit roundoff of the product (2⁻²⁴ in float32, 2⁻⁵³ in float64). 2 γ(u) covers centring
and product in whatever order its terms are added, 6 γ(u64) the norms, the limits compared with and
the distances in float64. Only pairs that L leaves open are computed as Σ (a - b)² in float64.

Source: Higham 2002, Accuracy and Stability of Numerical Algorithms, §3.1 (γ, sums of products).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.products import float32_is_whole, laid_out, products

BLOCK = 1024
"""Rows and columns at a time; memory beside the inputs is a few times BLOCK² x 8 bytes."""

SPARE = 11
"""Candidates beyond k that a row keeps; rows with more near ties are done again in float64."""

ELEMENTS = 2**24
"""At most so many features are centred at a time: 128 MiB in float64."""

FEW_ROWS = 64
"""Rows summed at a time; torch converts whole what it sums in another type."""

PAIR_ELEMENTS = 2**16
"""Features of listed pairs at a time: 512 KiB in float64, which stays in the cache."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points seen from a centre near them; clouds that are compared share it."""

    points: Tensor
    """(N, D), float32 or float64, as they are held."""
    centre: Tensor
    """(D,), of the same type."""
    norms: Tensor
    """(N,), float64: squared distances from the centre."""

    @classmethod
    def of(cls, points: Tensor, centre: Tensor) -> Cloud:
        """These points around this centre."""
        parts = torch.split(points, _fitting(BLOCK, points))
        norms = [_centred(part, centre, torch.float64).square_().sum(1) for part in parts]
        return cls(points, centre, torch.cat(norms))

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, rows: slice | Tensor) -> Cloud:
        """Some of the points."""
        return Cloud(self.points[rows], self.centre, self.norms[rows])

    def slack(self, dtype: torch.dtype) -> Tensor:
        """(N,), float64: s of each point for products in `dtype`, which may underflow."""
        d = self.points.shape[1]
        share = 2 * _gamma(d, dtype) + 6 * _gamma(d, torch.float64)
        return share * self.norms + d * torch.finfo(dtype).tiny


def nearest(
    x: Tensor, y: Tensor, *, k: int = 1, exclude_self: bool = False, block: int = BLOCK
) -> tuple[Tensor, Tensor]:
    """Squared distances of each row of `x` to its `k` nearest rows of `y`, and which they are.

    Both are those of Σ (a - b)² in float64; of equally distant rows, the first come first. The
    distance matrix is never held whole and no set is copied, unless it has copies among its rows.

    Args:
        x, y: (N, D) and (M, D), float32 or float64, finite.
        k: neighbours to find.
        exclude_self: `y` is `x`, and no row is its own neighbour, though a copy of it can be.
            Saves half of the products.
        block: rows and columns at a time; the results do not depend on it.

    Returns:
        (N, k), float64, ascending; and (N, k), int64.

    Raises:
        NothingMeasured: there are fewer than `k` other rows.
        ValueError: `exclude_self` with two different sets.

    >>> x = torch.tensor([[0.0], [1.0], [3.0]])
    >>> distances, indices = nearest(x, x, exclude_self=True)
    >>> distances[:, 0].tolist(), indices[:, 0].tolist()
    ([1.0, 1.0, 4.0], [1, 0, 1])
    """
    if len(y) - exclude_self < k:
        raise NothingMeasured(f"{k} nearest neighbours cannot be found among {len(y)} images.")
    if exclude_self and not torch.equal(x, y):
        raise ValueError("exclude_self is for a set compared with itself.")
    references = Cloud.of(y, mean_row(y).to(y.dtype))
    order, first = copies(references)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(y)) - first
    kept = (rank < k + exclude_self).nonzero()[:, 0]  # later copies are never among the first k
    unique = references if len(kept) == len(y) else references[kept]
    if not exclude_self:
        distances, indices = _nearest(Cloud.of(x, references.centre), unique, k, block)
        return distances, kept[indices]
    indices = torch.empty(len(x), k, dtype=torch.int64)
    indices[order] = order[(first[:, None] + torch.arange(k)).clamp(max=len(y) - 1)]
    distances = torch.zeros(len(x), k, dtype=torch.float64)
    distances[kept], among = _nearest(unique, unique, k, block)
    indices[kept] = kept[among]
    return distances, indices


def copies(cloud: Cloud) -> tuple[Tensor, Tensor]:
    """Rows sorted so that equal ones adjoin, first come first, and where each one's run starts.

    Equal rows have equal norms, so that whole rows are compared only where norms are equal.
    """
    _, group = torch.unique(cloud.norms, return_inverse=True)
    suspects = (group.bincount()[group] > 1).nonzero()[:, 0]
    if len(suspects):
        _, which = torch.unique(cloud.points[suspects], dim=0, return_inverse=True)
        group[suspects] = len(cloud) + which
    order = group.argsort(stable=True)
    return order, torch.searchsorted(group[order], group[order])


def lower_bounds(x: Cloud, y: Cloud, dtype: torch.dtype) -> Tensor:
    """(N, M): L of every pair, from a product in `dtype`."""
    a, b = (laid_out(_centred(cloud.points, cloud.centre, dtype)) for cloud in (x, y))
    low_a, low_b = ((cloud.norms - cloud.slack(dtype)).to(dtype) for cloud in (x, y))
    return torch.add(low_b, products(a, b), alpha=-2).add_(low_a[:, None])


def squared_distances(x: Tensor, y: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(P,), float64: Σ (a - b)² of the listed pairs of rows of `x` and of `y`."""
    found = torch.empty(len(rows), dtype=torch.float64)
    for part in spans(len(rows), max(1, PAIR_ELEMENTS // x.shape[1])):
        difference = x[rows[part]].double().sub_(y[columns[part]].double())
        torch.sum(difference.square_(), 1, out=found[part])
    return found


def mean_row(points: Tensor) -> Tensor:
    """(D,), float64: the mean of (N, D) points, without a copy of them all."""
    sums = [part.sum(0, dtype=torch.float64) for part in torch.split(points, FEW_ROWS)]
    return torch.stack(sums).sum(0) / len(points)


def spans(n: int, block: int) -> Iterator[slice]:
    """Rows 0 to n - 1, `block` at a time."""
    return (slice(start, min(start + block, n)) for start in range(0, n, block))


def precision_for(*clouds: Cloud) -> torch.dtype:
    """float32, unless squares would overflow or products have fewer digits here."""
    largest = max(float(cloud.norms.max()) for cloud in clouds)
    fits = largest <= torch.finfo(torch.float32).max / 8
    return torch.float32 if fits and float32_is_whole() else torch.float64


def _nearest(x: Cloud, y: Cloud, k: int, block: int) -> tuple[Tensor, Tensor]:
    """`nearest` of clouds; a cloud that meets itself leaves each row out of its own neighbours."""
    dtype = precision_for(x, y)
    bounds, columns = _shortlists(x, y, k + SPARE, block=_fitting(block, y.points), dtype=dtype)
    is_open = bounds <= _limits(x, y, bounds[:, :k], columns[:, :k], dtype)
    settled = ~is_open.all(1) | (bounds.shape[1] == len(y) - (x is y))
    rows, slots = (is_open & settled[:, None]).nonzero().T
    distances = torch.empty(len(x), k, dtype=torch.float64)
    indices = torch.empty(len(x), k, dtype=torch.int64)
    distances[settled], indices[settled] = _closest(x, y, rows, columns[rows, slots], k)
    unsettled = (~settled).nonzero()[:, 0]
    for span in spans(len(unsettled), _fitting(block // 4, y.points)):
        part = unsettled[span]
        distances[part], indices[part] = _among_all(x, y, part, k, block)
    return distances, indices


def _shortlists(
    x: Cloud, y: Cloud, length: int, *, block: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """The least lower bounds of each row, ascending, (N, length) or all there are, and where."""
    own = x is y
    length = min(length, len(y) - own)
    best = torch.full((len(x), length), torch.inf, dtype=dtype)
    where = torch.zeros(len(x), length, dtype=torch.int64)
    for rows in spans(len(x), block):
        for columns in spans(len(y), block):
            if own and columns.start < rows.start:
                continue
            bounds = lower_bounds(x[rows], y[columns], dtype)
            if own and rows == columns:
                bounds.fill_diagonal_(torch.inf)
            _merge(best[rows], where[rows], bounds, columns.start)
            if own and rows != columns:
                _merge(best[columns], where[columns], bounds.T.contiguous(), rows.start)
    return best, where


def _merge(best: Tensor, where: Tensor, bounds: Tensor, start: int) -> None:
    """Take the bounds of further columns, from number `start` on, into the lists, in place."""
    length = best.shape[1]
    low, column = bounds.topk(min(length, bounds.shape[1]), largest=False)
    low, order = torch.cat([best, low], 1).topk(length, largest=False)
    best.copy_(low)
    where.copy_(torch.cat([where, column + start], 1).gather(1, order))


def _among_all(x: Cloud, y: Cloud, rows: Tensor, k: int, block: int) -> tuple[Tensor, Tensor]:
    """`_nearest` for some rows, from all their bounds in float64 and however many near ties."""
    exact, part = torch.float64, x[rows]
    columns = spans(len(y), _fitting(block, y.points))
    bounds = torch.cat([lower_bounds(part, y[some], exact) for some in columns], 1)
    if x is y:
        bounds[torch.arange(len(rows)), rows] = torch.inf
    low, at = bounds.topk(k, largest=False)
    found, column = (bounds <= _limits(part, y, low, at, exact)).nonzero().T
    return _closest(part, y, found, column, k)


def _limits(x: Cloud, y: Cloud, low: Tensor, columns: Tensor, dtype: torch.dtype) -> Tensor:
    """(N, 1), float64: none of the k nearest is further, from the k least lower bounds."""
    slack = x.slack(dtype)[:, None] + y.slack(dtype)[columns]
    return (low + 2 * slack).amax(1, keepdim=True)


def _closest(x: Cloud, y: Cloud, rows: Tensor, columns: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k closest of the listed pairs of each row that is listed, which is at least k times."""
    distances = squared_distances(x.points, y.points, rows, columns)
    order = torch.from_numpy(np.lexsort((columns, distances, rows)))
    first = rows[order].diff(prepend=rows.new_tensor([-1])).nonzero()
    take = order[first + torch.arange(k)]
    return distances[take], columns[take]


def _centred(points: Tensor, centre: Tensor, dtype: torch.dtype) -> Tensor:
    """Each difference rounded once: taken in the wider type, then held in `dtype`."""
    return torch.sub(points.to(torch.promote_types(points.dtype, dtype)), centre).to(dtype)


def _gamma(d: int, dtype: torch.dtype) -> float:
    roundings = (d + 16) * torch.finfo(dtype).eps / 2
    return roundings / (1 - roundings)


def _fitting(block: int, points: Tensor) -> int:
    """Rows that may be centred at a time."""
    return max(1, min(block, ELEMENTS // points.shape[1]))
