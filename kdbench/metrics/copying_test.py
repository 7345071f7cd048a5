"""The data-copying test of Meehan, Chaudhuri and Dasgupta, with its error outside the null."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from kdbench.metrics.base import Estimate, ImageSet, metric
from kdbench.metrics.clusters import cell_centres, cells_of
from kdbench.metrics.distances import nearest
from kdbench.metrics.feature_pair import feature_pair
from kdbench.metrics.group_jackknife import GROUPS, Replicates, deal

MOST_CELLS = 50
"""As the authors use for 10,000 images a set."""
IMAGES_A_CELL = 50
"""Images of the smaller set a cell, on average."""
ENOUGH = 20
"""A cell counts with more images of each set than this: the authors' τ is 20 over the number of
generated images."""
COPIED = -3.0
"""A cell's z below this is called copied; by chance one cell in 741 is."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Placed:
    """Where the images of a set lie."""

    cells: NDArray[np.int64]
    """(N,)."""
    distances: Numbers
    """(N,) squared, to the nearest training image of the cell."""
    whole: int
    """Images before any were left out: what counts as enough is a share of the set."""

    def without(self, gone: Tensor) -> Placed:
        """The set without the images that are `gone`, (N,) bool."""
        kept = ~gone.numpy()
        return Placed(self.cells[kept], self.distances[kept], self.whole)

    def counts(self) -> NDArray[np.int64]:
        """(`MOST_CELLS`,): images in each cell."""
        return np.bincount(self.cells, minlength=MOST_CELLS)

    def enough(self) -> NDArray[np.bool_]:
        """(`MOST_CELLS`,): cells with a share of images above τ."""
        return self.counts() * self.whole > ENOUGH * len(self.cells)


@dataclass(frozen=True, eq=False)
class Scores:
    """Cells that count."""

    z: Numbers
    """(cells,)."""
    weights: Numbers
    """(cells,): shares of the held-out images in these cells, which sum to 1."""

    @property
    def mean(self) -> float:
        """C_T; nan without cells."""
        return float(self.z @ self.weights) if len(self.z) else math.nan


@metric(
    kind="set",
    higher_is_better=None,
    sets=("train", "reference"),
    needs_features=True,
    few=500,
    protocol="k-means of the training set, min(50, n/50) cells, those of more than 20 images of "
    "each set; Mann-Whitney z with ties, no continuity correction",
    source="Meehan et al. 2020, arXiv:2004.05675, section 3 (C_T); Kott 2001, jackknife",
)
def copying_test(generated: ImageSet, train: ImageSet, reference: ImageSet) -> Estimate:
    """Mean z, over cells, of how close generated images are to training images: C_T.

    Far below 0, generated images are closer to the training images of their cell than held-out
    images are (copying); far above 0, farther (underfitting); about 0, as close. Cells are
    weighted with their share of held-out images. Like any z it grows with n: compare at equal n.
    No score separates memorisation from a good fit (Stein et al. 2023), nor from lost variety,
    which brings images as close: look at the neighbours themselves. Blind to copies in a few cells
    among many (see `copied_cells`), and to cells that the generator does not reach.

    Details: `cells` that count and the `held_out_share` in them, `copied_cells` (z below -3),
    `null_error` (standard deviation of the value for real unseen images, √Σw²), and
    `standard_error` from a jackknife over 20 groups of each set, which holds for every generator.
    The interval is Student t with 19 degrees of freedom, given the training set and its cells.

    Args:
        generated, train, reference: features (N, D), (T, D) and (M, D), float32, each 2 or more.

    Raises:
        NothingMeasured: see `feature_pair`.

    >>> made, train, real = torch.randn(3, 200, 4)
    >>> copying = torch.cat([train[:100] + 0.01, made[100:]])
    >>> copying_test(*(ImageSet(x, torch.zeros(200), x) for x in (copying, train, real))).value < -2
    True
    """
    x, y = feature_pair(generated, reference)
    images = feature_pair(generated, train, name="training")[1]
    centres = cell_centres(train, min(MOST_CELLS, max(min(len(x), len(y)) // IMAGES_A_CELL, 1)))
    made, real = (placed(rows, images, centres) for rows in (x, y))
    scores = cell_scores(made, real)
    if len(scores.z) == 0:
        return Estimate(None, None, f"No cell has more than {ENOUGH} images of each set.")
    return jackknifed(made, real, deal(generated.labels), deal(reference.labels)).estimate(
        cells=float(len(scores.z)),
        held_out_share=float(real.counts()[made.enough() & real.enough()].sum() / len(y)),
        copied_cells=float((scores.z < COPIED).sum()),
        null_error=float(np.linalg.norm(scores.weights)),
    )


def placed(rows: Tensor, train: Tensor, centres: Tensor) -> Placed:
    """Cells of (N, D) rows, and their distances to the (T, D) training images of the same cell."""
    own, theirs = cells_of(rows, centres), cells_of(train, centres)
    distances = np.full(len(rows), np.inf)
    for cell in np.intersect1d(own.numpy(), theirs.numpy()):
        here = own == cell
        distances[here.numpy()] = nearest(rows[here], train[theirs == cell])[0][:, 0].numpy()
    return Placed(own.numpy(), distances, len(rows))


def cell_scores(made: Placed, real: Placed) -> Scores:
    """z and weight of every cell with enough images of both sets."""
    cells = np.flatnonzero(made.enough() & real.enough())
    first, second = ([part.distances[part.cells == c] for c in cells] for part in (made, real))
    z = np.array([mann_whitney_z(a, b) for a, b in zip(first, second, strict=True)])
    held_out = np.array([len(b) for b in second], dtype=np.float64)
    return Scores(z, held_out / held_out.sum())


def jackknifed(made: Placed, real: Placed, own: Tensor, other: Tensor) -> Replicates:
    """C_T, and without each group of one set while the other stays whole.

    Args:
        made, real: the sets.
        own, other: the group of each of their images, (N,) and (M,).
    """
    value = cell_scores(made, real).mean
    left = [
        [cell_scores(made.without(own == group), real).mean for group in range(GROUPS)],
        [cell_scores(made, real.without(other == group)).mean for group in range(GROUPS)],
    ]
    if not np.isfinite(left).all():
        reason = "No interval: without some images no cell has enough of them."
        return Replicates(value, None, reason)
    return Replicates(value, torch.tensor(left, dtype=torch.float64))


def mann_whitney_z(first: Numbers, second: Numbers) -> float:
    """How much larger the first numbers are: z of the Mann-Whitney U, with its ties.

    0 where all numbers are equal, which says nothing either way, or where a set is empty.

    >>> round(mann_whitney_z(np.array([1.0, 2.0]), np.array([3.0, 4.0])), 3)
    -1.549
    """
    n, m = len(first), len(second)
    together = np.concatenate([first, second])
    total, ties = n + m, np.unique(together, return_counts=True)[1].astype(np.float64)
    correction = (ties**3 - ties).sum() / max(total * (total - 1), 1)
    variance = n * m / 12 * (total + 1 - correction)
    if variance <= 0:
        return 0.0
    u = stats.rankdata(together)[:n].sum() - n * (n + 1) / 2
    return float((u - n * m / 2) / math.sqrt(variance))
