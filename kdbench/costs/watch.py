"""What else the machine did while a figure was measured."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from kdbench.costs.disturbance import Disturbance, device_marks, host_marks
from kdbench.costs.host import read_host
from kdbench.costs.nvml import DeviceState, read_device

T = TypeVar("T")


def watched(measure: Callable[[], T], *, threads: int, on_cuda: bool) -> tuple[T, Disturbance]:
    """The result of `measure`, and what disturbed it from outside.

    Args:
        measure: called once.
        threads: that this process computes with.
        on_cuda: whether it works on the current CUDA device, which it has not used before.
    """
    devices = [read_device(_first_visible(), own_context=False)] if on_cuda else []
    before = read_host()
    result = measure()
    after = read_host()
    found = host_marks(before, after, threads)
    if not on_cuda:
        return result, found
    other = device_marks([*devices, _used_device()])
    return result, Disturbance([*found.marks, *other.marks], {**found.details, **other.details})


def _first_visible() -> str | int:
    """The device that CUDA will take, as NVML names it; asking torch would already use it."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0]
    return int(first or 0) if first.isdigit() or not first else first


def _used_device() -> DeviceState:
    import torch  # late: reading the host needs none of it

    return read_device(str(torch.cuda.get_device_properties().uuid), own_context=True)
