"""What judges images: a frozen network whose features set metrics are computed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from kdbench.weights import find_weights, weights_id

_watching: list[set[str]] = []


@contextmanager
def watch_extractors() -> Iterator[set[str]]:
    """The ids of all extractors that are asked inside; a method must not ask the judge."""
    seen: set[str] = set()
    _watching.append(seen)
    try:
        yield seen
    finally:
        _watching.remove(seen)


@dataclass(frozen=True, eq=False)
class Extractor:
    """A frozen network: uint8 images (N, C, H, W) to features (N, D) and logits (N, classes)."""

    id: str
    """`name@version:sha256`; a value is comparable only under the same id."""
    network: nn.Module

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features and logits, float32."""
        for seen in _watching:
            seen.add(self.id)
        with torch.inference_mode():
            features, logits = self.network(images)
        return features, logits


def load_extractor(name: str, build: Callable[[], nn.Module]) -> Extractor:
    """Build a network and load its published weights, after their hash was checked.

    Args:
        name: `name@version`; the weights are published under the name without its version.
        build: makes the network without weights.
    """
    published = name.partition("@")[0]
    network = build()
    network.load_state_dict(load_file(find_weights(published)))
    network.eval().requires_grad_(False)
    return Extractor(f"{name}:{weights_id(published).partition(':')[2]}", network)
