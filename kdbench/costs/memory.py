"""Peak memory of one call: of the process on a CPU, of the tensors on an accelerator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from kdbench.costs.boundary import Boundary, Prepared
from kdbench.costs.nvml import device_memory_of_process
from kdbench.record import Cost

_PROC = Path("/proc/self")
_RESET_PEAK = "5"  # proc_pid_clear_refs(5): set VmHWM to the present resident size
_MIB = 2**20


@dataclass(frozen=True)
class Peak:
    """Memory before a call and at most during it, in MiB."""

    baseline_mib: float
    peak_mib: float


def host_peak(call: Callable[[], object]) -> Peak:
    """Resident memory of this process before `call`, and its highest value during it.

    The kernel's own high-water mark (VmHWM), reset first: polling misses short peaks, and
    ru_maxrss is inherited from the parent.

    Raises:
        OSError: this system has no /proc/self/clear_refs, or does not let it be written.
    """
    (_PROC / "clear_refs").write_text(_RESET_PEAK)
    baseline = _status_mib("VmRSS")
    call()
    return Peak(baseline, _status_mib("VmHWM"))


def device_peak(call: Callable[[], object], device: torch.device) -> tuple[Peak, float]:
    """Memory of all tensors on `device` before and at most during the second of two calls.

    Returns:
        The peak, and what the allocator had reserved at most, in MiB.
    """
    call()
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    baseline = torch.cuda.memory_allocated(device)
    call()
    torch.cuda.synchronize(device)
    peak = Peak(baseline / _MIB, torch.cuda.max_memory_allocated(device) / _MIB)
    return peak, torch.cuda.max_memory_reserved(device) / _MIB


def peak_memory(subject: Boundary, given: Prepared, *, batch: int, config_key: str) -> Cost:
    """Peak of a second call; the baseline (weights, libraries, inputs) and the increment apart.

    A first call loads what libraries load late, and compiles; its own peak is in the details.
    On a device the value is that of tensors; what the allocator reserved and what the driver says
    that the process holds, context and workspaces included, are in the details. The value is None,
    with the reason, where the system does not tell.
    """

    def call() -> None:
        with torch.inference_mode():
            subject(given)

    on_cpu = subject.device.type == "cpu"
    peak, first, reason, reserved, held, unheld = None, None, None, None, None, None
    try:
        if on_cpu:
            first = host_peak(call)
            peak = Peak(first.baseline_mib, host_peak(call).peak_mib)
        else:
            peak, reserved = device_peak(call, subject.device)
            uuid = str(torch.cuda.get_device_properties(subject.device).uuid)
            held, unheld = device_memory_of_process(uuid)
    except OSError as error:
        reason = f"the peak of resident memory cannot be read here: {error.strerror}"
    return Cost(
        metric="peak_memory_mib",
        unit="MiB",
        value=peak.peak_mib if peak else None,
        reason=reason,
        stat="peak",
        boundary=subject.name,
        batch=batch,
        n=1,
        config_key=config_key,
        details={
            "kind": "resident" if on_cpu else "tensors",
            "baseline_mib": peak.baseline_mib if peak else None,
            "increment_mib": peak.peak_mib - peak.baseline_mib if peak else None,
            "first_call_mib": first.peak_mib if first else None,
            "reserved_mib": reserved,
            "process_mib": held,
            "process_unread": unheld,
        },
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the host or on a device."""
    # torch's CPU allocator has no error type of its own.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def _status_mib(field: str) -> float:
    for line in (_PROC / "status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == field:
            return int(rest.split()[0]) / 1024  # kB, meaning KiB
    raise OSError(0, f"/proc/self/status has no {field}")
