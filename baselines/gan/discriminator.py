"""The discriminator: a small convolutional network without normalisation."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from kdbench.tasks.base import Task

SLOPE = 0.2


class Discriminator(nn.Module):
    """Three convolutions, one linear layer, the label by projection.

    Projection: Miyato and Koyama 2018, arXiv:1802.05637. No layer mixes images of a batch, so
    the gradient penalties are per image.
    """

    def __init__(self, task: Task, *, channels: int, width: int = 128) -> None:
        super().__init__()
        image, height, across = task.shape
        c = channels
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(image, c, 3, padding=1),
                nn.Conv2d(c, 2 * c, 4, stride=2, padding=1),
                nn.Conv2d(2 * c, 4 * c, 4, stride=2, padding=1),
            ]
        )
        self.exit = nn.Linear(4 * c * (height // 4) * (across // 4), width)
        self.label = nn.Embedding(task.classes, width)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """(B, C, H, W) and (B,) to one logit an image, (B,)."""
        x = images
        for convolution in self.convolutions:
            x = F.leaky_relu(convolution(x), SLOPE)
        hidden = F.leaky_relu(self.exit(x.flatten(1)), SLOPE)
        direction: Tensor = self.label(labels)
        return (hidden * direction).sum(1) / math.sqrt(direction.shape[1])
