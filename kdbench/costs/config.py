"""The conditions under which a cost holds, and their key."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch

from kdbench.generators.base import Generator
from kdbench.spec import content_key


@dataclass(frozen=True)
class Config:
    """Everything that must be equal before two costs of different generators are divided."""

    machine: str
    """Hashed identity."""
    device: str
    """`cpu`, or the accelerator's name."""
    threads: int
    dtype: str
    """Types of the network's parameters, `float32` where there are none."""
    memory_format: str
    """`contiguous` or `channels_last`."""
    tf32: bool
    torch: str
    """Version."""
    compile: str = "none"


def network_of(generator: Generator) -> torch.nn.Module | None:
    """The network that a generator holds, or None."""
    network = getattr(generator, "network", None)
    return network if isinstance(network, torch.nn.Module) else None


def device_of(generator: Generator) -> torch.device:
    """Where the generator's network is; the CPU where there is none."""
    network = network_of(generator)
    weight = None if network is None else next(network.parameters(), None)
    return torch.device("cpu") if weight is None else weight.device


def config_of(generator: Generator, *, machine: str, threads: int) -> Config:
    """The conditions of this process and of the generator in it."""
    network, device = network_of(generator), device_of(generator)
    weights = [] if network is None else list(network.parameters())
    dtypes = {str(w.dtype).removeprefix("torch.") for w in weights}
    cuda = device.type == "cuda"
    return Config(
        machine=machine,
        device=torch.cuda.get_device_name(device) if cuda else device.type,
        threads=threads,
        dtype="+".join(sorted(dtypes)) or "float32",
        memory_format="channels_last" if any(map(_is_channels_last, weights)) else "contiguous",
        tf32=torch.get_float32_matmul_precision() != "highest"
        or (cuda and torch.backends.cudnn.allow_tf32),
        torch=torch.__version__,
    )


def config_key(config: Config, *, batch: int, boundary: str) -> str:
    """SHA-256 of the conditions at one batch size and boundary."""
    return content_key({**asdict(config), "batch": batch, "boundary": boundary})


def mismatches(student: Config, teacher: Config) -> list[str]:
    """`mismatch:<field>` for each condition in which two generators of a ratio differ."""
    other = asdict(teacher)
    return [f"mismatch:{name}" for name, value in asdict(student).items() if value != other[name]]


def _is_channels_last(weight: torch.Tensor) -> bool:
    # A 1×1 kernel is contiguous in both formats and says nothing.
    return (
        weight.dim() == 4
        and not weight.is_contiguous()
        and weight.is_contiguous(memory_format=torch.channels_last)
    )
