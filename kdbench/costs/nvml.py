"""An NVIDIA GPU as NVML tells of it: clocks, what slows them, processes, memory, energy.

Through the optional package nvidia-ml-py. NVML numbers devices without regard to
CUDA_VISIBLE_DEVICES, so a device is best named by its UUID.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeVar

T = TypeVar("T")

NOT_INSTALLED = "the package nvidia-ml-py is not installed: pip install 'kdbench[gpu]'"

IDLE = 0x1
CLOCK_SETTING = 0x2
SLOWDOWNS = {
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
    0x200: "board_limit",
    0x400: "reliability",
}
"""nvmlClocksEventReasons and nvmlClocksThrottleReasons of nvml.h, which share their bits."""


class Unreadable(Exception):
    """NVML does not tell; the message is the reason."""


@dataclass(frozen=True)
class DeviceState:
    """One reading; None is what NVML does not tell, for the reason of that name in `reasons`."""

    own_context: bool
    """Whether this process had a CUDA context on the device."""
    sm_mhz: int | None = None
    """Clock of the multiprocessors."""
    default_sm_mhz: int | None = None
    """The clock that applications run at by default, or else the highest."""
    idle: bool | None = None
    """Whether nothing ran, so that the clocks were low of themselves."""
    slowdowns: tuple[str, ...] | None = None
    """What held the clocks down, idleness and a setting of the clocks apart."""
    foreign_processes: int | None = None
    """Other processes with a compute context on the device."""
    own_memory_mib: float | None = None
    """Device memory of this process: context, libraries and tensors."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Field and why it is None."""


class Device:
    """An open device.

    NVML stays open until the process ends: what measures is short, and the next reading is quick.

    Args:
        which: UUID, with or without the `GPU-` that torch leaves off, or NVML's number.

    Raises:
        Unreadable: the package, the driver or the device is missing.
    """

    def __init__(self, which: str | int) -> None:
        try:
            self._nvml: Any = import_module("pynvml")
        except ModuleNotFoundError:
            raise Unreadable(NOT_INSTALLED) from None
        try:
            self._nvml.nvmlInit()
            if isinstance(which, int):
                self._handle = self._nvml.nvmlDeviceGetHandleByIndex(which)
            else:
                uuid = which if which.startswith(("GPU-", "MIG-")) else f"GPU-{which}"
                self._handle = self._nvml.nvmlDeviceGetHandleByUUID(uuid)
        except self._nvml.NVMLError as error:
            raise Unreadable(f"NVML: {error}") from None

    def sm_mhz(self) -> int:
        """Clock of the multiprocessors now, in MHz."""
        return int(self._ask("nvmlDeviceGetClockInfo", self._nvml.NVML_CLOCK_SM))

    def default_sm_mhz(self) -> int:
        """The default clock of applications in MHz, the highest where there is no such default."""
        try:
            # It is told for the graphics clock, which the multiprocessors follow.
            graphics = self._nvml.NVML_CLOCK_GRAPHICS
            return int(self._ask("nvmlDeviceGetDefaultApplicationsClock", graphics))
        except Unreadable:  # consumer GPUs; deprecated for all
            return int(self._ask("nvmlDeviceGetMaxClockInfo", self._nvml.NVML_CLOCK_SM))

    def clock_reasons(self) -> int:
        """Bits of what determines the clocks now."""
        try:
            return int(self._ask("nvmlDeviceGetCurrentClocksEventReasons"))
        except Unreadable:  # drivers before 535 have it under its older name
            return int(self._ask("nvmlDeviceGetCurrentClocksThrottleReasons"))

    def processes(self) -> dict[int, int | None]:
        """Process number, of the host even in a container, and bytes of each compute context."""
        listed = self._ask("nvmlDeviceGetComputeRunningProcesses")
        return {process.pid: process.usedGpuMemory for process in listed}

    def joules(self) -> float:
        """Energy of the whole board since the driver was loaded; Volta and later."""
        return int(self._ask("nvmlDeviceGetTotalEnergyConsumption")) / 1e3  # mJ

    def _ask(self, function: str, *arguments: int) -> Any:
        nvml = self._nvml
        mismatch = getattr(nvml, "NVMLLibraryMismatchError", nvml.NVMLError)
        try:
            return getattr(nvml, function)(self._handle, *arguments)
        except (nvml.NVMLError, mismatch, AttributeError) as error:
            raise Unreadable(f"NVML: {error}") from None


def read_device(which: str | int, *, own_context: bool) -> DeviceState:
    """The state of a device now.

    Args:
        which: UUID or NVML's number.
        own_context: whether this process has a CUDA context on it, i.e. has used it.
    """
    try:
        device = Device(which)
    except Unreadable as error:
        names = set(DeviceState.__dataclass_fields__) - {"own_context", "reasons"}
        return DeviceState(own_context, reasons=dict.fromkeys(sorted(names), str(error)))
    reasons: dict[str, str] = {}

    def read(name: str, ask: Callable[[], T]) -> T | None:
        try:
            return ask()
        except Unreadable as error:
            reasons[name] = str(error)
            return None

    bits = read("slowdowns", device.clock_reasons)
    if bits is None:
        reasons["idle"] = reasons["slowdowns"]
    return DeviceState(
        own_context=own_context,
        sm_mhz=read("sm_mhz", device.sm_mhz),
        default_sm_mhz=read("default_sm_mhz", device.default_sm_mhz),
        idle=None if bits is None else bool(bits & IDLE),
        slowdowns=None if bits is None else slowdowns(bits),
        foreign_processes=read("foreign_processes", lambda: _foreign(device, own_context)),
        own_memory_mib=read("own_memory_mib", lambda: _own_memory(device, own_context)),
        reasons=reasons,
    )


def device_memory_of_process(which: str | int) -> tuple[float | None, str | None]:
    """MiB that this process holds on a device that it has used, or None and the reason."""
    try:
        return _own_memory(Device(which), own_context=True), None
    except Unreadable as error:
        return None, str(error)


def slowdowns(bits: int) -> tuple[str, ...]:
    """Names of what holds clocks down; a bit that is not known is named by its number.

    >>> slowdowns(0x1 | 0x4 | 0x20)
    ('sw_power_cap', 'sw_thermal_slowdown')
    >>> slowdowns(0x800)
    ('0x800',)
    """
    held = bits & ~(IDLE | CLOCK_SETTING)
    set_bits = (1 << i for i in range(held.bit_length()) if held >> i & 1)
    return tuple(SLOWDOWNS.get(bit, hex(bit)) for bit in set_bits)


def _foreign(device: Device, own_context: bool) -> int:
    """All listed processes but this one, which has one entry, by whatever number.

    Its own number is no help: in a container NVML gives that of the host.
    """
    listed = len(device.processes())
    if own_context and not listed:
        raise Unreadable("the driver lists no process here, not even this one")
    return listed - own_context


def _own_memory(device: Device, own_context: bool) -> float:
    if not own_context:
        raise Unreadable("this process has not used the device")
    processes = device.processes()
    own = processes.get(os.getpid())
    if own is None and len(processes) == 1:
        own = next(iter(processes.values()))
    if own is None:
        raise Unreadable("the driver does not tell the memory of this process")
    return own / 2**20
