"""What kind of program a file holds, told from its members alone, before anything is loaded."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any

import torch

from kdbench.reading.memory import half_of_memory

EXPORT, SCRIPT = "torch.export", "TorchScript"

TENSORS = ("weight_", "tensor_")
"""Starts of the names of members that torch.export.load takes for tensors, not for objects."""

PICKLED = (
    "it holds pickled Python objects, which can run any code when they are loaded; save weights "
    "as safetensors and say --as PAIR/ARM, or export the program with torch.export.save"
)


@dataclass(frozen=True)
class ArchiveKind:
    """What was found."""

    name: str = ""
    """`EXPORT` or `SCRIPT`."""
    refused: str | None = None
    """Why it is not loaded."""


NO_PROGRAM = ArchiveKind(refused="it is no archive of torch.export.save or torch.jit.save")


def archive_kind(data: bytes) -> ArchiveKind:
    """The kind of a program's file; nothing in it is run.

    >>> archive_kind(b"GIF89a").refused
    'it is no archive of torch.export.save or torch.jit.save'
    """
    if data[:1] == b"\x80":  # the first opcode of a pickle, as torch.save wrote before 1.6
        return ArchiveKind(refused=PICKLED)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _kind(archive)
    except Exception:  # a forged archive can make its readers raise anything
        return NO_PROGRAM


def _kind(archive: zipfile.ZipFile) -> ArchiveKind:
    members = {info.filename.partition("/")[2]: info for info in archive.infolist()}
    if len(members) < len(archive.infolist()):
        return ArchiveKind(refused="two of its members have one name")
    if sum(info.file_size for info in members.values()) > half_of_memory():
        return ArchiveKind(refused="it takes more than half of the memory that there is")
    if any("aotinductor" in name for name in members):
        return ArchiveKind(refused="it was compiled for one machine; give torch.export.save's file")
    if any(name.startswith("models/") for name in members):
        return ArchiveKind(EXPORT, PICKLED if _pickles(archive, members) else None)
    if "constants.pkl" in members and any(name.startswith("code/") for name in members):
        return ArchiveKind(SCRIPT)  # its own reader of data.pkl knows TorchScript's types alone
    if "data.pkl" in members:
        return ArchiveKind(refused=PICKLED)
    return NO_PROGRAM


def _pickles(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> bool:
    """Whether torch.export.load would unpickle more than plain tensors."""
    for name, info in members.items():
        if name.endswith("_config.json"):
            payloads = json.loads(archive.read(info))["config"].values()
            if not all(_is_tensor(payload) for payload in payloads):
                return True
        elif name.endswith(".pt") and not _is_plain(archive.read(info)):
            return True
    return False


def _is_tensor(payload: dict[str, Any]) -> bool:
    named: str = payload["path_name"]
    return not payload["use_pickle"] and named.startswith(TENSORS)


def _is_plain(data: bytes) -> bool:
    """Whether torch's restricted unpickler, which torch.export.load tries first, takes it."""
    try:
        torch.load(io.BytesIO(data), weights_only=True)
    except Exception:  # a forged file can make the unpickler raise anything
        return False
    return True
