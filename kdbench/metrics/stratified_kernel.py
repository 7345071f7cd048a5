"""Kernel distance of class-conditional sets: unbiased where classes are drawn in fixed shares."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import Estimate, ImageSet, metric
from kdbench.metrics.feature_pair import feature_pair
from kdbench.metrics.intervals import normal_interval
from kdbench.metrics.kernel import BLOCK


@metric(
    kind="set",
    higher_is_better=False,
    name="kid-stratified",
    needs_features=True,
    protocol="unbiased over all pairs within and between classes, classes weighted equally, "
    "kernel (x.y/d + 1)^3, float64",
    source="Binkowski et al. 2018, arXiv:1801.01401, eq. 4, as a stratified U-statistic",
)
def kid_stratified(generated: ImageSet, reference: ImageSet) -> Estimate:
    """Kernel distance between mixtures of equally weighted classes.

    The plain U-statistic takes images for independent draws. Where every class has a fixed number
    of images it is biased downwards, because an image's own class is one short among the others.
    Here pairs within a class and between classes are averaged apart and weighted by the classes'
    shares, so that the expectation is exactly the squared distance of the mixtures, whatever the
    numbers of images, and the noise of class counts is gone.

    Args:
        generated, reference: features (N, D) and labels (N,); at least 2 images of every class.

    Raises:
        NothingMeasured: a class is missing from a set or has one image only.
    """
    x, y = (features.double() for features in feature_pair(generated, reference))
    value, error = stratified_distance(x, generated.labels, y, reference.labels)
    return Estimate(
        value, normal_interval(value, error, "u-statistic"), None, {"standard_error": error}
    )


def stratified_distance(
    x: Tensor, x_labels: Tensor, y: Tensor, y_labels: Tensor
) -> tuple[float, float]:
    """Squared distance of the mixtures of classes, and its first-order standard error.

    Args:
        x: (N, D), float64.
        x_labels: (N,), int64.
        y: (M, D), float64.
        y_labels: (M,), int64; the same classes as in `x_labels`.
    """
    classes = torch.unique(torch.cat([x_labels, y_labels]))
    x_class, y_class = (torch.searchsorted(classes, labels) for labels in (x_labels, y_labels))
    n = _counts(x_class, len(classes))
    m = _counts(y_class, len(classes))
    share = 1 / len(classes)
    within_x = _own_projection(x, x_class, n, share)
    within_y = _own_projection(y, y_class, m, share)
    across_x = (_class_sums(x, y, y_class, len(classes)) / m).sum(1) * share
    across_y = (_class_sums(y, x, x_class, len(classes)) / n).sum(1) * share
    value = (
        _mixture_mean(within_x, x_class, n)
        + _mixture_mean(within_y, y_class, m)
        - 2 * _mixture_mean(across_x, x_class, n)
    )
    variance = _mixture_variance(within_x - across_x, x_class, n) + _mixture_variance(
        within_y - across_y, y_class, m
    )
    return float(value), 2 * math.sqrt(float(variance))


def _counts(classes: Tensor, k: int) -> Tensor:
    counts = torch.bincount(classes, minlength=k)
    if int(counts.min()) < 2:
        raise NothingMeasured(
            "A class has fewer than 2 images in one of the sets: "
            "a stratified kernel distance needs 2 of each."
        )
    return counts.double()


def _own_projection(x: Tensor, classes: Tensor, n: Tensor, share: float) -> Tensor:
    """Mean kernel of each image with its own set, itself left out of its own class."""
    sums = _class_sums(x, x, classes, len(n))
    itself = (x.square().sum(1) / x.shape[1] + 1) ** 3
    own = (sums.gather(1, classes[:, None])[:, 0] - itself) / (n[classes] - 1)
    means = (sums / n).scatter(1, classes[:, None], own[:, None])
    return means.sum(1) * share


def _class_sums(x: Tensor, y: Tensor, y_class: Tensor, k: int) -> Tensor:
    """Kernel of each x summed over the y of each class, (N, k), in blocks of rows."""
    member = one_hot(y_class, k).double()
    return torch.cat(
        [(part @ y.T / y.shape[1] + 1) ** 3 @ member for part in torch.split(x, BLOCK)]
    )


def _mixture_mean(values: Tensor, classes: Tensor, n: Tensor) -> Tensor:
    """Mean over classes of the mean within each."""
    return (torch.zeros_like(n).index_add(0, classes, values) / n).mean()


def _mixture_variance(values: Tensor, classes: Tensor, n: Tensor) -> Tensor:
    """Variance of `_mixture_mean` over independent draws within every class."""
    means = torch.zeros_like(n).index_add(0, classes, values) / n
    squares = (values - means[classes]).square()
    within = torch.zeros_like(n).index_add(0, classes, squares) / (n - 1)
    return (within / n).sum() / len(n) ** 2
