"""Distances between point sets of the plane: exact optimal transport, and the modes covered."""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import Estimate, ImageSet, metric

NEAR = 3.0
"""Standard deviations within which a point belongs to a mode (VEEGAN, PacGAN)."""

FAIR_SHARE = 0.1
"""A mode is covered from this part of the points that it would get if modes shared equally."""


@metric(
    kind="set",
    higher_is_better=False,
    bounds=(0.0, None),
    protocol="exact assignment between as many points of one label, mean over labels",
    source="Peyré and Cuturi 2019, arXiv:1803.00567, prop. 2.1; scipy linear_sum_assignment",
)
def wasserstein2(generated: ImageSet, reference: ImageSet) -> Estimate:
    """Wasserstein-2 distance to the reference points of the same label, mean over labels.

    Within a label the first m generated points meet the first m reference points, m being the
    smaller count, by the assignment with the least mean squared distance; its root is the
    distance. Two samples of one distribution are apart by about the same at one m, never by 0, so
    compare at equal sizes and beside a real sample. Details: `label_L` for each label L, and
    `matched`, the points that entered.

    Args:
        generated, reference: images (N, 2, 1, 1), float32, finite, with labels.

    Raises:
        NothingMeasured: a label is in one set alone, or a point is not finite.

    Blind to what few of few points show: thin tails and small modes.

    >>> x, y = (ImageSet(torch.full((4, 2, 1, 1), side), torch.zeros(4)) for side in (0.0, 3.0))
    >>> wasserstein2(x, y).value
    4.242640687119285
    """
    labels = sorted({*generated.labels.tolist(), *reference.labels.tolist()})
    details: dict[str, float | None] = {}
    matched = 0
    for label in labels:
        x, y = _of_label(generated, label), _of_label(reference, label)
        m = min(len(x), len(y))
        if m == 0:
            raise NothingMeasured(f"Label {label} occurs in one of the two sets alone.")
        details[f"label_{label}"] = assignment_distance(x[:m], y[:m])
        matched += m
    mean = sum(value for value in details.values() if value is not None) / len(labels)
    return Estimate(mean, details={**details, "matched": float(matched)})


def assignment_distance(x: Tensor, y: Tensor) -> float:
    """Exact Wasserstein-2 distance between two (M, D) point sets of equal size and weight.

    >>> corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> assignment_distance(corners, corners.flip(0) + torch.tensor([3.0, 4.0]))
    5.0
    """
    mode = "donot_use_mm_for_euclid_dist"
    cost = torch.cdist(x.double(), y.double(), compute_mode=mode).square().numpy()
    rows, columns = linear_sum_assignment(cost)
    return float(cost[rows, columns].mean() ** 0.5)


def modes_covered(points: Tensor, centres: Tensor, *, std: float) -> int:
    """How many modes of a Gaussian mixture the points reach.

    A point belongs to its nearest centre if it is within 3 standard deviations of it, and to none
    otherwise. VEEGAN and PacGAN count a mode from its first point; noise then covers every mode if
    only there is enough of it. Here a mode is covered from a tenth of its fair share, N / (10 M)
    of N points for M modes, and never from less than one point.

    Args:
        points: (N, 2), float.
        centres: (M, 2), float.
        std: of every mode, in the unit of the points.

    Source:
        Srivastava et al. 2017, arXiv:1705.07761; Lin et al. 2018, arXiv:1712.04086.

    >>> centres = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    >>> modes_covered(torch.tensor([[0.1, 0.0], [0.5, 0.0], [3.0, 0.0]]), centres, std=0.1)
    1
    """
    distance, nearest = torch.cdist(points.double(), centres.double()).min(1)
    members = torch.bincount(nearest[distance < NEAR * std], minlength=len(centres))
    enough = max(1.0, FAIR_SHARE * len(points) / len(centres))
    return int((members >= enough).sum())


def _of_label(points: ImageSet, label: int) -> Tensor:
    found = points.images[points.labels == label].flatten(1)
    if not found.isfinite().all():
        raise NothingMeasured(f"Some points of label {label} are not finite.")
    return found
