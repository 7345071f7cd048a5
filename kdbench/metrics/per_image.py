"""Numbers of single images and of pairs of images, and their mean.

Images of several sizes are measured one size at a time; the mean is taken over all their numbers.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdbench.errors import BadSpec, NothingMeasured
from kdbench.metrics.base import Estimate, ImageSet, Metric
from kdbench.metrics.intervals import (
    RESAMPLES,
    bootstrap,
    clipped,
    standard_error_of_mean,
    t_interval,
)
from kdbench.record import Interval
from kdbench.seeds import seed

FEW = 50
"""Images from which on the tails of a bootstrap of their mean are no worse than Student's t."""


def image_values(metric: Metric, images: ImageSet, targets: ImageSet | None = None) -> Tensor:
    """One number of a `per-image` or `paired` metric for each image.

    Args:
        metric: which; one that needs features is given them in the place of the images.
        images: one or more, of one size.
        targets: of the same shape, image by image, for a `paired` metric.

    Returns:
        (N,).

    Raises:
        NothingMeasured: no features where they are needed, targets of another shape, or whatever
            keeps the metric itself from measuring.
        BadSpec: the metric's function does not give what its kind promises.

    >>> from kdbench.metrics.paired import l1
    >>> black = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    >>> labels = torch.zeros(2, dtype=torch.int64)
    >>> image_values(l1, ImageSet(black, labels), ImageSet(black + 3, labels)).tolist()
    [3.0, 3.0]
    """
    given = [_given(metric, one) for one in (images, targets) if one is not None]
    if any(tensor.shape != given[0].shape for tensor in given):
        own, other = (tuple(tensor.shape) for tensor in given)
        raise NothingMeasured(
            f"{metric.id} compares images of one shape: the targets are {other} and the "
            f"images {own}."
        )
    values = metric.function(*given)
    if not isinstance(values, Tensor) or values.shape != (len(images),):
        raise BadSpec(f"{metric.id} is a {metric.kind} metric and must return a number an image.")
    return values


def shuffled_values(metric: Metric, images: ImageSet, targets: ImageSet) -> Tensor:
    """The numbers of a `paired` metric where every image has the target of another image.

    Images of one data set are alike in much, and so are any two of them. What an image has of its
    own target is the difference to these values. It is the same other image every time.

    Args, raises: as `image_values`.

    Returns:
        (N,); (0,) of one image, which has no other.
    """
    if len(targets) < 2:
        return torch.empty(0, dtype=torch.float64)
    return image_values(metric, images, _reordered(targets, strangers(len(targets))))


def strangers(n: int) -> Tensor:
    """(n,), int64: for each of n images, two or more, the number of another one, all used once.

    >>> order = strangers(5)
    >>> order.sort().values.tolist(), bool((order == torch.arange(5)).any())
    ([0, 1, 2, 3, 4], False)
    """
    ring = torch.from_numpy(np.random.default_rng(seed("shuffled")).permutation(n))
    order = torch.empty(n, dtype=torch.int64)
    order[ring] = ring.roll(1)
    return order


def over_images(metric: Metric, values: Tensor, *, shuffled: Tensor | None = None) -> Estimate:
    """The mean over images with `mean_interval` over them, clipped to the metric's bounds.

    Details are `median`, `p5` and `p95` (5th and 95th percentile), `resamples` of a bootstrap and,
    where every image has one, the mean of `shuffled`. The worst images are at `p5` where higher is
    better, at `p95` where lower is. A number that is not finite voids the mean.

    Args:
        metric: whose numbers these are.
        values: (N,); see `image_values`. One has no interval.
        shuffled: (N,) or fewer; see `shuffled_values`.
    """
    numbers = values.detach().double().cpu().numpy()
    failed = int((~np.isfinite(numbers)).sum())
    if failed:
        reason = f"{metric.id} is not finite for {failed} of {len(numbers)} images."
        return Estimate(None, None, reason)
    details: dict[str, float | None] = {
        "median": float(np.median(numbers)),
        "p5": float(np.quantile(numbers, 0.05)),
        "p95": float(np.quantile(numbers, 0.95)),
    }
    if len(numbers) >= FEW:
        details["resamples"] = float(RESAMPLES)
    if shuffled is not None and len(shuffled) == len(values):
        mean = float(shuffled.double().mean())
        details["shuffled"] = mean if math.isfinite(mean) else None
    if len(numbers) == 1:
        return Estimate(float(numbers[0]), None, "No interval: it is one image.", details)
    interval = clipped(mean_interval(numbers), metric.bounds)
    return Estimate(float(numbers.mean()), interval, None, details)


def mean_interval(values: NDArray[np.float64]) -> Interval:
    """The interval of a mean over images: Student t below `FEW` of them, from there a bootstrap.

    A percentile bootstrap is too narrow for few values. Of 2,000 draws, these shares of the
    nominal 95 % of intervals held the mean, bootstrap and Student t:

        n               5             10            20            50
        normal          0.84  0.95    0.90  0.94    0.93  0.95    0.94  0.95
        exponential     0.77  0.89    0.86  0.90    0.90  0.92    0.93  0.94
        log-normal, 1   0.70  0.81    0.79  0.84    0.85  0.86    0.90  0.90

    Where values are as skewed as the last two, either is an interval of less than 95 %.

    Args:
        values: (n,), finite, two or more.

    >>> [mean_interval(np.arange(float(n))).method for n in (49, 50)]
    ['student-t', 'bootstrap']
    """
    n = len(values)
    if n >= FEW:
        return bootstrap(values)
    mean, error = float(values.mean()), standard_error_of_mean(values.tolist())
    return t_interval(mean, error, df=n - 1, method="student-t")


def _given(metric: Metric, images: ImageSet) -> Tensor:
    if not metric.needs_features:
        return images.images
    if images.features is None:
        raise NothingMeasured(f"{metric.id} needs features: run the extractor first.")
    return images.features


def _reordered(images: ImageSet, order: Tensor) -> ImageSet:
    features = None if images.features is None else images.features[order]
    return ImageSet(images.images[order], images.labels[order], features)
