"""A stand-in for the module pynvml of nvidia-ml-py: its names and signatures, one invented GPU."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

UUID = "GPU-5b1f0c3e-0000-4d2a-9d7e-000000000001"
MESSAGES = {3: "Not Supported", 6: "Not Found", 12: "NVML Shared Library Not Found"}


class NVMLError(Exception):
    """An error by its number, as the library has it."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value

    def __str__(self) -> str:
        return MESSAGES[self.value]


class NVMLLibraryMismatchError(Exception):
    """The package calls a version of a function that the driver lacks."""


class FakeNvml(ModuleType):
    """What the GPU says is set on its fields; a function named in `broken` raises that error."""

    NVML_CLOCK_GRAPHICS = 0
    NVML_CLOCK_SM = 1
    NVMLError = NVMLError
    NVMLLibraryMismatchError = NVMLLibraryMismatchError

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.clocks = {self.NVML_CLOCK_SM: 1300}
        self.default_clocks = {self.NVML_CLOCK_GRAPHICS: 1100}
        self.max_clocks = {self.NVML_CLOCK_SM: 1400}
        self.bits = 0
        self.listed: dict[int, int | None] = {}
        self.millijoules = 5_000_000
        self.broken: dict[str, Exception] = {}
        self.opened = False

    def nvmlInit(self) -> None:
        self._fail("nvmlInit")
        self.opened = True

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return self._handle(index == 0)

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        return self._handle(uuid == UUID)

    def nvmlDeviceGetClockInfo(self, handle: str, type: int) -> int:
        return self._answer("nvmlDeviceGetClockInfo", handle, self.clocks.get(type))

    def nvmlDeviceGetMaxClockInfo(self, handle: str, type: int) -> int:
        return self._answer("nvmlDeviceGetMaxClockInfo", handle, self.max_clocks.get(type))

    def nvmlDeviceGetDefaultApplicationsClock(self, handle: str, type: int) -> int:
        name = "nvmlDeviceGetDefaultApplicationsClock"
        return self._answer(name, handle, self.default_clocks.get(type))

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: str) -> int:
        return self._answer("nvmlDeviceGetCurrentClocksEventReasons", handle, self.bits)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: str) -> int:
        return self._answer("nvmlDeviceGetCurrentClocksThrottleReasons", handle, self.bits)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:
        listed = [SimpleNamespace(pid=p, usedGpuMemory=m) for p, m in self.listed.items()]
        return self._answer("nvmlDeviceGetComputeRunningProcesses", handle, listed)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        return self._answer("nvmlDeviceGetTotalEnergyConsumption", handle, self.millijoules)

    def _handle(self, found: bool) -> str:
        assert self.opened
        if not found:
            raise NVMLError(6)
        return UUID

    def _answer(self, function: str, handle: str, value: Any) -> Any:
        assert handle == UUID
        self._fail(function)
        if value is None:
            raise NVMLError(3)
        return value

    def _fail(self, function: str) -> None:
        if function in self.broken:
            raise self.broken[function]
