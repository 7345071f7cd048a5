"""The multiply–accumulates of one whole sampling, and how they divide into evaluations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from kdbench.costs.boundary import Core, EndToEnd
from kdbench.costs.config import network_of
from kdbench.costs.macs import Macs, count_macs, counting
from kdbench.costs.variants import eager
from kdbench.errors import NothingMeasured
from kdbench.generators.base import Inputs

AGREEMENT = 0.001
"""Largest difference of all evaluations from so many first ones, as a share of the sampling."""


@dataclass(frozen=True)
class Sampling:
    """What one sampling dispatched."""

    macs: Macs
    """Of everything."""
    sizes: tuple[int, ...]
    """Images of each evaluation; a doubled batch (guidance) has two an image.

    Empty where the generator calls a part of its network.
    """
    inside: int
    """MACs of all evaluations."""
    core: int | None
    """MACs of the first evaluation, counted again on its own; None where there is none."""

    @property
    def core_macs(self) -> float | None:
        """MACs of one evaluation of one image."""
        return None if self.core is None else self.core / self.sizes[0]

    @property
    def rest_macs(self) -> int | None:
        """MACs outside of all evaluations: encoders, decoders, a sampler's own products."""
        return None if self.core is None else self.macs.total - self.inside

    @property
    def disagrees(self) -> bool:
        """Whether evaluations differ, so that the first does not stand for all of them."""
        if self.core_macs is None:
            return False
        apart = abs(self.inside - self.core_macs * sum(self.sizes))
        return apart > AGREEMENT * self.macs.total


def count_sampling(subject: EndToEnd, inputs: Inputs) -> Sampling:
    """Draw `inputs` once, eagerly, and count."""
    plain = replace(subject, generator=eager(subject.generator))
    network = network_of(plain.generator)
    with torch.inference_mode(), torch.compiler.set_stance("force_eager"):
        macs, sizes, inside = _count_evaluations(plain, inputs, network)
        return Sampling(macs, tuple(sizes), inside, _count_first(plain, inputs))


def _count_evaluations(
    subject: EndToEnd, inputs: Inputs, network: nn.Module | None
) -> tuple[Macs, list[int], int]:
    """MACs of everything, images of each evaluation, and MACs of all evaluations."""
    sizes: list[int] = []
    edges: list[int] = []  # the count before and after each evaluation
    with counting() as so_far:

        def begin(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            tensors = [v for v in (*args, *kwargs.values()) if isinstance(v, Tensor) and v.dim()]
            sizes.append(len(tensors[0]) if tensors else 1)
            edges.append(so_far().total)

        def end(*_: object) -> None:
            edges.append(so_far().total)

        handles = []
        if network is not None:
            handles.append(network.register_forward_pre_hook(begin, with_kwargs=True))
            handles.append(network.register_forward_hook(end))
        try:
            subject(subject.prepare(inputs))
        finally:
            for handle in handles:
                handle.remove()
        return so_far(), sizes, sum(edges[1::2]) - sum(edges[::2])


def _count_first(subject: EndToEnd, inputs: Inputs) -> int | None:
    try:
        core = Core(subject.generator, subject.task, subject.device, subject.threads)
        given = core.prepare(inputs)
    except NothingMeasured:
        return None
    return count_macs(lambda: core(given)).total
