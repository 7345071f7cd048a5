"""Energy of an image, from a counter of the hardware; never estimated from a power rating."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Protocol

from kdbench.costs.missing import missing
from kdbench.costs.nvml import Device, Unreadable
from kdbench.record import Cost
from kdbench.seeds import seed
from kdbench.spec import content_key

_POWERCAP = Path("/sys/class/powercap")
_Energy = partial(Cost, metric="energy_j_per_image", unit="J/image", stat="median", boundary="e2e")
LEAD_IN_S = 1.0
"""Calls before a window, so that clocks are up and both of its ends lie under load: a counter
that lags then does so equally at both."""
PHASE_S = 0.5
"""Longest random delay before a window. Counters update about every 100 ms, and some sensors see
a quarter of the time only (Yang et al. 2024, arXiv 2312.02741), so windows must not be in step."""


class EnergyMeter(Protocol):
    """A counter of energy."""

    @property
    def name(self) -> str:
        """What is counted and how; only figures of one method are compared."""
        ...

    def read_joules(self) -> float:
        """Joules since some moment; never falls."""
        ...


class RaplMeter:
    """Processor packages and their memory, of the whole machine.

    `core` and `uncore` are parts of their package, and `psys` contains it, so none of them is
    added. A counter must be read before it wraps twice, i.e. every few minutes.

    Raises:
        OSError: the counters are missing or cannot be read.
    """

    def __init__(self, powercap: Path = _POWERCAP) -> None:
        zones = {zone: _read(zone / "name") for zone in sorted(powercap.glob("intel-rapl:*"))}
        # A package of several dies has a zone for each, named package-0-die-1.
        packages = [zone for zone, name in zones.items() if name.startswith("package")]
        memory = [zone for zone, name in zones.items() if name == "dram"]
        if not packages:
            raise FileNotFoundError(0, "this system shows no power domain of a package")
        self._zones = [*packages, *memory]
        self._ranges = [int(_read(zone / "max_energy_range_uj")) for zone in self._zones]
        self._last = self._counters()
        self._total = 0
        self.name = "rapl-package+dram" if memory else "rapl-package"

    def read_joules(self) -> float:
        """Joules since the meter was made."""
        now = self._counters()
        for value, last, whole in zip(now, self._last, self._ranges, strict=True):
            self._total += value - last + (whole if value < last else 0)
        self._last = now
        return self._total / 1e6

    def _counters(self) -> list[int]:
        return [int(_read(zone / "energy_uj")) for zone in self._zones]


class NvmlMeter:
    """The whole board of an NVIDIA GPU, whoever uses it.

    Raises:
        Unreadable: NVML or the device does not tell.
    """

    name = "nvml-counter"

    def __init__(self, which: str | int) -> None:
        self._device = Device(which)
        self.read_joules()

    def read_joules(self) -> float:
        """Joules since the driver was loaded."""
        return self._device.joules()


def energy_meter(
    device_type: str, which: str | int = 0, *, powercap: Path = _POWERCAP
) -> tuple[EnergyMeter | None, str | None]:
    """The meter of a device that does the work, or None and the reason.

    Args:
        device_type: `cpu` or `cuda`.
        which: UUID of the GPU, or NVML's number.
        powercap: where the kernel shows its power domains.
    """
    try:
        if device_type == "cuda":
            return NvmlMeter(which), None
        if device_type == "cpu":
            return RaplMeter(powercap), None
    except Unreadable as error:
        return None, str(error)
    except PermissionError:
        # CVE-2020-8694: power tells others' secrets.
        return None, "the RAPL counters are readable by root alone, as Linux has had it since 5.10"
    except OSError as error:
        return None, f"the RAPL counters cannot be read: {error.strerror}"
    return None, f"no energy counter is known of a device of type {device_type}"


@dataclass(frozen=True)
class _Window:
    """What calls in a row took."""

    joules: float
    seconds: float
    images: int


def energy(
    call: Callable[[], object],
    images_per_call: int,
    synchronise: Callable[[], None],
    meter: EnergyMeter,
    *,
    config_key: str,
    window_s: float = 10,
    idle_s: float = 5,
    windows: int = 4,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> Cost:
    """Joules an image of calls in a row, idle power included: median of windows.

    The details have the same net of idle power, which is measured first. Whatever else the
    metered hardware does meanwhile is in both.

    The meter's own errors pass through: a counter that is lost while measuring.

    Args:
        call: makes images.
        images_per_call: how many.
        synchronise: waits until the device has made them.
        meter: a counter of the device's energy.
        config_key: conditions, without the meter.
        window_s: shortest length of a window; a counter that lags by 100 ms is 1 % of 10 s.
        idle_s: length of the idle time before.
        windows: number of windows.
        clock: seconds, monotonic.
        sleep: waits for seconds.
    """
    synchronise()
    before, start = meter.read_joules(), clock()
    sleep(idle_s)
    idle_w = (meter.read_joules() - before) / (clock() - start)
    phases = Random(seed("energy-phase", config_key))
    taken = []
    for _ in range(windows):
        sleep(PHASE_S * phases.random())
        taken.append(_window(call, images_per_call, synchronise, meter, window_s, clock))
    return _cost(taken, idle_w, meter.name, images_per_call, config_key)


def no_energy(reason: str, *, batch: int, config_key: str) -> Cost:
    """The cost where there is no meter."""
    return missing("energy_j_per_image", reason, boundary="e2e", batch=batch, config_key=config_key)


def _window(
    call: Callable[[], object],
    images_per_call: int,
    synchronise: Callable[[], None],
    meter: EnergyMeter,
    window_s: float,
    clock: Callable[[], float],
) -> _Window:
    """Calls in a row for at least `window_s`, waiting for the device about every `LEAD_IN_S`."""
    block, start = 0, clock()
    while clock() - start < LEAD_IN_S:
        call()
        synchronise()
        block += 1
    calls, joules, start = 0, meter.read_joules(), clock()
    while (seconds := clock() - start) < window_s:
        for _ in range(block):
            call()
        synchronise()
        calls += block
    return _Window(meter.read_joules() - joules, seconds, calls * images_per_call)


def _cost(windows: list[_Window], idle_w: float, method: str, batch: int, config_key: str) -> Cost:
    """The cost of windows; a counter that stood still has measured nothing."""
    key = content_key({"conditions": config_key, "method": method})
    if any(window.joules <= 0 for window in windows):
        stood = f"the counter {method} did not move in a window of {windows[0].seconds:.0f} s"
        return no_energy(stood, batch=batch, config_key=key)
    gross = [window.joules / window.images for window in windows]
    net = [(window.joules - idle_w * window.seconds) / window.images for window in windows]
    middle = median(gross)
    return _Energy(
        value=middle,
        batch=batch,
        n=len(windows),
        config_key=key,
        details={
            "method": method,
            "net_of_idle": median(net) if idle_w > 0 else None,  # 0 W: too short for the counter
            "idle_w": idle_w if idle_w > 0 else None,
            "watts": median(window.joules / window.seconds for window in windows),
            "min": min(gross),
            "max": max(gross),
            "spread": (max(gross) - min(gross)) / middle,
            "window_s": median(window.seconds for window in windows),
        },
    )


def _read(path: Path) -> str:
    return path.read_text("ascii").strip()
