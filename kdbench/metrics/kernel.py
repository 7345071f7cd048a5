"""Kernel distance (KID): squared maximum mean discrepancy with a cubic kernel, over all pairs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kdbench.metrics.base import Estimate, ImageSet, metric
from kdbench.metrics.feature_pair import feature_pair
from kdbench.metrics.intervals import normal_interval

BLOCK = 1024
"""Rows at a time; memory is BLOCK x N x 8 bytes."""


@metric(
    kind="set",
    higher_is_better=False,
    needs_features=True,
    protocol="unbiased U-statistic over all pairs, kernel (x.y/d + 1)^3, float64",
    source="Binkowski et al. 2018, arXiv:1801.01401, without its subsets; Gretton et al. 2012",
)
def kid(generated: ImageSet, reference: ImageSet) -> Estimate:
    """Kernel distance in the task's features: unbiased at any N, 0 on average for equal sources.

    All pairs enter, so there is neither a subset size nor a seed; the value can be negative. The
    standard error is that of the first-order (Hájek) projection over both sets. Where
    both sets come from one distribution the projection degenerates, and the error is √2 times the
    true one.

    Args:
        generated, reference: features (N, D) and (M, D), float32, N and M at least 2.

    Raises:
        NothingMeasured: see `feature_pair`.
    """
    x, y = (features.double() for features in feature_pair(generated, reference))
    value, error = kernel_distance(x, y)
    return Estimate(
        value, normal_interval(value, error, "u-statistic"), None, {"standard_error": error}
    )


def kernel_distance(x: Tensor, y: Tensor, *, block: int = BLOCK) -> tuple[float, float]:
    """Unbiased squared MMD of (N, D) and (M, D) float64 features, and its standard error.

    >>> x = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    >>> kernel_distance(x, x)[0]  # 1 + 1 - 2 (1 + 1 + 1 + 125) / 4
    -62.0
    """
    n, m = len(x), len(y)
    across, back = kernel_sums(x, y, block)
    own_x = (kernel_sums(x, x, block)[0] - _kernel(x.square().sum(1), x.shape[1])) / (n - 1)
    own_y = (kernel_sums(y, y, block)[0] - _kernel(y.square().sum(1), y.shape[1])) / (m - 1)
    value = own_x.mean() + own_y.mean() - 2 * across.mean() / m
    # The statistic is to first order the sum of 2 h(x_i) / n and 2 h(y_j) / m.
    variance = 4 * (own_x - across / m).var() / n + 4 * (own_y - back / n).var() / m
    return float(value), math.sqrt(float(variance))


def kernel_sums(x: Tensor, y: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Row sums (N,) and column sums (M,) of the kernel matrix, never held whole."""
    rows, columns = [], torch.zeros(len(y), dtype=x.dtype)
    for part in torch.split(x, block):
        values = _kernel(part @ y.T, x.shape[1])
        rows.append(values.sum(1))
        columns += values.sum(0)
    return torch.cat(rows), columns


def _kernel(dots: Tensor, d: int) -> Tensor:
    return (dots / d + 1) ** 3
