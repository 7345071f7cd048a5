"""Precision, recall, density and coverage: how far two sets reach into each other.

Precision and density ask whether generated images lie where real ones do, recall and coverage
whether real images lie where generated ones do; `kdbench.metrics.neighbours` has the balls that
decide it. Two samples of one distribution do not read 1, but less by an amount that depends on
features and N: compare at equal N only, and beside a real sample.

Intervals are given the reference. Each generated image then is inside or outside by itself, so that
precision is a share and density a mean of independent images, and one block has an interval. In
recall and coverage, what an image adds depends on where the others are; a jackknife of such counts
is 1.4 to 1.8 times too wide (measured), so their intervals are over disjoint blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from kdbench.metrics.base import Estimate, ImageSet, Metric, metric
from kdbench.metrics.feature_pair import checked_features, feature_pair
from kdbench.metrics.intervals import t_interval, wilson
from kdbench.metrics.neighbours import Neighbours, check_sizes, neighbours, radii
from kdbench.metrics.remembered import remembered

KS = (3, 5)
"""Balls reach to the 5th neighbour, or to the 3rd in the variants; both come from one pass."""

KYNKAANNIEMI = "Kynkäänniemi et al. 2019, arXiv:1904.06991"
NAEEM = "Naeem et al. 2020, arXiv:2002.09797"

TORCH_FIDELITY = f"{KYNKAANNIEMI}; torch-fidelity 0.4.0"
VGG16 = "vgg16-fc2@1"

FROM_BLOCKS = (
    "No interval from one block: what an image adds depends on the others, and a jackknife of such "
    "counts is too wide. There is one from two blocks on."
)

FEW = 1_000
"""Below, all four still change with N; dgm-eval takes 10,000."""


def precision_of(balls: Neighbours) -> Estimate:
    """Share of generated images inside the ball of any reference image.

    Blind to lost modes and lost variety: one perfect image again and again scores 1, and a mode's
    shrinking raises it. One outlier among the reference images has a ball that takes in much.

    The interval is Wilson's for a share of independent images, given the reference.

    >>> import torch
    >>> real = torch.tensor([[0.0], [1.0], [2.0]])
    >>> round(precision_of(neighbours(real + 1.5, real, ks=(1,))[1]).value, 2)
    0.67
    """
    return Estimate(balls.precision, wilson(int(balls.around.count_nonzero()), len(balls.around)))


def recall_of(balls: Neighbours) -> Estimate:
    """Share of reference images inside the ball of any generated image.

    The most sensitive of the four to lost modes and to spread lost within modes. Blind to quality:
    noise and outliers widen the balls and raise it; and to re-weighted modes.

    >>> import torch
    >>> real = torch.tensor([[0.0], [1.0], [2.0]])
    >>> round(recall_of(neighbours(real + 1.5, real, ks=(1,))[1]).value, 2)
    0.67
    """
    return Estimate(balls.recall, None, FROM_BLOCKS)


def density_of(balls: Neighbours) -> Estimate:
    """Reference balls around a generated image, on average, over k: 1 for equal distributions.

    Outliers and noise lower it; images that crowd in the middle of modes raise it above 1, so more
    is not better by itself, and spread lost within modes looks like merit. Blind to lost modes.

    The interval is Student t over generated images, given the reference.

    >>> import torch
    >>> real = torch.tensor([[0.0], [1.0], [2.0]])
    >>> round(density_of(neighbours(real + 1.5, real, ks=(1,))[1]).value, 2)
    1.0
    """
    counts = balls.around.double() / balls.k
    error = float(counts.std()) / math.sqrt(len(counts))
    details: dict[str, float | None] = {"standard_error": error}
    if error == 0:
        alike = "No interval: every image lies in as many balls as any other."
        return Estimate(balls.density, None, alike, details)
    interval = t_interval(balls.density, error, df=len(counts) - 1, method="t")
    return Estimate(balls.density, interval, None, details)


def coverage_of(balls: Neighbours) -> Estimate:
    """Share of reference images whose ball holds a generated image; about 1 - 2⁻ᵏ at its best.

    Sees lost modes. Blind to spread lost within modes, which can raise it, to re-weighted modes
    and to a few outliers.

    >>> import torch
    >>> real = torch.tensor([[0.0], [1.0], [2.0]])
    >>> round(coverage_of(neighbours(real + 1.5, real, ks=(1,))[1]).value, 2)
    0.67
    """
    return Estimate(balls.coverage, None, FROM_BLOCKS)


def ball_metric(
    read: Callable[[Neighbours], Estimate],
    name: str,
    *,
    k: int = 5,
    strict: bool = True,
    extractor: str | None = None,
    higher_is_better: bool | None = True,
    most: float | None = 1.0,
    source: str,
) -> Metric:
    """What `read` makes of balls that reach to the k-th neighbour, as a metric.

    It is called with generated and reference features, (N, D), float32, N above 5, and raises
    NothingMeasured as `balls_of` does.
    """

    def value(generated: ImageSet, reference: ImageSet) -> Estimate:
        return read(balls_of(generated, reference, strict=strict)[k])

    value.__doc__ = read.__doc__
    rim = "strict inequality" if strict else "boundary inclusive"
    make = metric(
        kind="set",
        name=name,
        higher_is_better=higher_is_better,
        bounds=(0.0, most),
        needs_features=True,
        extractor=extractor,
        equal_n=True,
        few=FEW,
        protocol=f"k={k}, Euclidean, self excluded, {rim}, equal n, float64",
        source=source,
    )
    return make(value)


@remembered
def balls_of(
    generated: ImageSet, reference: ImageSet, *, strict: bool = True
) -> dict[int, Neighbours]:
    """Ball memberships of these very sets by k, kept for every metric that reads them.

    Raises:
        NothingMeasured: the sets differ in size or have fewer than 6 images, or see
            `feature_pair`.
    """
    x, y = feature_pair(generated, reference)
    check_sizes(len(x), len(y), KS)
    radii_x, radii_y = _radii(generated), _radii(reference)
    return neighbours(x, y, ks=KS, strict=strict, radii_x=radii_x, radii_y=radii_y)


@remembered
def _radii(images: ImageSet) -> Tensor:
    """(N, 2): `radii` for `KS`, which do not depend on what the set is compared with."""

    def make() -> dict[str, Tensor]:
        return {"squared": radii(checked_features(images, "compared"), KS)}

    return images.kept("radii-k3-k5@1", make)["squared"]


precision = ball_metric(precision_of, "precision", source=KYNKAANNIEMI)
recall = ball_metric(recall_of, "recall", source=KYNKAANNIEMI)
density = ball_metric(density_of, "density", higher_is_better=None, most=None, source=NAEEM)
coverage = ball_metric(coverage_of, "coverage", source=NAEEM)

precision_k3 = ball_metric(precision_of, "precision-k3", k=3, source=KYNKAANNIEMI)
recall_k3 = ball_metric(recall_of, "recall-k3", k=3, source=KYNKAANNIEMI)
density_k3 = ball_metric(
    density_of, "density-k3", k=3, higher_is_better=None, most=None, source=NAEEM
)
coverage_k3 = ball_metric(coverage_of, "coverage-k3", k=3, source=NAEEM)

precision_tf = ball_metric(
    precision_of, "precision-tf", k=3, strict=False, extractor=VGG16, source=TORCH_FIDELITY
)
recall_tf = ball_metric(
    recall_of, "recall-tf", k=3, strict=False, extractor=VGG16, source=TORCH_FIDELITY
)
