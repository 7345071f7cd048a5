"""Kernel distance over random subsets, as three libraries print it: for comparison with others.

Each draws 100 subsets of at most 1,000 images from both sets and averages the unbiased MMD² of
each pair of subsets. That mean estimates the same number as the kernel distance over all pairs
(`kid`), with the noise of the drawing on top. The subsets overlap, so the spread that libraries
print after `±` (detail `std`) is not its standard error: it hardly falls as images are added.

The interval here knows both noises: `standard_error` is √(that of all pairs² + std² / 99), where
std² / 99 is the variance of the mean over 100 subsets of given images.

All subsets are summed in one pass over all pairs, in which each subset is a column of zeros and
ones: 100 subsets of 1,000 of 10,000 images are as many pairs as there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import Estimate, ImageSet, metric
from kdbench.metrics.feature_pair import feature_pair
from kdbench.metrics.kernel import CUBIC, Discrepancy, clouds, estimated, sums_among, sums_between

SUBSETS = 100
SIZE = 1000
SEED = 2020
"""torch-fidelity's. The others set none: their values are ours after seeding with it."""

Subsets = list[tuple[Tensor, Tensor]]
"""Row numbers of generated and of reference images, (m,) each."""

KERNEL = "unbiased, kernel (x.y/d + 1)^3, float32 products, float64 sums"
BINKOWSKI = "Binkowski et al. 2018, arXiv:1801.01401, section 4"


@metric(
    kind="set",
    higher_is_better=False,
    needs_features=True,
    protocol=f"100 subsets of 1,000 by RandomState(2020).choice, generated first, {KERNEL}",
    source=f"{BINKOWSKI}; torch-fidelity 0.4.0",
)
def kid_subsets(generated: ImageSet, reference: ImageSet) -> Estimate:
    """Kernel distance as torch-fidelity computes it: 100 subsets of 1,000, its own seed.

    torch-fidelity computes in the features' float32, which moves its value by about 1e-7 of the
    mean kernel. Details: `std`, the spread over subsets that it prints (divisor 100, no standard
    error); `all_pairs`, the value without subsets; `standard_error`. Blind to what `kid` is
    blind to.

    Args:
        generated, reference: features (N, D) and (M, D), float32, N and M at least 1,000.

    Raises:
        NothingMeasured: a set has fewer than 1,000 images, or see `feature_pair`.

    >>> x, y = torch.randn(1000, 4), torch.randn(1000, 4) + 1
    >>> found = kid_subsets(*[ImageSet(z, torch.zeros(len(z)), z) for z in (x, y)])
    >>> abs(found.value - found.details["all_pairs"]) < found.details["standard_error"]
    True
    """
    n, m = len(generated), len(reference)
    _check_enough(n, m)
    draw = np.random.RandomState(SEED)
    subsets = [(_choice(draw, n, SIZE), _choice(draw, m, SIZE)) for _ in range(SUBSETS)]
    return _over_subsets(generated, reference, subsets)


@metric(
    kind="set",
    higher_is_better=False,
    needs_features=True,
    protocol=f"100 subsets of 1,000 by torch.randperm seeded 2020, reference first, {KERNEL}",
    source=f"{BINKOWSKI}; torchmetrics 1.9.0",
)
def kid_subsets_torchmetrics(generated: ImageSet, reference: ImageSet) -> Estimate:
    """Kernel distance as torchmetrics computes it after `torch.manual_seed(2020)`.

    torchmetrics computes in float32, which moves its value by about 1e-7 of the mean kernel.
    Details as in `kid_subsets`; blind to what that is blind to.

    Args:
        generated, reference: features (N, D) and (M, D), float32, N and M at least 1,000.

    Raises:
        NothingMeasured: a set has fewer than 1,000 images, or see `feature_pair`.

    >>> x, y = torch.randn(1000, 4), torch.randn(1000, 4) + 1
    >>> found = kid_subsets_torchmetrics(*[ImageSet(z, torch.zeros(len(z)), z) for z in (x, y)])
    >>> abs(found.value - found.details["all_pairs"]) < found.details["standard_error"]
    True
    """
    n, m = len(generated), len(reference)
    _check_enough(n, m)
    draw, subsets = torch.Generator().manual_seed(SEED), []
    for _ in range(SUBSETS):
        real, made = (torch.randperm(size, generator=draw)[:SIZE] for size in (m, n))
        subsets.append((made, real))
    return _over_subsets(generated, reference, subsets)


@metric(
    kind="set",
    higher_is_better=False,
    needs_features=True,
    few=SIZE,
    protocol=f"100 subsets of at most 1,000 by RandomState(2020).choice, generated first, {KERNEL}",
    source=f"{BINKOWSKI}; clean-fid 0.1.35",
)
def kid_subsets_clean_fid(generated: ImageSet, reference: ImageSet) -> Estimate:
    """Kernel distance as clean-fid computes it after `numpy.random.seed(2020)`.

    Subsets are as large as the smaller set and 1,000 at most; from there on the value is that of
    `kid_subsets`. clean-fid prints no spread, and calls the reference its first folder. Details as
    in `kid_subsets`; blind to what that is blind to.

    Args:
        generated, reference: features (N, D) and (M, D), float32, N and M at least 2.

    Raises:
        NothingMeasured: see `feature_pair`.

    >>> x, y = torch.randn(100, 4), torch.randn(80, 4) + 1
    >>> found = kid_subsets_clean_fid(*[ImageSet(z, torch.zeros(len(z)), z) for z in (x, y)])
    >>> found.value > 1, 0 < found.details["std"] < found.details["standard_error"]
    (True, True)
    """
    n, m = len(generated), len(reference)
    size, draw = min(n, m, SIZE), np.random.RandomState(SEED)
    subsets = [(_choice(draw, n, size), _choice(draw, m, size)) for _ in range(SUBSETS)]
    return _over_subsets(generated, reference, subsets)


def _check_enough(n: int, m: int) -> None:
    if min(n, m) < SIZE:
        raise NothingMeasured(
            f"Subsets of {SIZE:,} cannot be drawn from {n:,} generated and {m:,} reference images: "
            "use kid, which takes all pairs at any size."
        )


def _choice(draw: np.random.RandomState, n: int, size: int) -> Tensor:
    return torch.from_numpy(draw.choice(n, size, replace=False))


def _over_subsets(generated: ImageSet, reference: ImageSet, subsets: Subsets) -> Estimate:
    x, y = feature_pair(generated, reference)
    whole, values = subset_distances(x, y, subsets)
    std = float(values.std(correction=0))
    error = math.hypot(whole.standard_error, std / math.sqrt(len(subsets) - 1))
    return estimated(float(values.mean()), error, std=std, all_pairs=whole.value)


def subset_distances(x: Tensor, y: Tensor, subsets: Subsets) -> tuple[Discrepancy, Tensor]:
    """The discrepancy of two sets over all pairs, and those of subsets, (S,), float64.

    Args:
        x, y: features (N, D) and (M, D), float32 or float64.
        subsets: row numbers of `x` and of `y`, all of one size.
    """
    size, n, m = len(subsets[0][0]), len(x), len(y)
    in_x = _members([rows for rows, _ in subsets], n)
    in_y = _members([rows for _, rows in subsets], m)
    own, other = clouds(x, y, kernel=CUBIC)
    among_x, among_y = sums_among(own, in_x), sums_among(other, in_y)
    across_x, across_y = sums_between(own, other, in_x[:, 0], in_y)
    within = (in_x * among_x).sum(0) + (in_y * among_y).sum(0)
    values = within / (size * (size - 1)) - 2 * (in_x * across_x).sum(0) / size**2
    whole = Discrepancy(
        among_x[:, 0] / (n - 1), among_y[:, 0] / (m - 1), across_x[:, 0] / m, across_y / n
    )
    return whole, values[1:]


def _members(subsets: Sequence[Tensor], rows: int) -> Tensor:
    """(rows, 1 + S), float64: 1 for members, first of the whole set, then of each subset."""
    members = torch.zeros(rows, 1 + len(subsets), dtype=torch.float64)
    members[:, 0] = 1
    for column, subset in enumerate(subsets, start=1):
        members[subset, column] = 1
    return members
