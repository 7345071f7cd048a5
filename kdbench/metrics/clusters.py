"""Cells of feature space, and which of them a generator reaches."""

from __future__ import annotations

import warnings

import torch
from scipy import stats
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import Estimate, ImageSet, Tensors, metric
from kdbench.metrics.distances import nearest
from kdbench.metrics.feature_pair import checked_features, feature_pair
from kdbench.metrics.remembered import remembered
from kdbench.seeds import seed

MOST_CELLS = 100
"""As Richardson and Weiss use."""
IMAGES_A_CELL = 20
"""Images a cell, on average, of the generated ones or of half the reference if that is fewer."""
FEWEST = 10
"""A cell counts if that many images, drawn from the reference, put this many there: k-means makes
cells of single outliers, which a second real set misses."""
SHARE = 0.1
"""A cell is covered by this share of the images that real ones would put there."""
ALPHA = 0.05
ITERATIONS = 100


@metric(
    kind="set",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    needs_features=True,
    few=1000,
    protocol="k-means of half the reference, shares of the other half, n/20 cells up to 100, "
    "those of 10 images up, a tenth of the reference's share",
    source="cells and test of Richardson and Weiss 2018, arXiv:1805.12462, section 3",
)
def clusters_covered(generated: ImageSet, reference: ImageSet) -> Estimate:
    """Share of the reference's clusters that hold a tenth or more of their share of images.

    The clusters are k-means cells of one half of the reference in feature space, and their shares
    are those of the other half: a new real sample covers them all. Detail `cells` says how many
    there are, `reference_share` how much of the reference they hold, and `ndb` the share of them in
    which the two sets' proportions differ by a two-sided two-proportion z test at 0.05: about 0.05
    for a new real sample, and growing with n for everything else. Blind to everything within a
    cell (quality, copies, lost variety) and to modes smaller than one.

    There is no interval from one block, because neither a bootstrap nor a jackknife holds for a
    count of thresholds; from two blocks on it is over blocks, given the reference.

    Args:
        generated, reference: features (N, D) and (M, D), float32, N at least 20 and M at least 40.

    Raises:
        NothingMeasured: there are fewer images, or see `feature_pair`.

    >>> x = torch.randn(800, 3)
    >>> real, half = (ImageSet(rows, torch.zeros(len(rows)), rows) for rows in (x, x[x[:, 0] > 0]))
    >>> clusters_covered(real, real).value, 0.4 < clusters_covered(half, real).value < 0.95
    (1.0, True)
    """
    x, y = feature_pair(generated, reference)
    counting = y[halves(len(y))[1]]
    smaller = min(len(x), len(counting))
    if smaller < IMAGES_A_CELL:
        raise NothingMeasured(
            f"Clusters need {IMAGES_A_CELL} generated and {2 * IMAGES_A_CELL} reference images, "
            f"not {len(x)} and {len(y)}."
        )
    count = min(MOST_CELLS, smaller // IMAGES_A_CELL)
    centres = cell_centres(reference, count, half=True)
    made, real = (cell_shares(rows, centres) for rows in (x, counting))
    counted = real * smaller >= FEWEST
    made, real = made[counted], real[counted]
    details: dict[str, float | None] = {
        "cells": float(len(real)),
        "reference_share": float(real.sum()),
        "ndb": float(differs(made, real, n=len(x), m=len(counting)).double().mean()),
    }
    reason = "No interval from one block: neither bootstrap nor jackknife holds for thresholds."
    return Estimate(float((made >= SHARE * real).double().mean()), None, reason, details)


def halves(n: int) -> tuple[Tensor, Tensor]:
    """Numbers of the images in two random halves of n, always the same ones.

    Cells fit the images that they were made of: where features have many directions, those lie
    closer to the centres than new images do, and are counted in other proportions.

    >>> [len(half) for half in halves(5)]
    [2, 3]
    """
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed("halves", n)))
    return order[: n // 2], order[n // 2 :]


@remembered
def cell_centres(images: ImageSet, count: int, *, half: bool = False) -> Tensor:
    """(count or fewer, D), float32: centres of the k-means cells of a set, always the same ones.

    There are fewer than `count` only where the set has fewer distinct images. k-means works
    on a float64 copy of the features: 820 MB for 50,000 x 2,048.

    Args:
        images: features (N, D), float32.
        count: cells.
        half: whether to make them of the first of its `halves` alone.

    Raises:
        NothingMeasured: see `feature_pair`.
    """

    def make() -> Tensors:
        features = checked_features(images, "reference")
        seen = features[halves(len(features))[0]] if half else features
        rows = seen.to(torch.float64, copy=True).numpy()
        means = KMeans(
            min(count, len(rows)),
            n_init=1,
            max_iter=ITERATIONS,
            random_state=seed("cells", count) % 2**32,
            copy_x=False,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct images than cells
            means.fit(rows)
        return {"centres": torch.unique(torch.from_numpy(means.cluster_centers_).float(), dim=0)}

    return images.kept(f"cells-{count}{'-half' * half}@1", make)["centres"]


def cells_of(rows: Tensor, centres: Tensor) -> Tensor:
    """(N,), int64: the number of the nearest centre."""
    return nearest(rows, centres)[1][:, 0]


def cell_shares(rows: Tensor, centres: Tensor) -> Tensor:
    """(cells,), float64: the share of rows in each cell."""
    return torch.bincount(cells_of(rows, centres), minlength=len(centres)).double() / len(rows)


def differs(first: Tensor, second: Tensor, *, n: int, m: int) -> Tensor:
    """Whether shares of `n` and of `m` images differ, by a pooled two-sided z test at 0.05.

    >>> share = torch.tensor([0.5, 0.1], dtype=torch.float64)
    >>> differs(share, torch.tensor([0.5, 0.2], dtype=torch.float64), n=500, m=500).tolist()
    [False, True]
    """
    pooled = (n * first + m * second) / (n + m)
    error = (pooled * (1 - pooled) * (1 / n + 1 / m)).sqrt()
    return (first - second).abs() > float(stats.norm.ppf(1 - ALPHA / 2)) * error
