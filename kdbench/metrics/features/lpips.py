"""The LPIPS embedding: vectors whose squared distance is LPIPS, so that pairs need not be formed.

LPIPS (Zhang et al. 2018, arXiv:1801.03924, eq. 1) sums over layers l and channels c the weighted
squared difference of activations a that have unit length at each place, averaged over places:

    LPIPS(i, j) = Σ_l 1/(H_l W_l) Σ_hw Σ_c w_lc (a_i - a_j)² = |φ_i - φ_j|²,

with φ the concatenation over l of √(w_lc/(H_l W_l)) a. The weights w are not negative.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import alexnet, squeezenet1_1, vgg16

from kdbench.errors import NothingMeasured, WeightsError
from kdbench.external_weights import known_sha256
from kdbench.metrics.features.base import Extractor, read_state
from kdbench.store import sha256_file
from kdbench.weights import find_weights

LINEAR = Path("weights/v0.1")
"""Where the package `lpips` has its linear weights, version 0.1 of the metric."""

SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
"""Mean and standard deviation of ImageNet's channels, for images in [-1, 1] (lpips 0.1.4)."""

EPSILON = 1e-10
"""Added to lengths before dividing by them (lpips 0.1.4)."""

LAYOUT = torch.channels_last
"""Of images and weights: on a CPU, pooling and sums over channels are fastest in this one."""


@dataclass(frozen=True)
class Trunk:
    """A network that LPIPS looks into, as torchvision numbers its layers."""

    name: str
    """What the package `lpips` calls it."""
    weights: str
    """The name under which its weights are published."""
    network: Callable[[], Any]
    """torchvision's."""
    taps: tuple[int, ...]
    """Layers whose activations are compared."""
    smallest: int
    """Pixels: with a shorter side nothing is left for the last of them."""
    linear_sha256: str
    """Of the linear weights, lpips 0.1.4."""

    def layers(self) -> nn.Sequential:
        """The layers up to the last tap, with no weights yet."""
        with torch.device("meta"):  # without drawing up to 138 million first weights
            features: nn.Sequential = self.network().features
        return features[: self.taps[-1] + 1].to_empty(device="cpu")


ALEX = Trunk(  # Krizhevsky 2014, arXiv:1404.5997
    name="alex",
    weights="alexnet",
    network=alexnet,
    taps=(1, 4, 7, 9, 11),
    smallest=31,
    linear_sha256="df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
)

VGG = Trunk(  # Simonyan and Zisserman 2015, arXiv:1409.1556, 16 layers
    name="vgg",
    weights="vgg16",
    network=vgg16,
    taps=(3, 8, 15, 22, 29),
    smallest=16,
    linear_sha256="a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
)

SQUEEZE = Trunk(  # Iandola et al. 2016, arXiv:1602.07360, version 1.1
    name="squeeze",
    weights="squeezenet1_1",
    network=squeezenet1_1,
    taps=(1, 4, 7, 9, 10, 11, 12),
    smallest=17,
    linear_sha256="4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76",
)


class LpipsEmbedding(nn.Module):
    """A trunk's layers with LPIPS's weights of what is tapped."""

    shift: Tensor
    scale: Tensor

    def __init__(self, trunk: Trunk, weights: list[Tensor]) -> None:
        """`weights`: (C, 1, 1) for each tap."""
        super().__init__()
        self.trunk = trunk
        self.features = trunk.layers()
        self.weights = nn.ParameterList(weights)
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        """(N, 1 or 3, H, W) to φ (N, F), float32, and no logits; grey becomes three channels.

        Args:
            images: uint8, or float32 on its scale of [0, 255].

        Raises:
            NothingMeasured: a side is shorter than the trunk takes, or there are 2 or 4 channels.
        """
        _check(images, self.trunk.smallest)
        x = images.expand(-1, 3, -1, -1).float() / 127.5 - 1
        x = ((x - self.shift) / self.scale).contiguous(memory_format=LAYOUT)
        parts: list[Tensor] = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.trunk.taps:
                unit = x / (x.square().sum(1, keepdim=True).sqrt_() + EPSILON)
                weight = self.weights[len(parts)] / (x.shape[2] * x.shape[3])
                parts.append(unit.mul_(weight.sqrt()).permute(0, 2, 3, 1).flatten(1))
        return torch.cat(parts, 1), None


def _check(images: Tensor, smallest: int) -> None:
    """Refuse images that the trunk cannot see; none is resized."""
    _, channels, height, width = images.shape
    if channels not in (1, 3):
        raise NothingMeasured(f"LPIPS takes images of 1 or 3 channels: these have {channels}.")
    if min(height, width) < smallest:
        raise NothingMeasured(
            f"LPIPS takes images of {smallest} x {smallest} pixels or more: these are "
            f"{height} x {width}, and are not resized."
        )


def build(
    trunk: Trunk, state: Mapping[str, Tensor], linear: Mapping[str, Tensor]
) -> LpipsEmbedding:
    """The network from both published state dicts, in evaluation mode.

    Args:
        trunk: which network.
        state: torchvision's names, `features.0.weight` …; those of its classifier are left.
        linear: lpips's names, `lin0.model.1.weight` …, of shape (1, C, 1, 1).
    """
    weights = [linear[f"lin{i}.model.1.weight"][0] for i in range(len(trunk.taps))]
    network = LpipsEmbedding(trunk, weights)
    first = "features."
    own = {name.removeprefix(first): state[name] for name in state if name.startswith(first)}
    network.features.load_state_dict(own)
    return network.eval().requires_grad_(False).to(memory_format=LAYOUT)


def linear_weights(trunk: Trunk) -> Path:
    """The file of a trunk's linear weights in the package `lpips`, after its hash was checked.

    Raises:
        WeightsError: the package is not installed, or its file is not the published one.
    """
    package = find_spec("lpips")
    if package is None or package.origin is None:
        raise WeightsError(
            "LPIPS needs the linear weights in the Python package lpips: install it."
        )
    path = Path(package.origin).parent / LINEAR / f"{trunk.name}.pth"
    if not path.is_file() or sha256_file(path) != trunk.linear_sha256:
        raise WeightsError(
            f"The linear weights of LPIPS at {path} are missing or not the published ones. "
            "Reinstall the Python package lpips."
        )
    return path


def lpips_alex() -> Extractor:
    """The extractor `lpips-alex@1`: AlexNet, which the authors advise for comparing images.

    Raises:
        WeightsError: weights are missing or damaged; the message says how to get them.
    """
    return _extractor(ALEX)


def lpips_vgg() -> Extractor:
    """The extractor `lpips-vgg@1`: VGG-16; raises as `lpips_alex` does."""
    return _extractor(VGG)


def lpips_squeeze() -> Extractor:
    """The extractor `lpips-squeeze@1`: SqueezeNet 1.1; raises as `lpips_alex` does."""
    return _extractor(SQUEEZE)


def _extractor(trunk: Trunk) -> Extractor:
    """The trunk with its weights, whose id has the hash of the hashes of both files."""
    linear, path = linear_weights(trunk), find_weights(trunk.weights)
    both = hashlib.sha256(f"{known_sha256(path)}{trunk.linear_sha256}".encode()).hexdigest()
    network = build(trunk, read_state(path), read_state(linear))
    return Extractor(f"lpips-{trunk.name}@1:{both}", network)
