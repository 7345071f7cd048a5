"""How papers on restoration compare an image with its ground truth: which planes, what border.

Figures of different protocols are not comparable: PSNR on studio-swing luma is 1.32 dB above that
on full-swing luma and several dB above that on RGB, and the border is where restoration is worst.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.luma import studio_luma
from kdbench.metrics.protocols import RESTORATION_SETTINGS


@dataclass(frozen=True)
class RestorationProtocol:
    """What PSNR and SSIM are taken of, with a data range of 255."""

    name: str
    settings: str
    """For records and for readers."""
    convert: Callable[[Tensor], Tensor]
    """uint8 (N, C, H, W) to planes (N, C', H, W), float64 in grey levels or as they are."""
    beyond_scale: int
    """Pixels of border that super-resolution by a factor cuts beyond that factor."""

    def border(self, scale: int) -> int:
        """What papers cut from each side after super-resolution by `scale`."""
        return scale + self.beyond_scale

    def planes(self, images: Tensor, crop: int = 0) -> Tensor:
        """What is compared: convert both sets of images, then compare them as images are.

        Args:
            images: (N, 1 or 3, H, W), uint8.
            crop: pixels to cut from each side, 0 or more; see `border`.

        Raises:
            NothingMeasured: nothing is left of the images, or they have 2 or 4 channels.

        >>> import torch
        >>> grey = torch.full((1, 3, 8, 8), 255, dtype=torch.uint8)
        >>> planes = MATLAB_Y.planes(grey, crop=2)
        >>> tuple(planes.shape), float(planes.max())
        ((1, 1, 4, 4), 235.0)
        """
        height, width = images.shape[-2:]
        if min(height, width) <= 2 * crop:
            raise NothingMeasured(
                f"With {crop} pixels cut from each side, nothing is left of {height}x{width}."
            )
        return self.convert(images[..., crop : height - crop, crop : width - crop])


MATLAB_Y = RestorationProtocol(
    "matlab-y",
    RESTORATION_SETTINGS["matlab-y"],
    lambda images: studio_luma(images)[:, None],
    0,
)

NTIRE = RestorationProtocol(
    "ntire",
    RESTORATION_SETTINGS["ntire"],
    lambda images: images,
    6,
)

RGB = RestorationProtocol(
    "rgb",
    RESTORATION_SETTINGS["rgb"],
    lambda images: images,
    0,
)

RESTORATION = {one.name: one for one in (MATLAB_Y, NTIRE, RGB)}
