"""What judges images: a frozen network whose features set metrics are computed in."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from kdbench import registry
from kdbench.errors import BadSpec
from kdbench.weights import find_weights, weights_id

AT_ONCE = 25
"""Images of 224 to 336 pixels at a time: about 1 GB, and on a CPU more at a time are slower."""

_watching: list[set[str]] = []


@contextmanager
def watch_extractors() -> Iterator[set[str]]:
    """The ids of all extractors that are asked inside; a method must not ask the judge."""
    seen: set[str] = set()
    _watching.append(seen)
    try:
        yield seen
    finally:
        _watching[:] = [others for others in _watching if others is not seen]


@dataclass(frozen=True, eq=False)
class Extractor:
    """A frozen network: uint8 images (N, C, H, W) to features (N, D) and logits (N, classes)."""

    id: str
    """`name@version:sha256`; a value is comparable only under the same id."""
    network: nn.Module
    at_once: int = 250
    """Images that the network sees at a time, which bounds its memory."""

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features and, of a network that classifies, logits: float32, on the network's device."""
        for seen in _watching:
            seen.add(self.id)
        with torch.inference_mode(), _full_precision(self.device):
            parts = [
                self.network(part.to(self.device)) for part in torch.split(images, self.at_once)
            ]
        features, logits = zip(*parts, strict=True)
        return torch.cat(features), None if logits[0] is None else torch.cat(logits)

    @property
    def device(self) -> torch.device:
        """Where the network is; one without parameters computes on the CPU."""
        parameter = next(self.network.parameters(), None)
        return torch.device("cpu") if parameter is None else parameter.device

    def on(self, device: torch.device | str) -> Extractor:
        """This extractor, its network moved to `device` for everyone who shares it."""
        self.network.to(device)
        return self


_backends: Any = torch.backends
_PRECISION: tuple[tuple[Any, str, object], ...] = (
    (_backends.cudnn, "deterministic", True),
    (_backends.cudnn, "benchmark", False),
    (_backends.cudnn.conv, "fp32_precision", "ieee"),  # torch's default has 10 bits of mantissa
    (_backends.cuda.matmul, "fp32_precision", "ieee"),
    (_backends.mkldnn.conv, "fp32_precision", "ieee"),
    (_backends.mkldnn.matmul, "fp32_precision", "ieee"),
)
"""Settings of the whole process on which features depend."""


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """float32 as written, whatever a method has set for its training."""
    before = [getattr(place, name) for place, name, _ in _PRECISION]
    try:
        for place, name, value in _PRECISION:
            setattr(place, name, value)
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for (place, name, _), value in zip(_PRECISION, before, strict=True):
            setattr(place, name, value)


@cache
def shared_extractor(name: str) -> Extractor:
    """A registered extractor, loaded once for the whole process; see `make_extractor`."""
    return make_extractor(name)


def make_extractor(name: str) -> Extractor:
    """A registered extractor, loaded now, for the caller alone.

    Raises:
        UnknownName: no such extractor.
        BadSpec: what is registered does not make an `Extractor`.
        WeightsError: its weights are missing or damaged.
    """
    extractor = registry.extractors.load(name)()
    if not isinstance(extractor, Extractor):
        raise BadSpec(f"The extractor {name!r} does not make a kdbench extractor.")
    return extractor


def load_extractor(name: str, build: Callable[[], nn.Module]) -> Extractor:
    """Build a network and load its published weights, after their hash was checked.

    Args:
        name: `name@version`; the weights are published under the name without its version.
        build: makes the network without weights.
    """
    published = name.partition("@")[0]
    network = build()
    network.load_state_dict(load_file(find_weights(published)))
    return frozen_extractor(name, network, weights=published, at_once=250)


def frozen_extractor(
    name: str, network: nn.Module, *, weights: str, at_once: int = AT_ONCE
) -> Extractor:
    """A loaded network in evaluation mode, under the hash of the published `weights` it holds."""
    network.eval().requires_grad_(False)
    return Extractor(f"{name}:{weights_id(weights).partition(':')[2]}", network, at_once)


def published_state(weights: str) -> dict[str, Tensor]:
    """The tensors of a published `.pth` file, after its hash was checked.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    return read_state(find_weights(weights))


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.pth` file; no code in it can run."""
    mapped = zipfile.is_zipfile(path)  # torch's format from 1.6 on; older files are read whole
    state: dict[str, Tensor] = torch.load(path, "cpu", weights_only=True, mmap=mapped)
    return state


class Prepared(nn.Module):
    """A network without logits behind the preparation of its images, as `Extractor` calls it."""

    def __init__(self, prepare: Callable[[Tensor], Tensor], network: nn.Module) -> None:
        super().__init__()
        self.prepare = prepare
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        """uint8 (N, 1 or 3, H, W) to features (N, D)."""
        return self.network(self.prepare(images)), None
