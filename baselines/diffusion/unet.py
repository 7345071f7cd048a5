"""The teacher's network: a small convolutional U-Net with two resolutions."""

from __future__ import annotations

import torch
from kdbench_baselines.diffusion.embedding import Condition
from kdbench_baselines.diffusion.precondition import Denoiser
from torch import Tensor, nn
from torch.nn import functional as F

from kdbench.tasks.base import Task

GROUPS = 8


class ResidualBlock(nn.Module):
    """Two convolutions with group norm; the condition scales and shifts between them."""

    def __init__(self, inner: int, outer: int, condition: int, dropout: float) -> None:
        super().__init__()
        self.norm_in = nn.GroupNorm(GROUPS, inner)
        self.conv_in = nn.Conv2d(inner, outer, 3, padding=1)
        self.affine = nn.Linear(condition, 2 * outer)
        self.norm_out = nn.GroupNorm(GROUPS, outer)
        self.dropout = nn.Dropout(dropout)
        self.conv_out = nn.Conv2d(outer, outer, 3, padding=1)
        self.skip = nn.Conv2d(inner, outer, 1) if inner != outer else nn.Identity()
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, inner, H, W) to (B, outer, H, W)."""
        scale, shift = self.affine(condition)[:, :, None, None].chunk(2, dim=1)
        hidden = self.norm_out(self.conv_in(F.silu(self.norm_in(x)))) * (1 + scale) + shift
        out: Tensor = self.skip(x) + self.conv_out(self.dropout(F.silu(hidden)))
        return out


class UNet(nn.Module):
    """One block at full resolution, one at half, one at full again; 215k parameters at 32."""

    def __init__(
        self,
        image: int,
        classes: int,
        channels: int,
        dropout: float,
        *,
        second_time: bool = False,
    ) -> None:
        super().__init__()
        c, width = channels, 4 * channels
        self.condition = Condition(classes, width, second_time=second_time)
        self.entry = nn.Conv2d(image, c, 3, padding=1)
        self.fine = ResidualBlock(c, c, width, dropout)
        self.down = nn.Conv2d(c, 2 * c, 3, stride=2, padding=1)
        self.coarse = ResidualBlock(2 * c, 2 * c, width, dropout)
        self.up = nn.Conv2d(2 * c, c, 3, padding=1)
        self.merge = ResidualBlock(2 * c, c, width, dropout)
        self.norm = nn.GroupNorm(GROUPS, c)
        self.exit = nn.Conv2d(c, image, 3, padding=1)
        nn.init.zeros_(self.exit.weight)
        nn.init.zeros_(self.exit.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, noise: Tensor, labels: Tensor, *second: Tensor) -> Tensor:
        """Scaled noisy image (B, C, H, W), noise level (B,), labels (B,) to (B, C, H, W)."""
        condition = self.condition(noise, labels, *second)
        fine = self.fine(self.entry(x), condition)
        coarse = self.coarse(self.down(fine), condition)
        wide = self.up(F.interpolate(coarse, scale_factor=2.0, mode="nearest"))
        merged = self.merge(torch.cat([wide, fine], dim=1), condition)
        out: Tensor = self.exit(F.silu(self.norm(merged)))
        return out


def unet(
    task: Task,
    *,
    channels: int = 32,
    dropout: float = 0.1,
    second_time: bool = False,
    null_label: bool = False,
) -> Denoiser:
    """A preconditioned U-Net for the images of a task; height and width must be even."""
    classes = task.classes + null_label
    network = UNet(task.shape[0], classes, channels, dropout, second_time=second_time)
    return Denoiser(network, task.sigma_data, null_label=task.classes if null_label else None)
