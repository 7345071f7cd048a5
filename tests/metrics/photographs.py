"""Photographs that scikit-image brings along, and pairs made from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from skimage import data
from torch import Tensor

_data: Any = data
NAMES = ("astronaut", "coffee", "chelsea", "rocket")


def photograph(name: str) -> Tensor:
    """(1, 3, H, W), uint8."""
    return torch.from_numpy(np.array(getattr(_data, name)())).permute(2, 0, 1)[None].contiguous()


def noisy_pairs(size: int, channels: int, n: int = 4) -> tuple[Tensor, Tensor]:
    """Crops of a photograph with noise of 1 to 40 levels and without: uint8 (n, C, size, size)."""
    photo = photograph("astronaut")[0, :channels]
    crops = torch.stack([photo[:, 60 + 9 * i :, 150 + 5 * i :][:, :size, :size] for i in range(n)])
    level = np.geomspace(1, 40, n)[:, None, None, None]
    noise = np.random.default_rng(0).normal(size=crops.shape) * level
    return torch.from_numpy(
        np.clip(np.round(crops.numpy() + noise), 0, 255).astype(np.uint8)
    ), crops
