"""Squared maximum mean discrepancy (MMD²) over all pairs of two sets, and its standard error.

Both kernels here are a function of one number, s = a(x) + a(y) + u(x)·u(y), where u is the point
scaled and seen from a centre near the sets. Only u·u is a matrix product in float32; u is rounded
once, and everything else is float64. Without the centre, rounding would grow with the features'
common mean, which cancels in the discrepancy. Polynomial kernels are not shift invariant: what a
centre takes from the product is in a(x) again, exactly.

Measured against float64 throughout, at 500 to 10,000 images with 2,048 features, the value differs
by less than 1e-6 of its standard error, and so do sets that are far from the origin or all but
alike; tests hold it to 1e-4.

Source: Gretton et al. 2012, JMLR 13, lemma 6 (the estimate); Serfling 1980, §5.3 (its projection).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement

import torch
from torch import Tensor
from torch.nn.functional import linear

from kdbench.metrics.base import Estimate
from kdbench.metrics.intervals import normal_interval

BLOCK = 512
"""Rows and columns at a time; a block of kernels in float64 takes 2 MiB and stays in the cache."""


@dataclass(frozen=True)
class Kernel:
    """k(x, y) = `of`(a(x) + a(y) + u(x)·u(y)) with u(x) = `scale`·x − centre."""

    scale: Callable[[int], float]
    """Of the number of features D."""
    offset: Callable[[Tensor, Tensor], Tensor]
    """a: from u, (N, D), and the centre, (D,), float64."""
    of: Callable[[Tensor], Tensor]
    """The kernel from s, in place."""


def gaussian(sigma: float) -> Kernel:
    """exp(-|x - y|² / 2σ²)."""
    return Kernel(
        scale=lambda d: 1 / sigma,
        offset=lambda u, centre: -u.square().sum(1) / 2,
        of=torch.exp_,
    )


CUBIC = Kernel(
    scale=lambda d: d**-0.5,
    offset=lambda u, centre: u @ centre + (centre @ centre + 1) / 2,
    of=lambda s: s.pow_(3),
)
"""(x·y/D + 1)³."""


@dataclass(frozen=True, eq=False)
class Block:
    """At most `BLOCK` points of a cloud."""

    rows: slice
    points: Tensor
    """(B, D): u in float32, laid out for oneDNN where torch has it; float64 if need be."""
    offsets: Tensor
    """(B,): a, float64."""
    weights: Tensor
    """(B,), float64: how much each point counts in sums."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points as a kernel needs them; clouds that are compared share kernel and centre."""

    kernel: Kernel
    blocks: list[Block]

    def zeros(self) -> Tensor:
        """(N,), float64."""
        return torch.zeros(self.blocks[-1].rows.stop, dtype=torch.float64)


def clouds(
    x: Tensor, y: Tensor, kernel: Kernel, weights: tuple[Tensor, Tensor] | None = None
) -> tuple[Cloud, Cloud]:
    """Features (N, D) and (M, D), float32 or float64, seen from the mean of `y`.

    Args:
        x, y: features, finite.
        kernel: of both.
        weights: (N,) and (M,), float64: how much each point counts in sums; once if not given.
    """
    centre = _mean(y) * kernel.scale(y.shape[1])
    dtype = _precision(x, y, kernel)
    own, other = weights or [torch.ones(len(z), dtype=torch.float64) for z in (x, y)]
    return _cloud(x, kernel, centre, own, dtype), _cloud(y, kernel, centre, other, dtype)


def sums_between(x: Cloud, y: Cloud) -> tuple[Tensor, Tensor]:
    """Weighted sums of the kernel with all of the other cloud: (N,) and (M,), float64."""
    over_y, over_x = x.zeros(), y.zeros()
    for own in x.blocks:
        for other in y.blocks:
            values = _values(x.kernel, own, other)
            over_y[own.rows] += values @ other.weights
            over_x[other.rows] += own.weights @ values
    return over_y, over_x


def sums_among(x: Cloud) -> Tensor:
    """Weighted sums of the kernel with every other point of the cloud: (N,), float64."""
    sums = x.zeros()
    for own, other in combinations_with_replacement(x.blocks, 2):
        values = _values(x.kernel, own, other)
        if own is other:
            values.fill_diagonal_(0)
        else:
            sums[other.rows] += own.weights @ values
        sums[own.rows] += values @ other.weights
    return sums


@dataclass(frozen=True, eq=False)
class Discrepancy:
    """Mean kernels of each image, float64, and the MMD² that they make.

    The standard error is that of the first-order (Hájek) projection over both sets. Where both
    come from one distribution the projection vanishes, and the error is up to √2 times too large.
    """

    among_x: Tensor
    """(N,): of each x with the other x."""
    among_y: Tensor
    """(M,): of each y with the other y."""
    across_x: Tensor
    """(N,): of each x with all y."""
    across_y: Tensor
    """(M,): of each y with all x."""

    @cached_property
    def value(self) -> float:
        """Unbiased: 0 on average for equal sources, so that it can be negative."""
        return float(self.among_x.mean() + self.among_y.mean() - 2 * self.across_x.mean())

    @cached_property
    def variances(self) -> tuple[float, float]:
        """What the draw of x and what the draw of y adds to the variance of the value."""
        # The statistic is to first order the sum of 2 h(x_i) / n and 2 h(y_j) / m.
        pairs = ((self.among_x, self.across_x), (self.among_y, self.across_y))
        x, y = (4 * float((among - across).var()) / len(among) for among, across in pairs)
        return x, y

    @property
    def standard_error(self) -> float:
        """Of the value."""
        return math.sqrt(sum(self.variances))


def kernel_distance(
    x: Tensor, y: Tensor, kernel: Kernel = CUBIC, *, among_y: Tensor | None = None
) -> Discrepancy:
    """Unbiased MMD² of features (N, D) and (M, D), float32 or float64, N and M at least 2.

    Args:
        x, y: features, finite.
        kernel: `CUBIC`, whose MMD² is KID's, or a `gaussian`.
        among_y: `mean_among(y, kernel)` if it is known; it is the half of the work that does not
            depend on `x`, or a quarter of all with sets of one size.

    >>> x = torch.tensor([[0.0], [2.0]])
    >>> round(kernel_distance(x, x).value, 6)  # 1 + 1 - 2 (1 + 1 + 1 + 125) / 4
    -62.0
    """
    own, other = clouds(x, y, kernel)
    across_x, across_y = sums_between(own, other)
    n, m = len(x), len(y)
    among = sums_among(other) / (m - 1) if among_y is None else among_y
    return Discrepancy(sums_among(own) / (n - 1), among, across_x / m, across_y / n)


def mean_among(y: Tensor, kernel: Kernel = CUBIC) -> Tensor:
    """Mean kernel of each row of `y` with every other one: (M,), float64."""
    return sums_among(clouds(y, y, kernel)[1]) / (len(y) - 1)


def estimated(value: float, standard_error: float, **details: float) -> Estimate:
    """A U-statistic with its normal interval."""
    interval = normal_interval(value, standard_error, "u-statistic")
    return Estimate(value, interval, None, {**details, "standard_error": standard_error})


def _values(kernel: Kernel, x: Block, y: Block) -> Tensor:
    """(B, C), float64: the kernel of every pair."""
    products = linear(x.points, y.points).to_dense().double()
    return kernel.of(products.add_(x.offsets[:, None]).add_(y.offsets))


def _mean(x: Tensor) -> Tensor:
    """(D,), float64, without a copy of all points."""
    sums = [part.sum(0, dtype=torch.float64) for part in torch.split(x, 64)]
    return torch.stack(sums).sum(0) / len(x)


def _precision(x: Tensor, y: Tensor, kernel: Kernel) -> torch.dtype:
    """float32, unless its products are switched to fewer digits or features are very large."""
    largest = max(float(end.abs()) for z in (x, y) for end in torch.aminmax(z))
    square = (largest * kernel.scale(x.shape[1])) ** 2 * x.shape[1]
    rough = torch.get_float32_matmul_precision() != "highest"
    return torch.float64 if rough or square > torch.finfo(torch.float32).max / 8 else torch.float32


def _cloud(x: Tensor, kernel: Kernel, centre: Tensor, weights: Tensor, dtype: torch.dtype) -> Cloud:
    blocks = []
    for start in range(0, len(x), BLOCK):
        rows = slice(start, min(start + BLOCK, len(x)))
        u = x[rows].double().mul_(kernel.scale(x.shape[1])).sub_(centre)
        points = _laid_out(u.to(dtype))
        blocks.append(Block(rows, points, kernel.offset(u, centre), weights[rows]))
    return Cloud(kernel, blocks)


def _laid_out(points: Tensor) -> Tensor:
    """For oneDNN: torch's other products are MKL's, which takes half of an AMD processor's width."""
    if points.dtype == torch.float32 and torch.backends.mkldnn.is_available():
        return points.to_mkldnn()
    return points
