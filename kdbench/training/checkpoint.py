"""The state of a training as one safetensors file, written atomically."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from kdbench.store import write_atomically


def pack(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under `prefix/name`, contiguous and on the CPU."""
    return {f"{prefix}/{name}": t.detach().cpu().contiguous() for name, t in tensors.items()}


def unpack(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of one prefix, by their own names."""
    return {
        name.partition("/")[2]: tensor
        for name, tensor in tensors.items()
        if name.partition("/")[0] == prefix
    }


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's moments as named tensors, `<parameter number>.<moment>`."""
    state = optimiser.state_dict()["state"]
    return {f"{i}.{name}": t.clone() for i, s in state.items() for name, t in s.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put moments back that `optimiser_tensors` took out."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, moment = name.partition(".")
        state.setdefault(int(index), {})[moment] = tensor
    whole = optimiser.state_dict()
    whole["state"] = state
    optimiser.load_state_dict(whole)


def save_checkpoint(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write tensors and their metadata as one file.

    Raises:
        StoreError: the disk is full or the folder unwritable; the old checkpoint is intact.
    """
    write_atomically(path, save(tensors, {"kdbench": json.dumps(meta, allow_nan=False)}))


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and metadata, or None where there is no sound checkpoint."""
    try:
        with safe_open(path, framework="pt") as file:
            meta: dict[str, Any] = json.loads(file.metadata()["kdbench"])
            return {name: file.get_tensor(name) for name in file.keys()}, meta  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def network_bytes(network: nn.Module) -> bytes:
    """A network's weights and buffers as safetensors, the same bytes for the same weights."""
    return save({name: t.detach().cpu().contiguous() for name, t in network.state_dict().items()})
