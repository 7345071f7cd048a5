"""How uint8 images become what a network takes: its size by a named rule, its colours, its scale.

The rule moves a Fréchet distance (Parmar et al. 2022, arXiv:2104.11222), so it is part of what an
extractor's name stands for. All rules take uint8 (N, 3, H, W) and give float32 (N, 3, size, size)
on the scale 0 to 255, on the images' device; images that are not square are squeezed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from kdbench.errors import BadSpec, NothingMeasured

Resize = Callable[[Tensor, int], Tensor]


def tf1_bilinear(images: Tensor, size: int) -> Tensor:
    """Bilinear of TensorFlow 1: no antialias, corners and not centres of pixels aligned.

    FID's own rule (Heusel et al. 2017), as torch-fidelity computes it.
    """
    try:
        from torch_fidelity.interpolate_compat_tensorflow import (
            interpolate_bilinear_2d_like_tensorflow1x as interpolate,
        )
    except ImportError as error:
        raise BadSpec("TensorFlow 1's resize needs torch-fidelity: reinstall kdbench.") from error
    resized: Tensor = interpolate(images.float(), size=(size, size), align_corners=False)
    return resized


def torch_bilinear_antialias(images: Tensor, size: int) -> Tensor:
    """Bilinear with antialias, in float32: torchmetrics from 1.8 on."""
    return F.interpolate(
        images.float(), (size, size), mode="bilinear", align_corners=False, antialias=True
    )


def torch_bicubic_antialias(images: Tensor, size: int) -> Tensor:
    """Bicubic (Keys, a = −0.5) with antialias, in float32; may leave 0 to 255 at edges.

    The kernel of `jax.image.resize`, which CMMD uses; torch's bicubic without antialias has
    a = −0.75.
    """
    return F.interpolate(
        images.float(), (size, size), mode="bicubic", align_corners=False, antialias=True
    )


def pil_bicubic_float(images: Tensor, size: int) -> Tensor:
    """Pillow's bicubic on each channel in float32, clipped to 0 to 255: clean-fid's `clean`."""

    def resize(channel: NDArray[np.uint8]) -> NDArray[np.float32]:
        picture = Image.fromarray(channel.astype(np.float32))
        return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC)).clip(0, 255)

    channels = images.cpu().flatten(0, 1).numpy()
    resized = torch.from_numpy(np.stack([resize(channel) for channel in channels]))
    return resized.view(*images.shape[:2], size, size).to(images.device)


def pil_bicubic_uint8(images: Tensor, size: int) -> Tensor:
    """Pillow's bicubic on the RGB image, rounded to uint8: CLIP's, clean-fid's CLIP, dgm-eval's."""

    def resize(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        picture = Image.fromarray(pixels)
        return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC))

    pictures = images.cpu().permute(0, 2, 3, 1).contiguous().numpy()
    resized = torch.from_numpy(np.stack([resize(pixels) for pixels in pictures]))
    return resized.permute(0, 3, 1, 2).to(images.device).float()


def as_rgb(images: Tensor) -> Tensor:
    """Images in three channels; grey ones (N, 1, H, W) are repeated.

    Raises:
        NothingMeasured: the images are not uint8 (N, 1 or 3, H, W).

    Example:
        >>> as_rgb(torch.zeros(2, 1, 8, 8, dtype=torch.uint8)).shape
        torch.Size([2, 3, 8, 8])
    """
    if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] not in (1, 3):
        raise NothingMeasured(
            "This extractor takes grey or RGB images, uint8 (N, 1 or 3, H, W); these are "
            f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}."
        )
    return images.expand(-1, 3, -1, -1).contiguous()


@dataclass(frozen=True)
class Preparation:
    """The way of an image into a network: resize, then (x − mean) / deviation in each channel."""

    resize: Resize
    size: int
    """Pixels a side."""
    mean: tuple[float, float, float]
    """Of red, green and blue, on the scale 0 to 255."""
    deviation: tuple[float, float, float]

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 (N, 1 or 3, H, W) to float32 (N, 3, size, size); see `as_rgb` for what it refuses.

        Example:
            >>> halves = Preparation(torch_bilinear_antialias, 4, (128.0,) * 3, (128.0,) * 3)
            >>> halves(torch.zeros(1, 1, 8, 8, dtype=torch.uint8)).unique()
            tensor([-1.])
        """
        pixels = self.resize(as_rgb(images), self.size)
        mean, deviation = (pixels.new_tensor(c).view(3, 1, 1) for c in (self.mean, self.deviation))
        return (pixels - mean) / deviation


def per_255(mean: tuple[float, float, float]) -> tuple[float, float, float]:
    """Means or deviations that are published for the scale 0 to 1, on the scale 0 to 255."""
    red, green, blue = mean
    return 255 * red, 255 * green, 255 * blue


IMAGENET_MEAN = per_255((0.485, 0.456, 0.406))
IMAGENET_DEVIATION = per_255((0.229, 0.224, 0.225))
"""Of ImageNet's training images, as torchvision publishes them."""
