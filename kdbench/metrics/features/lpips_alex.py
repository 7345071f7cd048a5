"""The LPIPS embedding: vectors whose squared distance is LPIPS, so that pairs need not be formed.

LPIPS (Zhang et al. 2018, arXiv:1801.03924, eq. 1) sums over layers l and channels c the weighted
squared difference of activations a that have unit length at each place, averaged over places:

    LPIPS(i, j) = Σ_l 1/(H_l W_l) Σ_hw Σ_c w_lc (a_i - a_j)² = |φ_i - φ_j|²,

with φ the concatenation over l of √(w_lc/(H_l W_l)) a. The weights w are not negative.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from kdbench.errors import NothingMeasured, WeightsError
from kdbench.external_weights import known_sha256
from kdbench.metrics.features.base import Extractor, read_state
from kdbench.store import sha256_file
from kdbench.weights import find_weights

NAME = "lpips-alex@1"
TRUNK = "alexnet"
"""Published weights: torchvision's `alexnet-owt-7be5be79.pth`."""

LINEAR = Path("weights/v0.1/alex.pth")
"""The linear weights in the package `lpips`, version 0.1 of the metric."""
LINEAR_SHA256 = "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"

SMALLEST = 31
"""Pixels: with a shorter side nothing is left for the third convolution."""

SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
"""Mean and standard deviation of ImageNet's channels, for images in [-1, 1] (lpips 0.1.4)."""

EPSILON = 1e-10
"""Added to lengths before dividing by them (lpips 0.1.4)."""


class LpipsEmbedding(nn.Module):
    """AlexNet's five convolutions (Krizhevsky 2014, arXiv:1404.5997) with LPIPS's weights."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        pool, relu = nn.MaxPool2d(3, stride=2), nn.ReLU()
        self.features = nn.Sequential(  # numbered as in torchvision
            *(nn.Conv2d(3, 64, 11, stride=4, padding=2), relu, pool),
            *(nn.Conv2d(64, 192, 5, padding=2), relu, pool),
            *(nn.Conv2d(192, 384, 3, padding=1), relu),
            *(nn.Conv2d(384, 256, 3, padding=1), relu),
            *(nn.Conv2d(256, 256, 3, padding=1), relu),
        )
        widths = [layer.out_channels for layer in self.features if isinstance(layer, nn.Conv2d)]
        self.weights = nn.ParameterList(torch.zeros(width, 1, 1) for width in widths)
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        """uint8 (N, 1 or 3, H, W) to φ (N, F), float32, and no logits; grey becomes three channels.

        Raises:
            NothingMeasured: a side is shorter than `SMALLEST`, or there are 2 or 4 channels.
        """
        check(images)
        x = images.expand(-1, 3, -1, -1).float() / 127.5 - 1
        x = (x - self.shift) / self.scale
        parts: list[Tensor] = []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                unit = x / (x.norm(dim=1, keepdim=True) + EPSILON)
                weight = self.weights[len(parts)] / (x.shape[2] * x.shape[3])
                parts.append((unit * weight.sqrt()).flatten(1))
        return torch.cat(parts, 1), None


def check(images: Tensor) -> None:
    """Refuse images that AlexNet cannot see; none is resized.

    Raises:
        NothingMeasured: see `LpipsEmbedding.forward`.
    """
    _, channels, height, width = images.shape
    if channels not in (1, 3):
        raise NothingMeasured(f"LPIPS takes images of 1 or 3 channels: these have {channels}.")
    if min(height, width) < SMALLEST:
        raise NothingMeasured(
            f"LPIPS takes images of {SMALLEST} x {SMALLEST} pixels or more: these are "
            f"{height} x {width}, and are not resized."
        )


def build(trunk: Mapping[str, Tensor], linear: Mapping[str, Tensor]) -> LpipsEmbedding:
    """The network from both published state dicts, in evaluation mode.

    Args:
        trunk: torchvision's names, `features.0.weight` …; those of its classifier are left.
        linear: lpips's names, `lin0.model.1.weight` …, of shape (1, C, 1, 1).
    """
    network = LpipsEmbedding()
    own = {name: value for name, value in trunk.items() if name.startswith("features.")}
    weights = {f"weights.{i}": linear[f"lin{i}.model.1.weight"][0] for i in range(5)}
    network.load_state_dict({**own, **weights})
    return network.eval().requires_grad_(False)


def linear_weights() -> Path:
    """The file of linear weights in the package `lpips`, after its hash was checked.

    Raises:
        WeightsError: the package is not installed, or its file is not the published one.
    """
    package = find_spec("lpips")
    if package is None or package.origin is None:
        raise WeightsError(
            "LPIPS needs the linear weights in the Python package lpips: install it."
        )
    path = Path(package.origin).parent / LINEAR
    if not path.is_file() or sha256_file(path) != LINEAR_SHA256:
        raise WeightsError(
            f"The linear weights of LPIPS at {path} are missing or not the published ones. "
            "Reinstall the Python package lpips."
        )
    return path


def lpips_alex() -> Extractor:
    """The extractor `lpips-alex@1`, whose id has the hash of the hashes of both files.

    Raises:
        WeightsError: weights are missing or damaged; the message says how to get them.
    """
    linear, trunk = linear_weights(), find_weights(TRUNK)
    both = hashlib.sha256(f"{known_sha256(trunk)}{LINEAR_SHA256}".encode()).hexdigest()
    return Extractor(f"{NAME}:{both}", build(read_state(trunk), read_state(linear)))
