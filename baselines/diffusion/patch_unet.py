"""The small U-Net on patches: 2×2 pixels become channels, so convolutions cost a quarter."""

from __future__ import annotations

from kdbench_baselines.diffusion.precondition import Denoiser
from kdbench_baselines.diffusion.unet import ResidualBlock, UNet
from torch import Tensor, nn
from torch.nn import functional as F

from kdbench.errors import BadSpec
from kdbench.tasks.base import Task

PATCH = 2
"""Pixels of a patch in height and in width."""


class Bottleneck(ResidualBlock):
    """Residual blocks one after another, all with the same condition."""

    def __init__(self, channels: int, condition: int, dropout: float, *, blocks: int) -> None:
        super().__init__(channels, channels, condition, dropout)
        self.further = nn.ModuleList(
            ResidualBlock(channels, channels, condition, dropout) for _ in range(blocks - 1)
        )

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        x = super().forward(x, condition)
        for block in self.further:
            x = block(x, condition)
        return x


class PatchUNet(UNet):
    """The U-Net between a space-to-depth and its inverse; its modules keep their names."""

    def __init__(
        self,
        image: int,
        classes: int,
        channels: int,
        dropout: float,
        *,
        coarse: int = 1,
        second_time: bool = False,
    ) -> None:
        values = image * PATCH**2
        super().__init__(values, classes, channels, dropout, second_time=second_time)
        self.coarse = Bottleneck(2 * channels, 4 * channels, dropout, blocks=coarse)

    def forward(self, x: Tensor, noise: Tensor, labels: Tensor, *second: Tensor) -> Tensor:
        """Scaled noisy image (B, C, H, W), noise level (B,), labels (B,) to (B, C, H, W)."""
        patches = F.pixel_unshuffle(x, PATCH)
        return F.pixel_shuffle(super().forward(patches, noise, labels, *second), PATCH)


def patch_unet(
    task: Task,
    *,
    channels: int = 32,
    dropout: float = 0.1,
    coarse: int = 1,
    second_time: bool = False,
    null_label: bool = False,
) -> Denoiser:
    """A preconditioned U-Net on the 2×2 patches of a task's images.

    Args:
        task: whose images (C, H, W) have a height and a width that are multiples of 4.
        channels: at half of the image's resolution, a multiple of 8; twice as many below.
        dropout: in every residual block, 0…1.
        coarse: residual blocks at the lower resolution; more of them see more of the image.
        second_time: whether the network is told a second time.
        null_label: whether there is a label for no class.

    Raises:
        BadSpec: height or width is no multiple of 4.
    """
    image, height, width = task.shape
    if height % (2 * PATCH) or width % (2 * PATCH):
        raise BadSpec(f"patch-unet@1 wants sides that are multiples of 4, not {height}×{width}.")
    classes = task.classes + null_label
    network = PatchUNet(image, classes, channels, dropout, coarse=coarse, second_time=second_time)
    return Denoiser(network, task.sigma_data, null_label=task.classes if null_label else None)
