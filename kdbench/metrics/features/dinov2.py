"""DINOv2 (Oquab et al. 2024, arXiv:2304.07193): the features of FD-DINOv2.

The published weights are `dinov2_vitl14_pretrain.pth` of facebookresearch/dinov2, Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from kdbench.metrics.features.base import Extractor, Prepared, frozen_extractor, published_state
from kdbench.metrics.features.resize import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    Preparation,
    pil_bicubic_uint8,
)
from kdbench.metrics.features.vision_transformer import Shape, VisionTransformer, load_transformer

VIT_L14 = Shape(
    size=518,
    patch=14,
    width=1024,
    depth=24,
    heads=16,
    activation=F.gelu,
    epsilon=1e-6,
    layer_scale=True,
)
"""As it was published; its images here have 224 pixels a side."""

SIZE = 224


def dinov2_vit_l14() -> Extractor:
    """The extractor `dinov2-vit-l14@1`: the class token after the last norm, (N, 1024), no logits.

    FD-DINOv2 as Stein et al. 2023 (arXiv:2306.04675, section 3) and their dgm-eval measure it:
    Pillow's bicubic resize of the uint8 image to 224 pixels, ImageNet's mean and deviation. Grey
    images are repeated in three channels. torch-fidelity's FD-DINOv2 resizes as TensorFlow 1 does
    and is another number.

    Raises:
        WeightsError: the weights are missing or damaged.
    """
    return load_dinov2("dinov2-vit-l14@1", VIT_L14)


def load_dinov2(name: str, published: Shape, *, size: int = SIZE) -> Extractor:
    """A DINOv2 extractor from the weights that are published under its name.

    Args:
        name: `name@version`.
        published: the shape of the transformer in the weights' file.
        size: pixels a side of the images here.
    """
    weights = name.partition("@")[0]
    transformer = dinov2(published_state(weights), published, size=size)
    prepare = Preparation(pil_bicubic_uint8, size, IMAGENET_MEAN, IMAGENET_DEVIATION)
    return frozen_extractor(name, Prepared(prepare, transformer), weights=weights)


def dinov2(state: Mapping[str, Tensor], published: Shape, *, size: int) -> VisionTransformer:
    """The transformer of a published state dict, for images of `size` pixels a side.

    The mask token, which only training uses, is left out.
    """
    used = {name: tensor for name, tensor in state.items() if name != "mask_token"}
    used["pos_embed"] = resize_positions(used["pos_embed"], size // published.patch)
    return load_transformer(replace(published, size=size), used)


def resize_positions(positions: Tensor, side: int) -> Tensor:
    """Positions of the class token and of a square of patches, for a square of `side` patches.

    As the published code does it (dinov2/models/vision_transformer.py,
    `interpolate_pos_encoding`): bicubic without antialias, by the ratio (side + 0.1) / sides and
    not by the size, which shifts every position a little.

    Args:
        positions: (1, 1 + sides², width).

    Returns:
        (1, 1 + side², width).
    """
    token, patches = positions[:, :1], positions[:, 1:]
    sides = round(patches.shape[1] ** 0.5)
    if sides == side:
        return positions
    grid = patches.view(1, sides, sides, -1).permute(0, 3, 1, 2)
    ratio = (side + 0.1) / sides
    resized = F.interpolate(grid, scale_factor=(ratio, ratio), mode="bicubic")
    return torch.cat([token, resized.flatten(2).transpose(1, 2)], dim=1)
