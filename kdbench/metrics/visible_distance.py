"""How far the distribution of a per-image value is from that of the real images."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import Estimate, ImageSet, Metric, Tensors, metric
from kdbench.metrics.group_jackknife import GROUPS, Replicates, deal
from kdbench.metrics.remembered import remembered


def distance(own: Metric) -> Metric:
    """`NAME-distance`: Wasserstein-1 distance of a per-image metric's values to the real images'.

    It is the mean amount by which values would have to be moved, in the metric's own unit. Two
    samples of one distribution are apart by more than 0: details have `floor`, what samples of
    these sizes of the reference's distribution are apart on average, and `generated` and
    `reference`, the mean values, of which the difference has a sign. Intervals are Student t over a
    delete-a-group jackknife of both sets in turn; near the floor they are rough, for there the
    distance is no smooth function of the data.

    Raises NothingMeasured where the metric does, or if a value is not finite.

    Args:
        own: a metric of the kind `per-image`.
    """

    def measured(generated: ImageSet, reference: ImageSet) -> Estimate:
        x, y = _values(own, generated), _values(own, reference)
        return between(x, y, labels=(generated.labels, reference.labels))

    measured.__doc__ = (
        f"Wasserstein-1 distance of the images' `{own.name}` to that of the real images.\n\n"
        "0 if both sets have equal values, however these belong to the images: it is blind to "
        f"everything that `{own.name}` is blind to.\nDetails: `generated` and `reference`, the "
        "mean values; `floor`, the mean distance of two samples of these sizes of the reference's "
        "distribution; `standard_error`.\n\n"
        ">>> import torch\n"
        ">>> from kdbench.metrics.base import ImageSet\n"
        ">>> images = torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8)\n"
        ">>> x, y = (ImageSet(part, torch.zeros(20)) for part in (images, images.flip(0)))\n"
        f">>> {own.name.replace('-', '_')}_distance(x, y).value\n"
        "0.0\n"
    )
    measured.__module__ = own.function.__module__
    vars(measured)["own"] = own
    return metric(
        kind="set",
        name=f"{own.name}-distance",
        version=own.version,
        higher_is_better=False,
        unit=own.unit,
        bounds=(0.0, None),
        sets=("reference",),
        protocol=f"{own.protocol}; empirical distributions, jackknife with {GROUPS} groups a set",
        source=f"{own.source}; Peyré and Cuturi 2019, arXiv:1803.00567, remark 2.30; "
        "scipy wasserstein_distance",
    )(measured)


def own_of(metric: Metric) -> Metric | None:
    """The per-image metric that a `-distance` is of; None of other metrics.

    It is all that is needed of images that make no set, because their sizes differ.
    """
    found: Metric | None = vars(metric.function).get("own")
    return found


def between(x: Tensor, y: Tensor, *, labels: tuple[Tensor, Tensor]) -> Estimate:
    """The distance of the generated images' values `x` to the reference's `y`; see `distance`.

    Args:
        x, y: (N,) and (M,), float64, finite.
        labels: (N,) and (M,), int64, by which images are dealt to groups.
    """
    found = wasserstein1(x, y, (deal(labels[0]), deal(labels[1])))
    means = {"generated": float(x.mean()), "reference": float(y.mean())}
    return found.estimate(**means, floor=floor(y, n=len(x)))


def refuse_broken(own: Metric, values: Tensor) -> Tensor:
    """The same values.

    Raises:
        NothingMeasured: one is not finite.
    """
    if not values.isfinite().all():
        raise NothingMeasured(f"{own.id} is not finite for some images.")
    return values


def wasserstein1(x: Tensor, y: Tensor, groups: tuple[Tensor, Tensor]) -> Replicates:
    """∫ |F - G| of two samples' empirical distributions, with its jackknife replicates.

    Args:
        x, y: (N,) and (M,), float64, finite.
        groups: (N,) and (M,), int64, the group of each value; see `deal`.

    >>> zeros = torch.zeros(2, dtype=torch.int64)
    >>> x, y = torch.tensor([[0.0, 3.0], [5.0, 6.0]]).double()
    >>> wasserstein1(x, y, (zeros, zeros)).value
    4.0
    """
    values, order = torch.cat([x, y]).sort()
    gaps, from_x = values.diff(), order < len(x)
    stratum = torch.cat([groups[0], groups[1] + GROUPS])[order]

    def area(kept: Tensor) -> float:
        below = [(part & kept).cumsum(0) for part in (from_x, ~from_x)]
        f, g = (counts[:-1].double() / counts[-1] for counts in below)
        return float((f - g).abs() @ gaps)

    value = area(torch.ones_like(from_x))
    if min(len(x), len(y)) < GROUPS:
        few = f"No interval: the jackknife needs {GROUPS} images in both sets."
        return Replicates(value, None, few)
    left = torch.tensor([area(stratum != group) for group in range(2 * GROUPS)])
    return Replicates(value, left.double().view(2, GROUPS))


def floor(y: Tensor, *, n: int) -> float:
    """Mean distance of n and of len(y) values that are drawn from the distribution of `y`.

    To first order the difference of both empirical distributions is normal with the variance
    F (1 - F) (1/n + 1/m) at each value.

    >>> floor(torch.tensor([0.0, 1.0]).double(), n=2)  # √(2/π) times a half
    0.3989422804014327
    """
    values, m = y.sort().values, len(y)
    below = torch.arange(1, m, dtype=torch.float64) / m
    spread = (below * (1 - below)).sqrt() @ values.diff()
    return math.sqrt(2 / math.pi * (1 / n + 1 / m)) * float(spread)


@remembered
def _values(own: Metric, images: ImageSet) -> Tensor:
    """(N,) values of these very images, kept for the next generator that is compared with them."""

    def make() -> Tensors:
        return {"values": cast(Tensor, own.function(images.images)).double()}

    return refuse_broken(own, images.kept(f"values-{own.id}", make)["values"])
