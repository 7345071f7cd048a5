"""Memorisation: how close generated images lie to the training images, and real unseen ones do.

No score separates memorisation from a good fit (Stein et al. 2023, arXiv:2306.04675): a generator
that learnt the data well is close to the training images too, and one that lost variety, whose
images crowd where training images are dense, is closer yet. Look at the neighbours themselves,
`kdbench.metrics.nearest_images`, before saying that anything was copied.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from kdbench.metrics.base import Estimate, ImageSet, Tensors, metric
from kdbench.metrics.distances import nearest
from kdbench.metrics.feature_pair import checked_features, feature_pair
from kdbench.metrics.intervals import LEVEL, RESAMPLES, wilson
from kdbench.metrics.remembered import remembered
from kdbench.record import Interval
from kdbench.seeds import seed

Numbers = NDArray[np.float64]

FEW = 500
"""As for the copying test."""


@metric(
    kind="set",
    higher_is_better=None,
    bounds=(0.0, 1.0),
    sets=("train", "reference"),
    needs_features=True,
    few=FEW,
    protocol="Euclidean, nearest training image, self excluded, strict inequality, float64",
    source="Alaa et al. 2022, arXiv:2102.08921, section 3 (authenticity); interval of Wilson 1927",
)
def authenticity(generated: ImageSet, train: ImageSet, reference: ImageSet) -> Estimate:
    """Share of generated images that are farther from the training images than those are apart.

    A generated image counts if it is farther from its nearest training image than that image is
    from its own nearest other training image. Detail `held_out` is the same share of real unseen
    images, the mark to compare with: it is rarely near 1, and a value above it is no merit, since
    pure noise reaches 1. No score separates memorisation from a good fit (Stein et al. 2023), nor
    from lost variety: look at the neighbours themselves. Blind to a few copies among many images,
    and to altered copies of training images that have a twin.

    The interval is that of a share of independent images, given the training set.

    Args:
        generated, train, reference: features (N, D), (T, D) and (M, D), float32, each 2 or more.

    Raises:
        NothingMeasured: see `feature_pair`.

    >>> import torch
    >>> made, train, real = torch.randn(3, 500, 4)
    >>> copying = torch.cat([train[:400] + 1e-3, made[400:]])
    >>> sets = [ImageSet(x, torch.zeros(500), x) for x in (copying, train, real)]
    >>> estimate = authenticity(*sets)
    >>> estimate.value < 0.2, estimate.details["held_out"] > 0.4
    (True, True)
    """
    feature_pair(generated, reference)
    authentic = is_authentic(generated, train)
    hits, held_out = int(authentic.sum()), float(is_authentic(reference, train).double().mean())
    n = len(authentic)
    return Estimate(hits / n, wilson(hits, n), None, {"held_out": held_out})


@metric(
    kind="set",
    higher_is_better=None,
    bounds=(0.0, None),
    sets=("train", "reference"),
    needs_features=True,
    few=FEW,
    protocol="Euclidean, nearest training image, ratio of medians, float64",
    source="median nearest-training distance over that of held-out images; Efron 1979, bootstrap",
)
def nearest_ratio(generated: ImageSet, train: ImageSet, reference: ImageSet) -> Estimate:
    """Median distance to the nearest training image, over the same median of unseen real images.

    Below 1, generated images are closer to the training set than unseen real ones. The sets may
    differ in size, because all images are looked up in the same training set. No score separates
    memorisation from a good fit (Stein et al. 2023), nor from lost variety: look at the neighbours
    themselves. Blind to copies until they are many: half of the images must be copies for the value
    to be 0, and images that stray make up for copies.

    The interval is a percentile bootstrap over generated and held-out images, given the training
    set; `standard_error` is the standard deviation of the resampled ratios.

    Args:
        generated, train, reference: features (N, D), (T, D) and (M, D), float32, each 2 or more.

    Raises:
        NothingMeasured: see `feature_pair`.

    >>> import torch
    >>> train, real = torch.randn(2, 500, 4)
    >>> sets = [ImageSet(x, torch.zeros(500), x) for x in (train + 0.01, train, real)]
    >>> nearest_ratio(*sets).value < 0.1
    True
    """
    feature_pair(generated, reference)
    own, held_out = (nearest_training(s, train)[0].sqrt().numpy() for s in (generated, reference))
    if np.median(held_out) == 0:
        return Estimate(None, None, "Half of the held-out images are training images.")
    value = float(np.median(own) / np.median(held_out))
    draw = np.random.default_rng(seed("nearest-ratio"))
    above, below = resampled_medians(own, draw), resampled_medians(held_out, draw)
    if below.min() == 0:
        return Estimate(value, None, "No interval: too many held-out images are training images.")
    error = float((above / below).std(ddof=1))
    details: dict[str, float | None] = {"standard_error": error, "resamples": float(RESAMPLES)}
    return Estimate(value, _percentiles(above / below), None, details)


def is_authentic(images: ImageSet, train: ImageSet) -> Tensor:
    """(N,) bool: farther from the nearest training image than that is from its nearest other."""
    distances, index = nearest_training(images, train)
    return distances > nearest_other(train)[index]


@remembered
def nearest_training(images: ImageSet, train: ImageSet) -> tuple[Tensor, Tensor]:
    """Squared distances (N,), float64, to the nearest training images, and their numbers (N,).

    Raises:
        NothingMeasured: see `feature_pair`.
    """
    x, y = feature_pair(images, train, name="training")
    distances, index = nearest(x, y)
    return distances[:, 0], index[:, 0]


@remembered
def nearest_other(train: ImageSet) -> Tensor:
    """Squared distances (T,), float64, of training images to their nearest other training image.

    Raises:
        NothingMeasured: see `feature_pair`.
    """

    def make() -> Tensors:
        x = checked_features(train, "training")
        return {"squared": nearest(x, x, exclude_self=True)[0][:, 0]}

    return train.kept("nearest-other@1", make)["squared"]


def resampled_medians(values: Numbers, draw: np.random.Generator) -> Numbers:
    """(`RESAMPLES`,) medians of resamples of (n,) numbers, without making the resamples.

    A resample of sorted values is n uniform numbers rounded down to ranks. Of n uniform numbers,
    the m-th is Beta(m, n - m + 1), and the next one lies Beta(1, n - m) of the rest above it.

    >>> float(np.ptp(resampled_medians(np.ones(4), np.random.default_rng(0))))
    0.0
    """
    n, m = len(values), (len(values) + 1) // 2
    below = draw.beta(m, n - m + 1, size=RESAMPLES)
    gap = 0.0 if n % 2 else draw.beta(1, n - m, size=RESAMPLES)
    ranks = np.floor(n * np.stack([below, below + gap * (1 - below)])).astype(np.int64)
    medians: Numbers = np.sort(values)[ranks.clip(max=n - 1)].mean(0)
    return medians


def _percentiles(values: Numbers) -> Interval:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    return Interval(level=LEVEL, low=low, high=high, source="sampling", method="bootstrap")
