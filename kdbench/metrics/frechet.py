"""Fréchet distance between the Gaussians fitted to two sets of features.

    FD = |m1 - m2|² + tr S1 + tr S2 - 2 tr (S1 S2)^½

The last trace is found without a matrix square root, so no result is ever complex and no ridge is
added. With S1 = A1ᵀA1 and S2 = A2ᵀA2 it is both

- Σ √λ(A2 S1 A2ᵀ), from covariances: `eigvalsh` after one Cholesky factorisation; and
- the sum of the singular values of A1 A2ᵀ.

The first form is the fast one, but √ magnifies the rounding of small eigenvalues: the second is
taken where that could show. With fewer images than features, A is the centred images themselves
and no D by D matrix is made.

NumPy and SciPy do the work in float64: their BLAS takes half the operations for XᵀX (syrk) and a
quarter for LᵀSL (sygst). Features stay in float32; beside 2 x 410 MB of them, for 50,000 x 2,048
in each set, moments take 90 MB at the peak, a distance 120 MB, and the jackknife of the metrics
800 MB, most of it for the check that features are finite (measured, resident).

Source: Dowson and Landau 1982, J. Multivariate Analysis 12 (the distance); Chan, Golub and LeVeque
1983, The American Statistician 37 (merging moments).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigvalsh
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpotrf, dsygst
from torch import Tensor

from kdbench.metrics.group_jackknife import GROUPS, Replicates

Matrix = NDArray[np.float64]

BLOCK = 512
"""Rows at a time that are held in float64."""

EPS = float(np.finfo(np.float64).eps)

PIVOT_FLOOR = EPS**0.5
"""A covariance with a pivot below this share of the variance of its feature counts as singular."""

MOST_ROUNDING = 1e-9
"""Share of tr (S1 S2)^½ by which rounding of all eigenvalues may move it at worst. The bound is
reached where S1 is singular; with regular S1, errors of either sign leave a millionth of it."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of a set of rows: those of parts can be merged, and taken away again."""

    n: int
    mean: Tensor
    """(D,), float64."""
    scatter: Tensor
    """(D, D), float64: Σ (x - mean)(x - mean)ᵀ."""

    @classmethod
    def of(cls, rows: Tensor) -> Moments:
        """Moments of (N, D) rows, float32 or float64, however far from 0 they lie.

        >>> Moments.of(torch.tensor([[1e6, 1.0], [1e6, 3.0]])).scatter.tolist()
        [[0.0, 0.0], [0.0, 2.0]]
        """
        n, d = rows.shape
        centre = rows[:BLOCK].mean(0, dtype=torch.float64)
        total, lower = torch.zeros_like(centre), np.zeros((d, d), order="F")
        for part in torch.split(rows, BLOCK):
            near = part.double() - centre
            total += near.sum(0)
            lower = dsyrk(1.0, near.numpy().T, beta=1.0, c=lower, lower=True, overwrite_c=True)
        scatter = torch.from_numpy(_mirrored(lower)).addr_(total, total, alpha=-1 / n)
        return cls(n, centre + total / n, scatter)

    def __add__(self, other: Moments) -> Moments:
        """Moments of both sets of rows together."""
        return self._joined(other, 1)

    def __sub__(self, part: Moments) -> Moments:
        """Moments of what is left without `part`."""
        return self._joined(part, -1)

    def _joined(self, other: Moments, sign: int) -> Moments:
        m = sign * other.n
        n, step = self.n + m, other.mean - self.mean
        scatter = torch.add(self.scatter, other.scatter, alpha=sign)
        return Moments(n, self.mean + m / n * step, scatter.addr_(step, step, alpha=self.n * m / n))

    @property
    def covariance(self) -> Tensor:
        """(D, D), divisor n - 1."""
        return self.scatter / (self.n - 1)


@dataclass(frozen=True, eq=False)
class Gaussian:
    """The Gaussian fitted to a set of rows, with what every distance to it needs."""

    n: int
    rows: Callable[[], Tensor]
    """(n, D), float32 or float64; asked for only where moments do not do."""
    moments: Moments | None
    """None with no more rows than features, which are then the smaller matrix."""

    @classmethod
    def of(cls, rows: Tensor) -> Gaussian:
        """The Gaussian of (N, D) rows, N at least 2."""
        n, d = rows.shape
        return cls(n, lambda: rows, Moments.of(rows) if n > d else None)

    def __add__(self, other: Gaussian) -> Gaussian:
        """The Gaussian of both sets of rows together."""

        def rows() -> Tensor:
            return torch.cat([self.rows(), other.rows()])

        if self.moments is None or other.moments is None:
            return Gaussian.of(rows())
        return Gaussian(self.n + other.n, rows, self.moments + other.moments)

    def without(self, gone: Tensor) -> Gaussian:
        """The Gaussian of the rows that are not `gone`, (n,), bool."""
        n = self.n - int(gone.sum())

        def rows() -> Tensor:
            return self.rows()[~gone]

        if self.moments is None or n <= len(self.moments.mean):
            return Gaussian.of(rows())
        if n <= self.n // 2:
            return Gaussian(n, rows, Moments.of(rows()))
        return Gaussian(n, rows, self.moments - Moments.of(self.rows()[gone]))

    @cached_property
    def mean(self) -> Tensor:
        """(D,), float64."""
        return self.moments.mean if self.moments else self.rows().mean(0, dtype=torch.float64)

    @cached_property
    def spread(self) -> float:
        """Trace of the covariance."""
        if self.moments:
            return float(self.moments.scatter.trace()) / (self.n - 1)
        return float(self.root.square().sum())

    @cached_property
    def factor(self) -> Matrix | None:
        """(D, D): the lower Cholesky factor of a regular covariance; None if it is singular."""
        if self.moments is None:
            return None
        # LAPACK works on the transpose, which is the same matrix, in place.
        covariance = self.moments.covariance.numpy().T
        least = PIVOT_FLOOR * covariance.diagonal()
        factor, failed = dpotrf(covariance, lower=True, overwrite_a=True)
        regular = not failed and (factor.diagonal() ** 2 > least).all()
        return factor if regular else None

    @cached_property
    def root(self) -> Tensor:
        """(D or fewer, D), float64: A with AᵀA the covariance."""
        if self.factor is not None:
            return torch.from_numpy(self.factor.T)
        if self.moments is None:
            return (self.rows().double() - self.mean) / math.sqrt(self.n - 1)
        return _triangle(self.rows(), self.mean) / math.sqrt(self.n - 1)


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """Fréchet distance between (N, D) and (M, D) features, float32 or float64, N and M at least 2.

    >>> square = torch.tensor([[0.0, 0], [0, 2], [2, 0], [2, 2]])
    >>> round(frechet_distance(square, square + 3), 12)
    18.0
    """
    return distance(Gaussian.of(x), Gaussian.of(y))


def distance(first: Gaussian, second: Gaussian) -> float:
    """Fréchet distance between two fitted Gaussians; the second's root is found only once."""
    shift = float((first.mean - second.mean).square().sum())
    # A squared distance: what falls below 0 is rounding.
    return max(shift + first.spread + second.spread - 2 * _root_trace(first, second), 0.0)


def jackknifed(first: Gaussian, second: Gaussian, groups: tuple[Tensor, Tensor]) -> Replicates:
    """The distance and its replicates: groups leave one set while the other stays whole.

    Args:
        first, second: of two sets drawn independently.
        groups: (N,) and (M,), int64: the group of each row, from `deal`.
    """
    return _replicates(
        distance(first, second),
        min(map(len, groups)),
        lambda group: distance(first.without(groups[0] == group), second),
        lambda group: distance(second.without(groups[1] == group), first),
    )


def jackknifed_together(first: Gaussian, second: Gaussian, groups: Tensor) -> Replicates:
    """The distance and its replicates: groups leave both sets at once.

    Args:
        first, second: of two sets whose i-th rows belong together.
        groups: (N,), int64: the group of each row of both.
    """

    def left(group: int) -> float:
        gone = groups == group
        return distance(first.without(gone), second.without(gone))

    return _replicates(distance(first, second), len(groups), left)


def _replicates(value: float, n: int, *lefts: Callable[[int], float]) -> Replicates:
    if n < GROUPS:
        return Replicates(value, None, f"No interval: the jackknife needs {GROUPS} images.")
    rows = [[left(group) for group in range(GROUPS)] for left in lefts]
    return Replicates(value, torch.tensor(rows, dtype=torch.float64))


def _root_trace(first: Gaussian, second: Gaussian) -> float:
    """tr (S1 S2)^½."""
    if first.moments is not None and second.factor is not None:
        covariance = first.moments.covariance.numpy().T
        product, _ = dsygst(covariance, second.factor, itype=2, lower=True, overwrite_a=True)
        values = eigvalsh(product, lower=True, overwrite_a=True, check_finite=False).clip(0)
        trace = float(np.sqrt(values).sum())
        if np.sqrt(values + EPS * values[-1]).sum() - trace <= MOST_ROUNDING * trace:
            return trace
    cross = (first.root @ second.root.T).numpy()
    return float(np.linalg.svd(cross, compute_uv=False).sum())


def _mirrored(lower: Matrix) -> Matrix:
    """A symmetric matrix of which only the lower triangle was filled, in tiles that fit a cache."""
    tile = 128
    for i in range(0, len(lower), tile):
        own = lower[i : i + tile, i : i + tile]
        own += np.tril(own, -1).T
        lower[i : i + tile, i + tile :] = lower[i + tile :, i : i + tile].T
    return lower.T


def _triangle(rows: Tensor, mean: Tensor) -> Tensor:
    """(D or fewer, D): R of the QR factorisation of centred (N, D) rows, a few of them at a time.

    Rows of R within the rounding of the factorisation are left out: a singular covariance has as
    many as its rank.
    """
    d = rows.shape[1]
    triangle = torch.empty(0, d, dtype=torch.float64)
    for part in torch.split(rows, 2 * d):
        found = torch.linalg.qr(torch.cat([triangle, part.double() - mean]), mode="r").R
        lengths = found.norm(dim=1)
        triangle = found[lengths > d * EPS * lengths.norm()]
    return triangle
