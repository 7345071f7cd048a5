"""One generator in several builds: precision, compilation, CUDA graph and layout."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from kdbench.costs.graphed import Graphed
from kdbench.costs.variant import Variant
from kdbench.errors import NothingMeasured
from kdbench.generators.base import Generator
from kdbench.generators.direct import NetworkGenerator

_HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def apply(generator: Generator, variant: Variant, device: torch.device) -> Generator:
    """A generator whose network is a varied copy on `device`; the given one stays as it is.

    Without anything to vary it is the given one.

    Sets whether this process rounds float32 products to TF32, for all networks in it.

    Raises:
        NothingMeasured: the generator or the device has no such variant.
    """
    if device.type != "cuda":
        for word, asked in (("cuda-graph", variant.cuda_graph), ("tf32", _is_tf32(variant))):
            if asked:
                raise NothingMeasured(f"{word} needs a CUDA device")
    if not isinstance(generator, NetworkGenerator):
        if variant != Variant():
            raise NothingMeasured(
                f"{variant.name} needs a network that can be exchanged; "
                "this generator runs as fp32 alone"
            )
        _set_tf32(False)
        return generator
    _set_tf32(_is_tf32(variant))
    if variant in (Variant(), Variant("tf32")):
        return generator
    return replace(generator, network=_vary(generator.network, variant, device))


def eager(generator: Generator) -> Generator:
    """The generator without its CUDA graph, whose replays dispatch no operation of torch."""
    if isinstance(generator, NetworkGenerator) and isinstance(generator.network, Graphed):
        return replace(generator, network=generator.network.network)
    return generator


def _vary(network: nn.Module, variant: Variant, device: torch.device) -> nn.Module:
    varied = deepcopy(network).to(device)
    if variant.channels_last:
        varied.to(memory_format=torch.channels_last)
    if variant.precision in _HALVES:
        varied = _Cast(varied, _HALVES[variant.precision])
    if variant.compile:
        # Each shape gets code of its own, as with one shape alone in a process.
        compiled: Any = torch.compile(varied, mode=variant.compile, dynamic=False)
        varied = compiled
    return Graphed(varied) if variant.cuda_graph else varied


def _is_tf32(variant: Variant) -> bool:
    return variant.precision == "tf32"


def _set_tf32(allowed: bool) -> None:
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed


class _Cast(nn.Module):
    """A network in half precision that takes and returns float32, as samplers reckon."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network.to(dtype)
        self.dtype = dtype

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The network's output, its floating-point tensors float32."""
        args, kwargs = tree_map(_to(self.dtype), (args, kwargs))
        return tree_map(_to(torch.float32), self.network(*args, **kwargs))


def _to(dtype: torch.dtype) -> Callable[[Any], Any]:
    """Casts floating-point tensors, and leaves everything else."""
    return lambda x: x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x
