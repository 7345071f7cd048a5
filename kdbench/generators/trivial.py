"""Generators that learn nothing: the marks below which no student may be, and the floor above."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kdbench.generators.base import Inputs
from kdbench.tasks.base import Task

CHUNK = 10_000
"""Images that are decoded at a time."""


class ClassMean:
    """The mean training image of the class that is asked for, whatever the latent."""

    nfe = 0

    def __init__(self, task: Task) -> None:
        split = task.split("train")
        self._means = torch.stack(
            [
                task.decode(task.encode(split.images[split.labels == label])).mean(0)
                for label in range(task.classes)
            ]
        )

    def __call__(self, inputs: Inputs) -> Tensor:
        """Class means, (N, C, H, W)."""
        return self._means[inputs.labels]


class Noise:
    """The latent itself, scaled to the data's mean and standard deviation."""

    nfe = 0

    def __init__(self, task: Task) -> None:
        values = sums = squares = 0.0
        for images in torch.split(task.split("train").images, CHUNK):
            decoded = task.decode(task.encode(images)).double()
            values += decoded.numel()
            sums += float(decoded.sum())
            squares += float(decoded.square().sum())
        self._mean = sums / values
        self._std = math.sqrt((squares - values * self._mean**2) / (values - 1))

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
        self._task, self._images, self._labels = task, split.images, split.labels

    def __call__(self, inputs: Inputs) -> Tensor:
        """Training images, (N, C, H, W)."""
        chosen = self._images[inputs.index % len(self._images)]
        return self._task.decode(self._task.encode(chosen))

    def labels_of(self, inputs: Inputs) -> Tensor:
        """The images' own labels, which stand in for the ones that were asked for."""
        return self._labels[inputs.index % len(self._labels)]
