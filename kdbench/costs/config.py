"""The conditions under which a cost holds, and their key."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch

from kdbench.costs.variant import Variant
from kdbench.generators.base import Generator
from kdbench.spec import content_key
from kdbench.tasks.base import Task

_ATTENTION = ("cudnn", "flash", "math", "mem_efficient")


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
    """Whether float32 products may be rounded to TF32."""
    autocast: bool
    compile: str
    """Mode of torch.compile; `own` where the generator came compiled, `none` where it is eager."""
    cuda_graph: bool
    cudnn_benchmark: bool
    """Whether cuDNN tries its algorithms on each new shape."""
    attention: str
    """Kinds of fused attention that torch may choose from, joined by `+`; `any` on the CPU."""
    resolution: str
    """`CxHxW` of an image."""
    torch: str
    """Version."""


def network_of(generator: Generator) -> torch.nn.Module | None:
    """The network that a generator holds, or None."""
    network = getattr(generator, "network", None)
    return network if isinstance(network, torch.nn.Module) else None


def device_of(generator: Generator) -> torch.device:
    """Where the generator's network is; the CPU where there is none."""
    network = network_of(generator)
    weight = None if network is None else next(network.parameters(), None)
    return torch.device("cpu") if weight is None else weight.device


def config_of(
    generator: Generator, task: Task, *, machine: str, threads: int, variant: Variant
) -> Config:
    """The conditions of this process and of the generator in it.

    All that can be read is read, whatever the variant is called.

    Args:
        generator: as it is timed: after `kdbench.costs.variants.apply`.
        task: whose images it makes.
        machine: hashed identity.
        threads: of torch in this process.
        variant: what was applied.
    """
    network, device = network_of(generator), device_of(generator)
    weights = [] if network is None else list(network.parameters())
    dtypes = {str(w.dtype).removeprefix("torch.") for w in weights}
    cuda = device.type == "cuda"
    return Config(
        machine=machine,
        device=torch.cuda.get_device_name(device) if cuda else device.type,
        threads=threads,
        dtype="+".join(sorted(dtypes)) or "float32",
        memory_format=_memory_format(weights, variant),
        tf32=torch.get_float32_matmul_precision() != "highest"
        or (cuda and torch.backends.cudnn.allow_tf32),
        autocast=torch.is_autocast_enabled(device.type),
        compile=variant.compile or ("own" if _is_compiled(network) else "none"),
        cuda_graph=variant.cuda_graph,
        cudnn_benchmark=cuda and torch.backends.cudnn.benchmark,
        attention=_attention() if cuda else "any",
        resolution="x".join(map(str, task.shape)),
        torch=torch.__version__,
    )


def config_key(config: Config, *, batch: int, boundary: str) -> str:
    """SHA-256 of the conditions at one batch size and boundary."""
    return content_key({**asdict(config), "batch": batch, "boundary": boundary})


def mismatches(student: Config, teacher: Config) -> list[str]:
    """`mismatch:<field>` for each condition in which two generators of a ratio differ."""
    other = asdict(teacher)
    return [f"mismatch:{name}" for name, value in asdict(student).items() if value != other[name]]


def _memory_format(weights: list[torch.nn.Parameter], variant: Variant) -> str:
    last, first = torch.channels_last, torch.contiguous_format
    is_last = [w.is_contiguous(memory_format=last) for w in weights if w.dim() == 4]
    is_first = [w.is_contiguous(memory_format=first) for w in weights if w.dim() == 4]
    # A kernel of one pixel or one channel is both, and tells nothing.
    told = [a for a, b in zip(is_last, is_first, strict=True) if a != b]
    found = any(told) if told else variant.channels_last
    return "channels_last" if found else "contiguous"


def _is_compiled(network: torch.nn.Module | None) -> bool:
    # By name: importing torch's compiler takes a second and 100 MiB.
    names = [] if network is None else [name for name, _ in network.named_modules()]
    return any("_orig_mod" in name.split(".") for name in names)


def _attention() -> str:
    backends = torch.backends.cuda
    return "+".join(kind for kind in _ATTENTION if getattr(backends, f"{kind}_sdp_enabled")())
