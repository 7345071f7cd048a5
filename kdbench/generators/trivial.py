"""Generators that learn nothing: the marks below which no student may be, and the floor above."""

from __future__ import annotations

import torch
from torch import Tensor

from kdbench.generators.base import Inputs
from kdbench.tasks.base import Task


class ClassMean:
    """The mean training image of the class that is asked for, whatever the latent."""

    nfe = 0

    def __init__(self, task: Task) -> None:
        split = task.split("train")
        images = task.decode(task.encode(split.images))
        self._means = torch.stack(
            [images[split.labels == label].mean(0) for label in range(task.classes)]
        )

    def __call__(self, inputs: Inputs) -> Tensor:
        """Class means, (N, C, H, W)."""
        return self._means[inputs.labels]


class Noise:
    """The latent itself, scaled to the data's mean and standard deviation."""

    nfe = 0

    def __init__(self, task: Task) -> None:
        images = task.decode(task.encode(task.split("train").images))
        self._mean, self._std = images.mean(), images.std()

    def __call__(self, inputs: Inputs) -> Tensor:
        """Noise with the data's mean and spread, (N, C, H, W)."""
        return self._mean + self._std * inputs.latents


class Real:
    """Images of the training split: what real data score against real data.

    Input i becomes training image i modulo the size of the split, so a set as large as the split
    holds every image once. The labels that are asked for play no part.
    """

    nfe = 0

    def __init__(self, task: Task) -> None:
        split = task.split("train")
        self._images = task.decode(task.encode(split.images))
        self._labels = split.labels

    def __call__(self, inputs: Inputs) -> Tensor:
        """Training images, (N, C, H, W)."""
        return self._images[inputs.index % len(self._images)]

    def labels_of(self, inputs: Inputs) -> Tensor:
        """The images' own labels, which stand in for the ones that were asked for."""
        return self._labels[inputs.index % len(self._labels)]
