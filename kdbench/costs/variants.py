"""One generator in several builds: precision, compilation, CUDA graph and layout, by name."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from kdbench.costs.graphed import Graphed
from kdbench.errors import BadSpec, NothingMeasured
from kdbench.generators.base import Generator
from kdbench.generators.direct import NetworkGenerator

_PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
_MODES = {
    "compile": "default",
    "compile-reduce-overhead": "reduce-overhead",
    "compile-max-autotune": "max-autotune",
}
_WORDS = (*_PRECISIONS, *_MODES, "cuda-graph", "channels-last")
_HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Variant:
    """How a network is run, whatever its weights."""

    precision: str = "fp32"
    """`fp32` (without TF32), `tf32`, `bf16` or `fp16`."""
    compile: str | None = None
    """Mode of torch.compile: `default`, `reduce-overhead` or `max-autotune`."""
    cuda_graph: bool = False
    channels_last: bool = False

    @property
    def name(self) -> str:
        """Its words in one order, the precision always first.

        >>> Variant("bf16", "default", channels_last=True).name
        'bf16+compile+channels-last'
        """
        words = [self.precision]
        words += [word for word, mode in _MODES.items() if mode == self.compile]
        words += ["cuda-graph"] if self.cuda_graph else []
        words += ["channels-last"] if self.channels_last else []
        return "+".join(words)


def parse_variant(name: str) -> Variant:
    """The variant of this name; words in any order, `fp32` where no precision is said.

    Raises:
        BadSpec: a word is unknown, said twice, or contradicts another.

    >>> parse_variant("channels-last").name
    'fp32+channels-last'
    """
    words = name.split("+")
    unknown = [word for word in words if word not in _WORDS]
    if unknown:
        raise BadSpec(f"No variant {unknown[0]!r}; the words are {', '.join(_WORDS)}, joined by +.")
    if len(set(words)) < len(words):
        raise BadSpec(f"The variant {name!r} says a word twice.")
    modes = [_MODES[word] for word in words if word in _MODES]
    precisions = [word for word in words if word in _PRECISIONS]
    graph = "cuda-graph" in words
    # Those modes capture graphs of their own.
    captured = graph and any(mode != "default" for mode in modes)
    if len(precisions) > 1 or len(modes) > 1 or captured:
        raise BadSpec(
            f"The variant {name!r} contradicts itself: one precision, one kind of compile, and "
            "cuda-graph with plain compile alone."
        )
    return Variant(
        precision=precisions[0] if precisions else "fp32",
        compile=modes[0] if modes else None,
        cuda_graph=graph,
        channels_last="channels-last" in words,
    )


def apply(generator: Generator, variant: Variant, device: torch.device) -> Generator:
    """A new generator, its network a varied copy on `device`; the given one stays as it is.

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
