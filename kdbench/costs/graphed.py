"""A network as a CUDA graph: its kernels are recorded once and replayed without the host."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from kdbench.errors import NothingMeasured

WARMUP = 3
"""Calls ahead of a recording: libraries choose their algorithms and take their workspaces."""


class Graphed(nn.Module):
    """A network on a CUDA device whose kernels are recorded once for each shape."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._recorded: dict[Any, _Recorded] = {}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The network's output, in storage that no later call overwrites.

        Raises:
            NothingMeasured: a tensor is on the host; a recording would hold fast to its value.
        """
        leaves, form = tree_flatten((args, kwargs))
        key = (str(form), *map(_signature, leaves))
        if key not in self._recorded:
            self._recorded[key] = _Recorded(self.network, leaves, form)
        return self._recorded[key].replay(leaves)


class _Recorded:
    """One graph with the tensors that it reads and writes."""

    def __init__(self, network: nn.Module, leaves: list[Any], form: Any) -> None:
        # Tensors made in inference mode could not be written to outside of it.
        with torch.inference_mode(mode=False), torch.no_grad():
            self._inputs = [x.clone() if isinstance(x, Tensor) else x for x in leaves]
            args, kwargs = tree_unflatten(self._inputs, form)
            side, main = torch.cuda.Stream(), torch.cuda.current_stream()  # type: ignore[no-untyped-call]
            side.wait_stream(main)
            with torch.cuda.stream(side):
                for _ in range(WARMUP):
                    network(*args, **kwargs)
            main.wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._output = network(*args, **kwargs)

    def replay(self, leaves: list[Any]) -> Any:
        """The output on these inputs."""
        for mine, given in zip(self._inputs, leaves, strict=True):
            if isinstance(mine, Tensor):
                mine.copy_(given)
        self._graph.replay()
        return tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, self._output)


def _signature(leaf: Any) -> Any:
    """What a recording depends on: shape and type of a tensor, any other value itself."""
    if not isinstance(leaf, Tensor):
        return leaf
    if leaf.device.type != "cuda":
        raise NothingMeasured("cuda-graph needs all arguments of the network on the device")
    return leaf.shape, leaf.dtype
