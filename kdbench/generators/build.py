"""From a pair, an arm and a weight file to a generator, in this process or in a fresh one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from kdbench import registry
from kdbench.errors import BadSpec
from kdbench.generators.base import Generator
from kdbench.generators.direct import NetworkGenerator, Sampler
from kdbench.spec import Pair, Sampling
from kdbench.tasks.base import Task


def load_task(name: str) -> Task:
    """The registered task of this name, made."""
    task = registry.tasks.load(name)()
    if not isinstance(task, Task):
        raise BadSpec(f"The task {name!r} is not a kdbench.Task.")
    return task


def build_network(pair: Pair, task: Task) -> nn.Module:
    """The pair's network with fresh weights from torch's global generator."""
    if pair.network is None:
        raise BadSpec(f"The pair {pair.name} has no network.")
    factory = registry.networks.load(pair.network.name)
    try:
        network: nn.Module = factory(task, **pair.network.args)
    except TypeError as error:
        raise BadSpec(f"The network of the pair {pair.name} does not fit: {error}.") from error
    return network


def load_network(pair: Pair, task: Task, weights: Path) -> nn.Module:
    """The pair's network with the weights of a safetensors file.

    Raises:
        BadSpec: the file holds another network's weights.
    """
    network = build_network(pair, task)
    try:
        network.load_state_dict(load_file(weights))
    except RuntimeError as error:
        raise BadSpec(
            f"{weights.name} does not hold the network of {pair.name}: {error}"
        ) from error
    return network


def build_sampler(sampling: Sampling) -> Sampler:
    """A registered sampler with its arguments."""
    factory = registry.samplers.load(sampling.sampler)
    try:
        sampler: Sampler = factory(**sampling.args)
    except TypeError as error:
        raise BadSpec(f"The sampler {sampling.sampler} does not fit: {error}.") from error
    return sampler


def build_generator(spec: dict[str, Any]) -> tuple[Generator, Task]:
    """A generator from plain data, as a fresh process gets it.

    Args:
        spec: `pair` (the whole description), `arm`, `weights` (a path, or None where the pair
            registers a generator), `device`. Of an exported program: `program` (true), `task` (a
            name) and `weights`, its file.
    """
    if spec.get("program"):
        from kdbench.generators.exported import load_program  # with readers that a network spares

        task = load_task(spec["task"])
        return load_program(Path(spec["weights"]), task), task
    pair = Pair.model_validate(spec["pair"])
    task = load_task(pair.task)
    if pair.generator is not None:
        factory = registry.generators.load(pair.generator.name)
        made: Generator = factory(task, **pair.generator.params)
        return made, task
    network = load_network(pair, task, Path(spec["weights"])).to(torch.device(spec["device"]))
    return NetworkGenerator(network, build_sampler(pair.arms[spec["arm"]].sampling), task), task
