"""MMD² between mixtures of equally weighted classes, each drawn in a fixed number of images.

The plain U-statistic takes images for independent draws. Where every class has a fixed number of
images it is biased downwards, because an image's own class is one short among the others. Here
pairs within a class and between classes are averaged apart and weighted alike, so that the
expectation is exactly the squared distance of the mixtures, whatever the numbers of images, and
the noise of class counts is gone.

One pass over all pairs serves, in which an image of a class of n counts 1 / (classes · n). The
pairs within each class are then lacking one in n, and are made up for by a pass over each class
alone: a 1 / classes part of the first pass.

Source: Binkowski et al. 2018, arXiv:1801.01401, eq. 4, as a stratified U-statistic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.kernel import CUBIC, clouds, sums_among, sums_between


@dataclass(frozen=True, eq=False)
class Classes:
    """Which images of a set are of which class, and how much each counts in the mixture."""

    rows: tuple[Tensor, ...]
    """Row numbers of each class, int64."""
    shares: Tensor
    """(N,), float64: 1 / (classes · images of the class), so that they sum to 1."""

    @classmethod
    def of(cls, labels: Tensor) -> Classes:
        """The classes that occur in (N,) labels, in ascending order.

        Raises:
            NothingMeasured: a class has one image only.
        """
        found, which, counts = torch.unique(labels, return_inverse=True, return_counts=True)
        if int(counts.min()) < 2:
            raise NothingMeasured(_FEW)
        rows = which.argsort(stable=True).split(counts.tolist())
        return cls(rows, (1 / (len(found) * counts.double()))[which])

    def mean(self, values: Tensor) -> float:
        """Mean over classes of the mean of (N,) values in each."""
        return float(values @ self.shares)

    def variance(self, values: Tensor) -> float:
        """Variance of `mean` over independent draws within every class."""
        of_means = [float(values[rows].var()) / len(rows) for rows in self.rows]
        return sum(of_means) / len(of_means) ** 2


_FEW = (
    "A class has fewer than 2 images in one of the sets: "
    "a stratified kernel distance needs 2 of each."
)


def stratified_distance(
    x: Tensor,
    x_labels: Tensor,
    y: Tensor,
    y_labels: Tensor,
    *,
    among_x: Tensor | None = None,
    among_y: Tensor | None = None,
    paired: bool = False,
) -> tuple[float, float]:
    """Unbiased squared distance of the mixtures of classes, and its first-order standard error.

    Args:
        x, y: (N, D) and (M, D), float32 or float64, finite.
        x_labels, y_labels: (N,) and (M,), int64; the same classes in both.
        among_x, among_y: `stratified_among` of either set if it is known.
        paired: x_i and y_i are made from one latent, as in `kernel_distance`; equal labels.

    Raises:
        NothingMeasured: a class has fewer than 2 images in a set.

    >>> x, labels = torch.tensor([[0.0], [2.0], [1.0], [1.0]]), torch.tensor([0, 0, 1, 1])
    >>> round(stratified_distance(x, labels, x, labels)[0], 6)  # class 0: -62, class 1: 0
    -15.5
    """
    if not torch.equal(torch.unique(x_labels), torch.unique(y_labels)):
        raise NothingMeasured(_FEW)
    own, other = Classes.of(x_labels), Classes.of(y_labels)
    among_x = stratified_among(x, x_labels) if among_x is None else among_x
    among_y = stratified_among(y, y_labels) if among_y is None else among_y
    across_x, across_y = _across(x, y, (own, other), paired=paired)
    value = own.mean(among_x) + other.mean(among_y) - 2 * own.mean(across_x)
    h_x, h_y = among_x - across_x, among_y - across_y
    variance = own.variance(h_x + h_y) if paired else own.variance(h_x) + other.variance(h_y)
    return value, 2 * math.sqrt(variance)


def stratified_among(x: Tensor, labels: Tensor) -> Tensor:
    """Mean kernel of each row of `x` with the mixture of all, itself left out: (N,), float64.

    Raises:
        NothingMeasured: a class has one row only.
    """
    classes = Classes.of(labels)
    *each, whole = clouds(*(x[rows] for rows in classes.rows), x, kernel=CUBIC)
    means = sums_among(whole, classes.shares)
    for rows, cloud in zip(classes.rows, each, strict=True):
        share = classes.shares[rows]
        means[rows] += sums_among(cloud, share) / (len(rows) - 1)
    return means


def _across(
    x: Tensor, y: Tensor, classes: tuple[Classes, Classes], *, paired: bool
) -> tuple[Tensor, Tensor]:
    """Mean kernel of each `x` with the mixture of `y`, (N,), and the reverse, (M,)."""
    own, other = classes
    within = own.rows if paired else ()
    *each, whole_x, whole_y = clouds(
        *(points[rows] for rows in within for points in (x, y)), x, y, kernel=CUBIC
    )
    over_y, over_x = sums_between(whole_x, whole_y, own.shares, other.shares, paired=paired)
    for rows, first, second in zip(within, each[::2], each[1::2], strict=True):
        share = own.shares[rows]
        sums = sums_between(first, second, share, share, paired=True)
        over_y[rows] += sums[0] / (len(rows) - 1)
        over_x[rows] += sums[1] / (len(rows) - 1)
    return over_y, over_x
