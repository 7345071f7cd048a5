"""A convolutional generator: three doublings of the resolution, the class in every norm."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from kdbench.errors import BadSpec
from kdbench.tasks.base import Task

GROUPS = 4
LATENT = 128
"""Values of a latent that are looked at, the first ones: images have thousands."""
START = 8
"""The image's height and width over those that the generator begins with."""


class ClassNorm(nn.Module):
    """Group norm, scaled and shifted by the class."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels, affine=False)
        self.affine = nn.Linear(condition, 2 * channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, channels, H, W) to the same."""
        scale, shift = self.affine(condition)[:, :, None, None].chunk(2, dim=1)
        normed: Tensor = self.norm(x) * (1 + scale) + shift
        return normed


class Doubling(nn.Module):
    """Two convolutions at twice the height and width; the last one starts at zero."""

    def __init__(self, inner: int, outer: int, condition: int) -> None:
        super().__init__()
        self.norm_in = ClassNorm(inner, condition)
        self.conv_in = nn.Conv2d(inner, outer, 3, padding=1)
        self.norm_out = ClassNorm(outer, condition)
        self.conv_out = nn.Conv2d(outer, outer, 3, padding=1)
        self.skip = nn.Conv2d(inner, outer, 1)
        for parameter in self.conv_out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, inner, H, W) to (B, outer, 2H, 2W)."""
        hidden = self.conv_in(_doubled(F.silu(self.norm_in(x, condition))))
        hidden = self.conv_out(F.silu(self.norm_out(hidden, condition)))
        out: Tensor = self.skip(_doubled(x)) + hidden
        return out


class ConvGenerator(nn.Module):
    """Latents (B, C, H, W) and labels (B,) to images of the same shape, in the encoded range."""

    def __init__(self, shape: tuple[int, int, int], classes: int, channels: int) -> None:
        super().__init__()
        image, height, across = shape
        c = channels
        self.start = (4 * c, height // START, across // START)
        self.label = nn.Embedding(classes, LATENT)
        self.entry = nn.Linear(LATENT, 4 * c * self.start[1] * self.start[2])
        self.levels = nn.ModuleList(
            Doubling(inner * c, outer * c, LATENT) for inner, outer in ((4, 4), (4, 2), (2, 1))
        )
        self.norm = ClassNorm(c, LATENT)
        self.exit = nn.Conv2d(c, image, 3, padding=1)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """One image a latent."""
        condition = self.label(labels)
        x = self.entry(latents.flatten(1)[:, :LATENT]).view(-1, *self.start)
        for level in self.levels:
            x = level(x, condition)
        out: Tensor = self.exit(F.silu(self.norm(x, condition)))
        return out


def conv_generator(task: Task, *, channels: int) -> ConvGenerator:
    """A one-call generator for the images of a task; latents have the images' shape.

    Args:
        task: whose images have a height and a width that are multiples of 8, and 128 values.
        channels: at full resolution, a multiple of 4; four times as many at the lowest one.

    Raises:
        BadSpec: the images cannot be halved three times.
    """
    _, height, across = task.shape
    if height % START or across % START:
        raise BadSpec(f"conv-generator@1 wants sides that are multiples of 8, not {task.shape[1:]}")
    return ConvGenerator(task.shape, task.classes, channels)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
