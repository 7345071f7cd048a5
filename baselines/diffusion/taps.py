"""What inner modules of a network give, by their paths: no network is written for being watched.

The idea of torchdistill's forward hooks (Matsubara 2021, arXiv:2011.12913).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from kdbench.errors import BadSpec


@contextmanager
def tapped(network: nn.Module, paths: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """The outputs of inner modules in the last call that is made inside, by path.

    Args:
        network: whose modules these are; it is as before afterwards.
        paths: dotted, as `named_modules` has them.

    Raises:
        BadSpec: the network has no such module.

    >>> import torch
    >>> network = nn.Sequential(nn.Identity(), nn.ReLU(), nn.Flatten())
    >>> with tapped(network, ["1"]) as seen:
    ...     _ = network(torch.tensor([[-1.0, 2.0]]))
    >>> seen["1"].tolist()
    [[0.0, 2.0]]
    """
    seen: dict[str, Tensor] = {}

    def hook(path: str) -> Callable[[nn.Module, object, Tensor], None]:
        def keep(_: nn.Module, __: object, output: Tensor) -> None:
            seen[path] = output

        return keep

    handles = []
    try:
        for path in paths:
            handles.append(_module(network, path).register_forward_hook(hook(path)))
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _module(network: nn.Module, path: str) -> nn.Module:
    try:
        return network.get_submodule(path)
    except AttributeError:
        top = ", ".join(name for name, _ in network.named_modules() if name.count(".") == 1)
        raise BadSpec(f"The network has no module {path!r}; it has: {top}.") from None
