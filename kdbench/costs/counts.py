"""The costs that are counted, not timed: parameters, multiply–accumulates, evaluations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from kdbench.costs.boundary import EndToEnd
from kdbench.costs.config import network_of
from kdbench.costs.macs import COUNTER, Macs, count_macs
from kdbench.costs.parameters import count_parameters
from kdbench.generators.base import Inputs
from kdbench.record import Cost
from kdbench.spec import content_key


def counts(subject: EndToEnd, inputs: Inputs) -> list[Cost]:
    """`parameters`, `macs` and `nfe` of one image, from one whole sampling of it.

    Args:
        subject: the generator.
        inputs: of one image.
    """
    network = network_of(subject.generator)
    with torch.inference_mode(), _evaluations(network) as evaluations:
        macs = count_macs(lambda: subject(inputs))
    nfe = subject.generator.nfe
    return [_parameters(network), _macs(macs, nfe), _nfe(nfe, sum(evaluations))]


def _parameters(network: nn.Module | None) -> Cost:
    counted = None if network is None else count_parameters(network)
    reason = None if counted and counted.count else "the generator holds no network with parameters"
    return Cost(
        metric="parameters",
        unit="parameters",
        value=counted.count if counted and counted.count else None,
        reason=reason,
        stat="count",
        config_key=content_key({}),
        details={
            "bytes": counted.bytes if counted else None,
            "buffer_bytes": counted.buffer_bytes if counted else None,
        },
    )


def _macs(macs: Macs, nfe: int) -> Cost:
    # Zero is a count where no network is called, and a miss where one is.
    missed = macs.total == 0 and nfe > 0
    return Cost(
        metric="macs",
        unit="MAC/image",
        value=None if missed else macs.total,
        reason="no operation that the counter knows was dispatched" if missed else None,
        stat="count",
        boundary="e2e",
        batch=1,
        config_key=content_key({"counter": COUNTER}),
        marks=[f"macs_incomplete:{','.join(macs.unknown)}"] if macs.unknown else [],
        details={"counter": COUNTER},
    )


def _nfe(declared: int, counted: int) -> Cost:
    differs = counted > 0 and counted != declared
    return Cost(
        metric="nfe",
        unit="evaluations/image",
        value=declared,
        stat="count",
        config_key=content_key({}),
        marks=[f"nfe_counted:{counted}"] if differs else [],
        details={"counted": counted or None},
    )


@contextmanager
def _evaluations(network: nn.Module | None) -> Iterator[list[int]]:
    """Lists the images of each call of `network`; a doubled batch (guidance) counts twice.

    Empty where the generator calls a part or a compiled copy of its network.
    """
    sizes: list[int] = []

    def note(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tensors = [v for v in (*args, *kwargs.values()) if isinstance(v, Tensor) and v.dim()]
        sizes.append(len(tensors[0]) if tensors else 1)

    if network is None:
        yield sizes
        return
    hook: Callable[..., None] = note
    handle = network.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield sizes
    finally:
        handle.remove()
