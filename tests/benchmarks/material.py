"""Sets and networks that own code and peers are timed on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from kdbench.metrics.base import ImageSet
from kdbench.metrics.features.base import Extractor, read_state
from kdbench.metrics.features.inception import Inception
from kdbench.metrics.features.lpips import ALEX, Trunk, build, linear_weights
from kdbench.metrics.features.resize import Preparation, tf1_bilinear


def features(n: int, *, seed: int, d: int = 2048) -> Tensor:
    """(n, d), float32: like Inception's, not negative, with few strong directions among many."""
    draw = torch.Generator().manual_seed(seed)
    mixing = torch.randn(64, d, generator=torch.Generator().manual_seed(0)) / 8
    strong = torch.randn(n, 64, generator=draw) @ mixing
    return (strong + 0.5 * torch.randn(n, d, generator=draw)).relu()


def image_set(n: int, *, seed: int, d: int = 2048) -> ImageSet:
    """A new set with such features, so that nothing of an earlier round is remembered."""
    held = features(n, seed=seed, d=d)
    logits = held[:, :1008] @ torch.randn(1008, 1008, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(n) % 10
    return ImageSet(torch.zeros(n, 1, 1, 1, dtype=torch.uint8), labels, held, logits / 8)


def random_inception() -> Extractor:
    """FID's network and resize with random weights, which cost what the published ones do."""
    torch.manual_seed(4)
    prepare = Preparation(tf1_bilinear, 299, mean=(128.0,) * 3, deviation=(128.0,) * 3)
    network = Inception(prepare).eval().requires_grad_(False)
    return Extractor("inception-v3-compat@1:random", network)


def random_lpips(trunk: Trunk = ALEX) -> tuple[Extractor, Any]:
    """Our embedding and the package's network, with one random trunk."""
    lpips = pytest.importorskip("lpips")
    torch.manual_seed(5)
    peer = lpips.LPIPS(net=trunk.name, pnet_rand=True, verbose=False)
    state = {f"features.{n.split('.', 1)[1]}": v for n, v in peer.net.state_dict().items()}
    network = build(trunk, state, read_state(linear_weights(trunk)))
    return Extractor(f"lpips-{trunk.name}@1:random", network), peer
