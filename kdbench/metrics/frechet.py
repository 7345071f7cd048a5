"""Fréchet distance between the Gaussians fitted to two sets of features, with a jackknife.

    FD = |m1 - m2|² + tr S1 + tr S2 - 2 tr (S1 S2)^½

The last trace is found without a matrix square root, so no result is ever complex and no ridge is
added. With S1 = A1ᵀA1 and S2 = A2ᵀA2 it is both

- Σ √λ(A1 S2 A1ᵀ), from covariances: `eigvalsh` after one Cholesky factorisation; and
- the sum of the singular values of A1 A2ᵀ, from the centred images themselves.

The second form is taken where a covariance is singular (fewer images than features, or features
that do not vary), because √ of an eigenvalue that is 0 but for rounding is not 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from kdbench.metrics.base import Estimate, ImageSet, metric
from kdbench.metrics.feature_pair import feature_pair
from kdbench.metrics.intervals import t_interval
from kdbench.seeds import seed

GROUPS = 20
"""Jackknife groups a set; the standard error itself becomes unsteady with fewer."""

PIVOT_FLOOR = torch.finfo(torch.float64).eps ** 0.5
"""A covariance whose pivots fall below this share of its largest variance counts as singular:
the eigenvalues of a product of two such matrices would drown in rounding."""


@metric(
    kind="set",
    higher_is_better=False,
    bounds=(0.0, None),
    needs_features=True,
    protocol="float64, covariance divisor n-1, delete-a-group jackknife with 20 groups a set",
    source="Dowson and Landau 1982; Heusel et al. 2017, arXiv:1706.08500",
)
def fd(generated: ImageSet, reference: ImageSet) -> Estimate:
    """Fréchet distance in the task's own features; `FID` is this in Inception features alone.

    The value is the plain plug-in distance, whose bias of order 1/N depends on the generator:
    compare at equal N only. Details: `standard_error` and `bias_corrected` from the two-sided
    jackknife; the latter can be negative and removes most of the bias only where N exceeds the
    number of features. The interval is Student t with 19 degrees of freedom around the value; like
    any first-order interval it is up to √2 too wide where both sets come from one distribution.

    Args:
        generated, reference: features (N, D) and (M, D), float32, N and M at least 2.

    Raises:
        NothingMeasured: see `feature_pair`.
    """
    x, y = (features.double() for features in feature_pair(generated, reference))
    plain = frechet_distance(x, y)
    if min(len(x), len(y)) < GROUPS:
        reason = f"No interval: the jackknife needs {GROUPS} images in each set."
        return Estimate(plain, None, reason, {"plain": plain})
    error, bias = jackknife(x, y, jackknife_groups(generated.labels, reference.labels))
    details: dict[str, float | None] = {
        "plain": plain,
        "bias_corrected": plain - bias,
        "standard_error": error,
    }
    return Estimate(
        plain, t_interval(plain, error, df=GROUPS - 1, method="jackknife"), None, details
    )


@dataclass(frozen=True, eq=False)
class Moments:
    """Additive moments of a set of rows: those of a part can be taken away again."""

    n: int
    total: Tensor
    """(D,): Σ x."""
    outer: Tensor
    """(D, D): Σ x xᵀ."""

    @classmethod
    def of(cls, rows: Tensor) -> Moments:
        """Moments of (N, D) rows, which should lie near 0 for the sake of rounding."""
        return cls(len(rows), rows.sum(0), rows.T @ rows)

    def __sub__(self, part: Moments) -> Moments:
        """Moments of what is left without `part`."""
        return Moments(self.n - part.n, self.total - part.total, self.outer - part.outer)

    @property
    def mean(self) -> Tensor:
        """(D,)."""
        return self.total / self.n

    @property
    def covariance(self) -> Tensor:
        """(D, D), divisor n - 1."""
        return (self.outer - torch.outer(self.total, self.mean)) / (self.n - 1)

    @cached_property
    def root(self) -> Tensor:
        """(D, D): the upper Cholesky factor of a regular covariance."""
        factor: Tensor = torch.linalg.cholesky(self.covariance, upper=True)
        return factor


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """Fréchet distance between (N, D) and (M, D) float64 features.

    >>> square = torch.tensor([[0.0, 0], [0, 2], [2, 0], [2, 2]], dtype=torch.float64)
    >>> round(frechet_distance(square, square + 3), 12)
    18.0
    """
    x, y = x - y.mean(0), y - y.mean(0)
    regular = regular_moments(x, y)
    if regular is None:
        return _between_rows(x, y.mean(0), centred_root(y))
    return _between_moments(*regular)


def jackknife(
    x: Tensor, y: Tensor, groups: tuple[list[Tensor], list[Tensor]]
) -> tuple[float, float]:
    """Standard error and bias of the Fréchet distance, by deleting a group at a time.

    Groups are deleted from one set while the other stays whole; the variances and the biases of
    the two sets are added (Kott 2001, delete-a-group jackknife; Efron 1982, ch. 2, bias).

    Args:
        x, y: (N, D) and (M, D), float64.
        groups: row numbers of each group, for `x` and for `y`.
    """
    x, y = x - y.mean(0), y - y.mean(0)
    plain = frechet_distance(x, y)
    variance = bias = 0.0
    for deleted, fixed, part in ((x, y, groups[0]), (y, x, groups[1])):
        left = _distances_without(deleted, fixed, part)
        share = (len(part) - 1) / len(part)
        variance += share * float((left - left.mean()).square().sum())
        bias += (len(part) - 1) * (float(left.mean()) - plain)
    return math.sqrt(variance), bias


def jackknife_groups(*label_sets: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """`GROUPS` groups of row numbers for each of two label sets, stratified by label.

    Each label's images are dealt to the groups in a seeded random order, so that groups differ by
    at most one image in size, and that neighbours in a data set do not share a group.
    """
    first, second = (_deal(labels) for labels in label_sets)
    return first, second


def _deal(labels: Tensor) -> list[Tensor]:
    shuffle = torch.Generator().manual_seed(seed("jackknife", len(labels)))
    order = torch.randperm(len(labels), generator=shuffle)
    order = order[labels.cpu()[order].argsort(stable=True)]
    return [order[group::GROUPS] for group in range(GROUPS)]


def _distances_without(deleted: Tensor, fixed: Tensor, groups: list[Tensor]) -> Tensor:
    """(G,) distances between `fixed` and what is left of `deleted` without each group."""
    regular = regular_moments(deleted, fixed)
    if regular is None:
        mean, root = fixed.mean(0), centred_root(fixed)
        left = [_between_rows(_without(deleted, g), mean, root) for g in groups]
    else:
        whole, other = regular
        left = [_between_moments(whole - Moments.of(deleted[g]), other) for g in groups]
    return torch.tensor(left, dtype=torch.float64)


def _without(rows: Tensor, group: Tensor) -> Tensor:
    kept = torch.ones(len(rows), dtype=torch.bool)
    kept[group] = False
    return rows[kept]


def _between_moments(first: Moments, second: Moments) -> float:
    """The form from covariances; that of the second set must be regular."""
    s1, root = first.covariance, second.root
    trace = torch.linalg.eigvalsh(root @ s1 @ root.T).clamp(min=0).sqrt().sum()
    spread = s1.trace() + root.square().sum()
    return _distance(first.mean - second.mean, spread, trace)


def _between_rows(x: Tensor, mean: Tensor, root: Tensor) -> float:
    """The form from singular values; `mean` and `root` are those of the second set."""
    own = centred_root(x)
    trace = torch.linalg.svdvals(own @ root.T).sum()
    return _distance(x.mean(0) - mean, own.square().sum() + root.square().sum(), trace)


def _distance(shift: Tensor, spread: Tensor, trace: Tensor) -> float:
    """A squared distance: what falls below 0 is rounding."""
    return max(float(shift.square().sum() + spread - 2 * trace), 0.0)


def regular_moments(x: Tensor, y: Tensor) -> tuple[Moments, Moments] | None:
    """Moments of (N, D) and (M, D) rows, or None where either covariance is singular.

    With fewer rows than features that is known without making a D by D matrix.
    """
    if min(len(x), len(y)) <= x.shape[1]:
        return None
    first, second = Moments.of(x), Moments.of(y)
    return (first, second) if _is_regular(first) and _is_regular(second) else None


def _is_regular(moments: Moments) -> bool:
    covariance = moments.covariance
    root, failed = torch.linalg.cholesky_ex(covariance)
    smallest = root.diagonal().square().min()
    return not failed and bool(smallest > PIVOT_FLOOR * covariance.diagonal().max())


def centred_root(rows: Tensor) -> Tensor:
    """A (min(N, D), D) matrix A with AᵀA the covariance (divisor N - 1) of (N, D) rows."""
    centred: Tensor = (rows - rows.mean(0)) / math.sqrt(len(rows) - 1)
    if len(rows) <= rows.shape[1]:
        return centred
    root: Tensor = torch.linalg.qr(centred, mode="r").R
    return root
