"""A task (two half circles in the plane), a metric for it, and its trivial generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kdbench import Estimate, ImageSet, Inputs, Split, Task, Use, metric


class Moons(Task):
    """Make points of the upper half circle (label 0) or of the lower one (label 1)."""

    name = "moons"
    kind = "points in the plane"
    shape = (2, 1, 1)
    classes = 2
    sigma_data = 0.7
    quantised = False
    main = "wasserstein2@1"
    margin = 0.05
    n = 200
    uses = (Use("wasserstein2@1", n=200), Use("mean-error@1", n=200))

    def split(self, name: str) -> Split:
        """500 points, other ones for every split."""
        generator = torch.Generator().manual_seed(len(name))
        labels = torch.arange(500) % 2
        angle = math.pi * (torch.rand(500, generator=generator) + labels)
        return Split(torch.stack([angle.cos(), angle.sin()], dim=1)[:, :, None, None], labels)

    def encode(self, images: Tensor) -> Tensor:
        """Points as they are."""
        return images

    def decode(self, values: Tensor) -> Tensor:
        """Points as they are."""
        return values


@metric(kind="set", higher_is_better=False, bounds=(0, None), source="difference of means")
def mean_error(generated: ImageSet, reference: ImageSet) -> Estimate:
    """Distance between the mean point of both sets."""
    difference = generated.images.double().mean(0) - reference.images.double().mean(0)
    return Estimate(float(difference.norm()), reason="a mean: its spread is over seeds")


class Centre:
    """The centre of each half circle, whatever the latent."""

    nfe = 0

    def __init__(self, task: Task, height: float = 2 / math.pi) -> None:
        self.height = height

    def __call__(self, inputs: Inputs) -> Tensor:
        """Points (N, 2, 1, 1)."""
        y = self.height * (1 - 2 * inputs.labels.float())
        return torch.stack([torch.zeros_like(y), y], dim=1)[:, :, None, None]
