"""Fréchet distance in several features, its limit for many images, and that to the teacher."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np
import torch
from torch import Tensor

from kdbench.metrics.base import Estimate, ImageSet, Metric, Tensors, metric
from kdbench.metrics.feature_pair import checked_features, feature_pair
from kdbench.metrics.frechet import (
    Gaussian,
    Moments,
    distance,
    jackknifed,
    jackknifed_together,
)
from kdbench.metrics.group_jackknife import GROUPS, Replicates, check_paired, deal
from kdbench.metrics.remembered import remembered
from kdbench.seeds import seed

FEW = 5_000
"""A tenth of the customary 50,000 images."""

PARTS, PERMUTATIONS = 4, 3
"""Of each set, for the extrapolation; and how often its groups are dealt to parts anew."""
WINDOWS = (2, 3)
"""Parts that a smaller set consists of."""

PROTOCOL = "float64, covariance divisor n-1, delete-a-group jackknife with 20 groups a set"
SOURCE = "Dowson and Landau 1982; Heusel et al. 2017, arXiv:1706.08500"

SAID = """Fréchet distance {what}.

The value is the plain plug-in distance, whose bias of order 1/N depends on the generator: compare
at equal N only. Details: `plain`; `standard_error` and `bias_corrected` from the two-sided
jackknife; the latter can be negative and removes most of the bias only where N exceeds the number
of features. The value is marked with the size of its bias {when}. The interval is Student t with
19 degrees of freedom around the value; like any first-order interval it is up to √2 too wide where
both sets come from one distribution. Blind to all but mean and covariance: to copies of training
images, and to any difference of shape that leaves these two alike.

Args:
    generated, reference: features (N, D) and (M, D), float32, N and M at least 2.

Raises:
    NothingMeasured: see `feature_pair`.

>>> rows = torch.randn(40, 3)
>>> x, y = (ImageSet(part, torch.zeros(40), part) for part in (rows + 2, rows))
>>> round({function}(x, y).value, 5)  # three features that differ by 2
12.0
"""
BIASED = "with no more images than features, and where the bias exceeds two standard errors"


def frechet_metric(
    name: str, what: str, *, extractor: str | None = None, few: int = 0, source: str = SOURCE
) -> Metric:
    """The distance between generated and reference images in one extractor's features.

    Args:
        name: of the metric.
        what: its features, in words.
        extractor: the one that the metric means; the task's if not given.
        few: with fewer images in a set the value is marked.
        source: paper.
    """

    def fd(generated: ImageSet, reference: ImageSet) -> Estimate:
        found = compared(generated, reference)
        return estimated(found, sample_sizes(fitted(generated), fitted(reference)), few=few)

    when = f"below {few:,} images, {BIASED}" if few else BIASED
    fd.__doc__ = SAID.format(what=what, when=when, function=name.replace("-", "_"))
    make = metric(
        kind="set",
        name=name,
        higher_is_better=False,
        bounds=(0.0, None),
        needs_features=True,
        extractor=extractor,
        few=few,
        protocol=PROTOCOL,
        source=source,
    )
    return make(fd)


fd = frechet_metric("fd", "in the task's own features; `FID` is this in Inception features alone")
fid = frechet_metric(
    "fid",
    "in features of the 2015 Inception graph, with its own resize: FID",
    extractor="inception-v3-compat@1",
    few=FEW,
)
fd_dinov2 = frechet_metric(
    "fd-dinov2",
    "in features of DINOv2 ViT-L/14, which Stein et al. recommend over Inception's",
    extractor="dinov2-vit-l14@1",
    few=FEW,
    source=f"{SOURCE}; Stein et al. 2023, arXiv:2306.04675",
)
fd_clip = frechet_metric(
    "fd-clip",
    "in features of CLIP ViT-B/32",
    extractor="clip-vit-b32@1",
    few=FEW,
    source=f"{SOURCE}; Kynkäänniemi et al. 2022, arXiv:2203.06026",
)


@metric(
    kind="set",
    higher_is_better=False,
    bounds=(0.0, None),
    sets=("teacher",),
    needs_features=True,
    protocol="float64, covariance divisor n-1, delete-a-group jackknife with 20 groups of latents",
    source=SOURCE,
)
def fd_teacher(generated: ImageSet, teacher: ImageSet) -> Estimate:
    """Fréchet distance to the teacher's images of the same latents, in the task's features.

    0 for a student whose images have the teacher's mean and covariance. Latents in common make
    the two sets alike, so that the value is below that of sets from other latents: compare
    students at equal N only. Details, marks and interval are those of `fd`, with the same latents
    left out of both sets together. Blind to how good the teacher is, to which image belongs to
    which latent, and to what `fd` is blind to.

    Args:
        generated, teacher: features (N, D), float32, and equal labels, N at least 2.

    Raises:
        NothingMeasured: see `feature_pair` and `check_paired`.

    >>> rows = torch.randn(40, 3)
    >>> student, teacher = (ImageSet(part, torch.zeros(40), part) for part in (rows.flip(0), rows))
    >>> round(fd_teacher(student, teacher).value, 5)  # the same images, of other latents
    0.0
    """
    feature_pair(generated, teacher, name="teacher")
    check_paired(generated, teacher)
    found = jackknifed_together(fitted(generated), fitted(teacher), deal(generated.labels))
    return estimated(found, sample_sizes(fitted(generated), fitted(teacher)))


@metric(
    kind="set",
    higher_is_better=False,
    needs_features=True,
    protocol="float64, covariance divisor n-1, straight line in 1/n through 1/2, 3/4 and all of "
    "both sets, 3 permutations of 20 groups in 4 parts",
    source="Chong and Forsyth 2020, arXiv:1911.07023, with both sets cut and every part used alike",
)
def fd_infinity(generated: ImageSet, reference: ImageSet) -> Estimate:
    """Fréchet distance, in the task's features, extrapolated to infinitely many images of both.

    The mean distance of all sets is taken at a half, three quarters and the whole of both sets,
    always cut by the same share, and a straight line in 1/share is followed to 0. That removes
    what both sets add to the bias in first order; what is left is of order 1/N². In the paper only
    the generated set is cut and the bias of the reference stays.

    The smaller sets are unions of 2 or 3 of 4 parts in cyclic order, so that each image is in as
    many as any other: to first order the value then varies as the plain distance does, and its
    standard error is that of the two-sided jackknife; the interval is Student t with 19 degrees
    of freedom. The value can be negative; it is about 0 for a second real set. Details: `plain`
    and `standard_error`. Blind to what `fd` is blind to.

    Args:
        generated, reference: features (N, D) and (M, D), float32, N and M at least 20.

    Raises:
        NothingMeasured: see `feature_pair`.

    >>> x, y = (torch.randn(400, 3, generator=torch.Generator().manual_seed(s)) for s in (1, 2))
    >>> x, y = (ImageSet(rows, torch.zeros(400), rows) for rows in (x, y))
    >>> fd_infinity(x, y).value < fd(x, y).value  # two draws of one distribution
    True
    """
    found = compared(generated, reference)
    if found.left is None:
        return Estimate(None, None, f"Extrapolation needs {GROUPS} images in each set.")
    groups = deal(generated.labels), deal(reference.labels)
    value = extrapolated(fitted(generated), fitted(reference), groups, whole=found.value)
    limit = replace(found, value=value)
    n, d = sample_sizes(fitted(generated), fitted(reference))
    marks = (f"few samples: half of {n:,} for {d:,} features",) if n // 2 <= d else ()
    return replace(limit.estimate(plain=found.value), marks=marks)


def extrapolated(
    first: Gaussian, second: Gaussian, groups: tuple[Tensor, Tensor], *, whole: float
) -> float:
    """The distance at 1/n = 0, see `fd_infinity`.

    Args:
        first, second: the two sets.
        groups: (N,) and (M,), int64: the group of each row, from `deal`.
        whole: the distance between both sets as they are.
    """
    limits = []
    for permutation in range(PERMUTATIONS):
        own = _parts(first, groups[0], seed("fd-infinity", "first", permutation))
        other = _parts(second, groups[1], seed("fd-infinity", "second", permutation))
        means = [_mean_distance(own, other, size) for size in WINDOWS]
        line = np.polyfit([*(PARTS / size for size in WINDOWS), 1], [*means, whole], 1)
        limits.append(line[1])
    return float(np.mean(limits))


def _parts(whole: Gaussian, groups: Tensor, random: int) -> list[Gaussian]:
    """A set in parts of as many groups, which are as many images of each label."""
    order = torch.randperm(GROUPS, generator=torch.Generator().manual_seed(random))
    return [whole.without(~torch.isin(groups, part)) for part in order.chunk(PARTS)]


def _mean_distance(own: list[Gaussian], other: list[Gaussian], size: int) -> float:
    """Mean over all sets of `size` parts that follow each other in a circle."""

    def joined(parts: list[Gaussian], start: int) -> Gaussian:
        return reduce(add, (parts * 2)[start : start + size])

    return float(np.mean([distance(joined(own, i), joined(other, i)) for i in range(PARTS)]))


@remembered
def fitted(images: ImageSet) -> Gaussian:
    """The Gaussian of these very images, kept for every distance to them.

    Raises:
        NothingMeasured: see `checked_features`.
    """
    rows = checked_features(images, "measured")
    n, d = rows.shape
    if n <= d:
        return Gaussian.of(rows)

    def make() -> Tensors:
        found = Moments.of(rows)
        return {"mean": found.mean, "scatter": found.scatter}

    return Gaussian(n, lambda: rows, Moments(n, **images.kept("moments@1", make)))


@remembered
def compared(generated: ImageSet, reference: ImageSet) -> Replicates:
    """The distance between two sets and its two-sided jackknife, kept for every metric of them.

    Raises:
        NothingMeasured: see `feature_pair`.
    """
    feature_pair(generated, reference)
    groups = deal(generated.labels), deal(reference.labels)
    return jackknifed(fitted(generated), fitted(reference), groups)


def estimated(found: Replicates, sizes: tuple[int, int], *, few: int = 0) -> Estimate:
    """A distance with `plain`, `bias_corrected`, its interval, and the size of its bias.

    Args:
        found: the distance with its replicates.
        sizes: images of the smaller set, and features.
        few: with fewer images the value is marked.
    """
    details = {"plain": found.value}
    if found.bias is not None:
        details["bias_corrected"] = found.value - found.bias
    return replace(found.estimate(**details), marks=sampling_marks(found, sizes, few=few))


def sampling_marks(found: Replicates, sizes: tuple[int, int], *, few: int = 0) -> tuple[str, ...]:
    """What to know of a distance from few images: none, or one line with the size of its bias.

    >>> left = torch.tensor([[1.9, 2.1] * 10], dtype=torch.float64) + 0.05
    >>> sampling_marks(Replicates(2.0, left), (1000, 64))
    ('sampling bias about +0.95 of 2.00',)
    """
    n, d = sizes
    parts = []
    if n < few:
        parts.append(f"few samples: {n:,} of at least {few:,}")
    elif n <= d:
        parts.append(f"few samples: {n:,} for {d:,} features")
    bias, error = found.bias, found.standard_error
    if bias is not None and error is not None and (parts or abs(bias) > 2 * error):
        largest = max(abs(bias), abs(found.value))
        digits = max(0, 2 - math.floor(math.log10(largest))) if largest else 0
        parts.append(f"sampling bias about {bias:+,.{digits}f} of {found.value:,.{digits}f}")
    return ("; ".join(parts),) if parts else ()


def sample_sizes(*sets: Gaussian) -> tuple[int, int]:
    """Images of the smallest of some sets, and how many features there are."""
    return min(one.n for one in sets), len(sets[0].mean)
