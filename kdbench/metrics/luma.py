"""Grey levels of colour images, in the two conventions that differ by 1.32 dB of PSNR."""

from __future__ import annotations

from torch import Tensor

from kdbench.errors import NothingMeasured

FULL = (0.299, 0.587, 0.114)
"""BT.601, 0…255 to 0…255: the Y of JPEG, Pillow's mode L, OpenCV's grey."""

STUDIO = (65.481 / 255, 128.553 / 255, 24.966 / 255)
STUDIO_BLACK = 16.0
"""BT.601, 0…255 to 16…235: MATLAB's rgb2ycbcr."""


def luma(images: Tensor) -> Tensor:
    """Full-swing BT.601 luma; one channel is taken as it is.

    Args:
        images: (N, 1 or 3, H, W), in grey levels.

    Returns:
        (N, H, W), float64, 0…255, not rounded.

    Raises:
        NothingMeasured: there are 2 channels, or more than 3.

    >>> import torch
    >>> round(float(luma(torch.tensor([255, 0, 0]).view(1, 3, 1, 1))), 9)
    76.245
    """
    return _weighted(images, FULL)


def studio_luma(images: Tensor) -> Tensor:
    """Studio-swing BT.601 luma, as MATLAB's rgb2ycbcr of doubles; one channel is taken as it is.

    MATLAB rounds it if its image is of whole numbers. The super-resolution literature from RCAN on
    converts to double first, and BasicSR does not round either; the bicubic figures that it still
    prints were made with rounded planes. The difference is 0.04 dB at most on Set5.

    Args, returns and raises: as `luma`; 16…235.

    >>> import torch
    >>> studio_luma(torch.tensor([[0], [255]]).expand(2, 3)[..., None, None]).flatten().tolist()
    [16.0, 235.0]
    """
    grey = _weighted(images, STUDIO)
    return grey if images.shape[1] == 1 else grey.add_(STUDIO_BLACK)


def _weighted(images: Tensor, weights: tuple[float, float, float]) -> Tensor:
    channels = images.shape[1]
    if channels not in (1, 3):
        raise NothingMeasured(f"Grey levels are of 1 or 3 channels: these images have {channels}.")
    if channels == 1:
        return images[:, 0].double()
    red, green, blue = (images[:, i].double() * weights[i] for i in range(3))
    return red.add_(green).add_(blue)
