"""Counting what a network stores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Parameters:
    """Elements and bytes of a network, shared storage counted once."""

    count: int
    bytes: int
    buffer_bytes: int


def count_parameters(network: nn.Module) -> Parameters:
    """Parameters and buffers of `network`.

    Tied weights count once, whether they are one parameter under two names, a view, or a
    transpose; parameters that are parts of one flat storage each count.

    >>> count_parameters(nn.Linear(3, 2)).count
    8
    """
    count, size = _distinct(network.parameters())
    return Parameters(count, size, _distinct(network.buffers())[1])


def _distinct(tensors: Iterable[Tensor]) -> tuple[int, int]:
    """Elements and bytes that tensors occupy together in their storages."""
    spans: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for tensor in tensors:
        if tensor.numel():
            start = int(tensor.storage_offset())
            reach = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
            key = (tensor.untyped_storage().data_ptr(), tensor.element_size())
            spans[key].append((start, start + int(reach) + 1))
    lengths = {key: _union(parts) for key, parts in spans.items()}
    return sum(lengths.values()), sum(n * size for (_, size), n in lengths.items())


def _union(spans: list[tuple[int, int]]) -> int:
    """Length of the union of half-open spans."""
    length = end = 0
    for low, high in sorted(spans):
        length += max(0, high - max(low, end))
        end = max(end, high)
    return length
