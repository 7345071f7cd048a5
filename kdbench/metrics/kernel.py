"""Squared maximum mean discrepancy (MMD²) over all pairs of two sets, and its standard error.

Both kernels here are a function of one number, s = a(x) + a(y) + u(x)·u(y), where u is the point
scaled and seen from a centre near the sets. Only u·u is a matrix product in float32; u is rounded
once, and everything else is float64. Without the centre, rounding would grow with the features'
common mean, which cancels in the discrepancy. Polynomial kernels are not shift invariant: what a
centre takes from the product is in a(x) again, exactly.

The float32 products leave an error of about 1e-9 of the mean kernel in the value. That is less than
1e-4 of its standard error (tested; measured for 500 to 10,000 images with 2,048 features, also far
from the origin and all but alike) unless images are paired and each is its partner all but 1e-3.
Memory beside the sets is one float32 copy of both.

Source: Gretton et al. 2012, JMLR 13, lemma 6 (the estimate); Serfling 1980, §5.3 (its projection).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement, product

import torch
from torch import Tensor

from kdbench.metrics.base import Estimate
from kdbench.metrics.distances import mean_row, spans
from kdbench.metrics.intervals import ROUNDING, normal_interval
from kdbench.metrics.products import float32_is_whole, laid_out, products

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
    """(B, D): u in float32, laid out for products; float64 if need be."""
    offsets: Tensor
    """(B,): a, float64."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points as a kernel needs them; clouds that are compared share kernel and centre."""

    kernel: Kernel
    blocks: list[Block]

    def __len__(self) -> int:
        return sum(len(block.offsets) for block in self.blocks)


def clouds(*sets: Tensor, kernel: Kernel) -> list[Cloud]:
    """Features, each (N, D), float32 or float64, finite, seen from the mean of the last set."""
    scale = kernel.scale(sets[-1].shape[1])
    centre, dtype = mean_row(sets[-1]) * scale, _precision(sets, scale)
    return [Cloud(kernel, _blocks(points, kernel, scale, centre, dtype)) for points in sets]


def sums_between(
    x: Cloud, y: Cloud, counts_x: Tensor, counts_y: Tensor, *, paired: bool = False
) -> tuple[Tensor, Tensor]:
    """Sums of the kernel of each point over the other cloud: like `counts` of own rows, float64.

    Args:
        x, y: N and M points.
        counts_x, counts_y: (N,) or (N, S) and (M,) or (M, T), float64: how much each point counts
            in sums over it; several columns give several sums at once.
        paired: leave out the pairs of the same number.
    """
    over_y = torch.zeros(len(x), *counts_y.shape[1:], dtype=torch.float64)
    over_x = torch.zeros(len(y), *counts_x.shape[1:], dtype=torch.float64)
    for own, other in product(x.blocks, y.blocks):
        values = _values(x.kernel, own, other)
        if paired and own.rows.start == other.rows.start:
            values.fill_diagonal_(0)
        over_y[own.rows] += values @ counts_y[other.rows]
        over_x[other.rows] += values.T @ counts_x[own.rows]
    return over_y, over_x


def sums_among(x: Cloud, counts: Tensor) -> Tensor:
    """Sums of the kernel of each point over every other one of its cloud, as `sums_between`."""
    sums = torch.zeros(len(x), *counts.shape[1:], dtype=torch.float64)
    for own, other in combinations_with_replacement(x.blocks, 2):
        values = _values(x.kernel, own, other)
        if own is other:
            values.fill_diagonal_(0)
        else:
            sums[other.rows] += values.T @ counts[own.rows]
        sums[own.rows] += values @ counts[other.rows]
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
    paired: bool = False
    """Whether x_i and y_i depend on each other; they then are not in `across`."""

    @cached_property
    def value(self) -> float:
        """Unbiased: 0 on average for equal sources, so that it can be negative."""
        return float(self.among_x.mean() + self.among_y.mean() - 2 * self.across_x.mean())

    @cached_property
    def standard_error(self) -> float:
        """Of the value."""
        # The statistic is to first order the sum of 2 h(x_i) / n and 2 h(y_j) / m.
        h_x, h_y = self.among_x - self.across_x, self.among_y - self.across_y
        parts = [h_x + h_y] if self.paired else [h_x, h_y]
        return 2 * math.sqrt(sum(float(h.var()) / len(h) for h in parts))


def kernel_distance(
    x: Tensor,
    y: Tensor,
    kernel: Kernel = CUBIC,
    *,
    among_x: Tensor | None = None,
    among_y: Tensor | None = None,
    paired: bool = False,
) -> Discrepancy:
    """Unbiased MMD² of features (N, D) and (M, D), float32 or float64, N and M at least 2.

    Args:
        x, y: features, finite.
        kernel: `CUBIC`, whose MMD² is KID's, or a `gaussian`.
        among_x, among_y: `mean_among` of either set if it is known; with sets of one size, each is
            a quarter of the work.
        paired: x_i and y_i are made from one latent: their kernel says nothing of two independent
            images and is left out, and pairs are what is drawn. N is M.

    >>> x = torch.tensor([[0.0], [2.0]])
    >>> round(kernel_distance(x, x).value, 6)  # 1 + 1 - 2 (1 + 1 + 1 + 125) / 4
    -62.0
    >>> round(kernel_distance(x, x, paired=True).value, 6)
    0.0
    """
    own, other = clouds(x, y, kernel=kernel)
    over_y, over_x = sums_between(own, other, _ones(x), _ones(y), paired=paired)
    return Discrepancy(
        among_x=mean_among(x, kernel) if among_x is None else among_x,
        among_y=mean_among(y, kernel) if among_y is None else among_y,
        across_x=over_y / (len(y) - paired),
        across_y=over_x / (len(x) - paired),
        paired=paired,
    )


def mean_among(x: Tensor, kernel: Kernel = CUBIC) -> Tensor:
    """Mean kernel of each row of `x` with every other one: (N,), float64."""
    (own,) = clouds(x, kernel=kernel)
    return sums_among(own, _ones(x)) / (len(x) - 1)


def estimated(value: float, standard_error: float, **details: float) -> Estimate:
    """A U-statistic with its normal interval; none where all images give the same number."""
    found: dict[str, float | None] = {**details, "standard_error": standard_error}
    if standard_error <= ROUNDING * abs(value):
        reason = "No interval: the value is the same whichever images are drawn."
        return Estimate(value, None, reason, found)
    return Estimate(value, normal_interval(value, standard_error, "u-statistic"), None, found)


def _values(kernel: Kernel, x: Block, y: Block) -> Tensor:
    """(B, C), float64: the kernel of every pair."""
    s = products(x.points, y.points).double()
    return kernel.of(s.add_(x.offsets[:, None]).add_(y.offsets))


def _precision(sets: Sequence[Tensor], scale: float) -> torch.dtype:
    """float32, unless squares would overflow or products have fewer digits here."""
    largest = scale * max(float(end.abs()) for points in sets for end in torch.aminmax(points))
    fits = largest * largest * sets[-1].shape[1] <= torch.finfo(torch.float32).max / 8
    return torch.float32 if fits and float32_is_whole() else torch.float64


def _blocks(
    points: Tensor, kernel: Kernel, scale: float, centre: Tensor, dtype: torch.dtype
) -> list[Block]:
    blocks = []
    for rows in spans(len(points), BLOCK):
        u = points[rows].to(torch.float64, copy=True).mul_(scale).sub_(centre)
        blocks.append(Block(rows, laid_out(u.to(dtype)), kernel.offset(u, centre)))
    return blocks


def _ones(x: Tensor) -> Tensor:
    return torch.ones(len(x), dtype=torch.float64)
