"""The task `toy@1`: two distributions in the plane whose truth is known exactly.

Label 0 asks for a ring of 8 Gaussians, label 1 for a 5×5 grid of them. "Images" are points,
(N, 2, 1, 1), float32, never quantised; there is nothing to extract features from.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kdbench.metrics.base import Estimate, ImageSet, Use, metric
from kdbench.metrics.points import modes_covered
from kdbench.seeds import seed
from kdbench.tasks.base import Split, Task

STD = 0.05
"""Standard deviation of every mode."""

_ANGLES = torch.arange(8) * (2 * math.pi / 8)
_SIDE = torch.linspace(-1, 1, 5)
MODES: dict[int, Tensor] = {
    0: torch.stack([_ANGLES.cos(), _ANGLES.sin()], dim=1),
    1: torch.cartesian_prod(_SIDE, _SIDE),
}
"""Centres of the modes of each label, (M, 2)."""

SIZES = {"train": 20_000, "validation": 1_000, "held-out": 1_000}


class Toy(Task):
    """Make points of a ring of 8 Gaussians or of a grid of 25."""

    name = "toy"
    kind = "points in the plane"
    shape = (2, 1, 1)
    classes = 2
    sigma_data = 0.7  # root mean square of a coordinate: ring 0.709, grid 0.709
    quantised = False
    main = "wasserstein2@1"
    margin = 0.02
    n = 1000
    uses = (Use("wasserstein2@1", n=1000), Use("modes-covered@1", n=1000))

    def split(self, name: str) -> Split:
        """Exact samples: `train` (20,000), `validation` or `held-out` (1,000 each).

        The latter two have every mode equally often, so that they stand for the truth with less
        noise of their own than an independent sample would.
        """
        generator = torch.Generator().manual_seed(seed("split", self.id, name))
        labels = torch.arange(SIZES[name]) % self.classes
        return Split(draw(labels, generator, balanced=name != "train"), labels)

    def encode(self, images: Tensor) -> Tensor:
        """Points as they are."""
        return images

    def decode(self, values: Tensor) -> Tensor:
        """Points as they are."""
        return values


def draw(labels: Tensor, generator: torch.Generator, *, balanced: bool = False) -> Tensor:
    """Exact samples of the distributions that `labels` (N,) ask for, as (N, 2, 1, 1).

    Args:
        labels: 0 for the ring, 1 for the grid.
        generator: of the modes and of the noise.
        balanced: take modes in turn instead of independently.
    """
    points = torch.randn((len(labels), 2), generator=generator) * STD
    for label, centres in MODES.items():
        chosen = labels == label
        n = int(chosen.sum())
        mode = torch.randint(len(centres), (n,), generator=generator)
        points[chosen] += centres[torch.arange(n) % len(centres) if balanced else mode]
    return points[:, :, None, None]


@metric(
    kind="set",
    higher_is_better=True,
    name="modes-covered",
    unit="of 33",
    bounds=(0, 33),
    sets=(),
    protocol="within 3 standard deviations, a tenth of the mode's fair share",
    source="Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761; the share is kdbench's own",
)
def modes_covered_metric(generated: ImageSet) -> Estimate:
    """How many of the 8 + 25 modes are covered; the modes are known, so no reference is needed.

    Blind to how often a mode comes, and to what lies between modes.

    Args:
        generated: images (N, 2, 1, 1), float32, and labels.

    >>> labels = torch.arange(4000) % 2
    >>> points = draw(labels, torch.Generator().manual_seed(0))
    >>> modes_covered_metric(ImageSet(points, labels)).value
    33.0
    """
    covered = sum(
        modes_covered(generated.images[generated.labels == label].flatten(1), centres, std=STD)
        for label, centres in MODES.items()
    )
    return Estimate(float(covered), reason="a count: its spread is over seeds")
