"""Energy of an image, in a world whose clock and power are made up."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_nvml import FakeNvml, NVMLError

from kdbench.costs import energy as module
from kdbench.costs.energy import EnergyMeter, NvmlMeter, RaplMeter, energy, energy_meter, no_energy
from kdbench.record import Cost


class World:
    """A device that draws 20 W, and 100 W while it works through calls of so many seconds.

    Calls return at once; the device is waited for by `synchronise`. The counter of energy shows
    its value as of its last update.
    """

    name = "made-up"

    def __init__(self, call_s: float = 0.05, *, update_s: float = 1e-9) -> None:
        self.call_s, self.update_s = call_s, update_s
        self.now = self.joules = self.shown = self.waiting_s = 0.0
        self.idle_w, self.busy_w = 20.0, 100.0
        self.slept: list[float] = []

    def call(self) -> None:
        self.pass_time(1e-4, self.busy_w if self.waiting_s else self.idle_w)
        self.waiting_s += self.call_s

    def synchronise(self) -> None:
        self.pass_time(self.waiting_s, self.busy_w)
        self.waiting_s = 0.0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.pass_time(seconds, self.idle_w)

    def pass_time(self, seconds: float, watts: float) -> None:
        updated = math.floor((self.now + seconds) / self.update_s) * self.update_s
        if updated > self.now:
            self.shown = self.joules + watts * (updated - self.now)
        self.now += seconds
        self.joules += watts * seconds

    def clock(self) -> float:
        return self.now

    def read_joules(self) -> float:
        return self.shown

    def measure(self, **options: Any) -> Cost:
        options = {"config_key": "k"} | options
        return energy(
            self.call, 8, self.synchronise, self, clock=self.clock, sleep=self.sleep, **options
        )


def test_known_power_is_found_gross_and_net() -> None:
    cost = World().measure()
    assert cost.value == pytest.approx(100 * 0.05 / 8, rel=0.005)
    assert cost.details["net_of_idle"] == pytest.approx(80 * 0.05 / 8, rel=0.005)
    assert cost.details["idle_w"] == pytest.approx(20)
    assert cost.details["watts"] == pytest.approx(100, rel=0.005)
    assert cost.details["spread"] == pytest.approx(0, abs=0.005)
    assert cost.details["method"] == "made-up"
    assert (cost.metric, cost.unit, cost.n, cost.batch) == ("energy_j_per_image", "J/image", 4, 8)


def test_a_window_is_long_by_the_clock_of_finished_work() -> None:
    cost = World(call_s=0.03).measure(window_s=10, windows=3)
    assert cost.n == 3
    assert 10 <= cost.details["window_s"] < 11.1  # type: ignore[operator]


def test_a_call_longer_than_a_window() -> None:
    cost = World(call_s=30).measure()
    assert cost.value == pytest.approx(100 * 30 / 8, rel=0.005)


@pytest.mark.parametrize("call_s", [0.0007, 0.037, 0.1, 0.73])
@pytest.mark.parametrize("key", ["a", "b", "c"])
def test_a_counter_that_updates_every_100_ms(call_s: float, key: str) -> None:
    cost = World(call_s, update_s=0.1).measure(config_key=key)
    true = 100 * call_s / 8
    host = 1 + 1e-4 / call_s  # the world's own time for starting a call, when nothing else waits
    assert true * 0.98 <= cost.value <= true * 1.02 * host
    assert cost.details["idle_w"] == pytest.approx(20, rel=0.05)


def test_a_lag_shows_in_short_windows() -> None:
    cost = World(0.13, update_s=0.1).measure(window_s=0.5)
    assert cost.details["spread"] > 0.02  # type: ignore[operator]


def test_the_median_survives_one_disturbed_window() -> None:
    class Disturbed(World):
        def pass_time(self, seconds: float, watts: float) -> None:
            super().pass_time(seconds, watts * (3 if 20 < self.now < 28 else 1))

    cost = Disturbed().measure()
    assert cost.value == pytest.approx(100 * 0.05 / 8, rel=0.01)
    assert cost.details["spread"] > 0.5  # type: ignore[operator]


def test_phases_are_random_and_repeat_themselves() -> None:
    slept = []
    for key in ("a", "a", "b"):
        world = World()
        world.measure(config_key=key)
        idle, *phases = world.slept
        assert idle == 5
        assert len(set(phases)) == 4
        assert all(0 <= phase <= module.PHASE_S for phase in phases)
        slept.append(phases)
    assert slept[0] == slept[1] != slept[2]


def test_a_counter_that_stands_still_is_no_value() -> None:
    cost = World(update_s=1e6).measure()
    assert cost.value is None
    assert cost.reason is not None
    assert "did not move" in cost.reason


def test_no_idle_power_was_seen() -> None:
    world = World()
    world.idle_w = 0.0
    cost = world.measure()
    assert cost.value is not None
    assert cost.details["idle_w"] is None
    assert cost.details["net_of_idle"] is None


def test_two_methods_are_not_compared() -> None:
    first, second = World(), World()
    second.name = "another"
    assert first.measure().config_key != second.measure().config_key
    assert World().measure(config_key="l").config_key != World().measure().config_key


def test_no_meter_no_value() -> None:
    cost = no_energy("no counter", batch=8, config_key="k")
    assert (cost.value, cost.reason, cost.batch) == (None, "no counter", 8)
    assert cost.metric == World().measure().metric


# ---------------------------------------------------------------- RAPL

RANGE_UJ = 262_143_328_850
Zones = Callable[..., Path]


@pytest.fixture
def powercap(tmp_path: Path) -> Zones:
    """`powercap(**{zone: (name, energy)})`: a tree as the kernel shows it."""

    def write(zones: dict[str, tuple[str, int]]) -> Path:
        (tmp_path / "intel-rapl").mkdir(exist_ok=True)
        for zone, (name, energy_uj) in zones.items():
            (tmp_path / zone).mkdir(exist_ok=True)
            (tmp_path / zone / "name").write_text(f"{name}\n")
            (tmp_path / zone / "energy_uj").write_text(f"{energy_uj}\n")
            (tmp_path / zone / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
        return tmp_path

    return write


SERVER = {
    "intel-rapl:0": "package-0",
    "intel-rapl:0:0": "core",
    "intel-rapl:0:1": "dram",
    "intel-rapl:1": "package-1-die-0",
    "intel-rapl:1:0": "dram",
    "intel-rapl:1:1": "uncore",
    "intel-rapl:2": "psys",
    "intel-rapl-mmio:0": "package-0",
}


def test_packages_and_memory_are_summed_and_nothing_twice(powercap: Zones) -> None:
    meter = RaplMeter(powercap({zone: (name, 10**6) for zone, name in SERVER.items()}))
    assert meter.name == "rapl-package+dram"
    assert meter.read_joules() == 0
    for i, (zone, name) in enumerate(SERVER.items()):
        powercap({zone: (name, 10**6 + 10**i * 1000)})
    assert meter.read_joules() == pytest.approx((1 + 100 + 1000 + 10_000) * 1e-3)


def test_a_processor_without_memory_counter_is_another_method(powercap: Zones) -> None:
    meter = RaplMeter(powercap({"intel-rapl:0": ("package-0", 5), "intel-rapl:0:0": ("core", 5)}))
    assert meter.name == "rapl-package"


def test_a_counter_that_wraps(powercap: Zones) -> None:
    def at(first: int, second: int) -> Path:
        zones = {"intel-rapl:0": ("package-0", first), "intel-rapl:1": ("package-1", second)}
        return powercap(zones)

    meter = RaplMeter(at(RANGE_UJ - 2_000_000, 7_000_000))
    at(3_000_000, 8_000_000)
    assert meter.read_joules() == pytest.approx(6)
    at(4_000_000, 0)
    assert meter.read_joules() == pytest.approx(7 + (RANGE_UJ - 8_000_000) / 1e6)


def test_counters_for_root_alone(powercap: Zones, monkeypatch: pytest.MonkeyPatch) -> None:
    read = module._read

    def refuse(path: Path) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(module, "_read", refuse)
    meter, reason = energy_meter("cpu", powercap=powercap({"intel-rapl:0": ("package-0", 5)}))
    assert meter is None
    assert reason is not None
    assert "root" in reason


@pytest.mark.parametrize("zones", [{}, {"intel-rapl:0": ("psys", 5)}])
def test_no_domain(powercap: Zones, zones: dict[str, tuple[str, int]]) -> None:
    meter, reason = energy_meter("cpu", powercap=powercap(zones))
    assert meter is None
    assert reason is not None
    assert "no power domain" in reason


def test_no_powercap_and_links_that_lead_nowhere(tmp_path: Path) -> None:
    assert energy_meter("cpu", powercap=tmp_path / "absent")[0] is None
    (tmp_path / "intel-rapl:0").symlink_to(tmp_path / "masked")
    meter, reason = energy_meter("cpu", powercap=tmp_path)
    assert meter is None
    assert reason == "the RAPL counters cannot be read: No such file or directory"


def test_the_meter_of_a_cpu(powercap: Zones) -> None:
    meter, reason = energy_meter("cpu", powercap=powercap({"intel-rapl:0": ("package-0", 5)}))
    assert isinstance(meter, RaplMeter)
    assert reason is None


# ---------------------------------------------------------------- NVML


def test_the_meter_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    meter: EnergyMeter | None
    meter, reason = energy_meter("cuda", 0)
    assert meter is not None
    assert (meter.name, reason) == ("nvml-counter", None)
    before = meter.read_joules()
    nvml.millijoules += 2500
    assert meter.read_joules() - before == 2.5


def test_a_gpu_without_a_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml()
    nvml.broken["nvmlDeviceGetTotalEnergyConsumption"] = NVMLError(3)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert energy_meter("cuda", 0) == (None, "NVML: Not Supported")


def test_another_device_has_none() -> None:
    meter, reason = energy_meter("mps")
    assert meter is None
    assert reason is not None
    assert "mps" in reason


@pytest.mark.gpu
def test_a_real_counter_moves_under_load() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU")
    pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    meter, reason = energy_meter("cuda", str(torch.cuda.get_device_properties(0).uuid))
    if meter is None:
        pytest.skip(str(reason))
    assert isinstance(meter, NvmlMeter)
    matrix = torch.randn(4096, 4096, device="cuda")
    cost = energy(
        lambda: matrix @ matrix, 1, torch.cuda.synchronize, meter,
        config_key="k", window_s=3, idle_s=2, windows=2,
    )  # fmt: skip
    assert cost.value is not None, cost.reason
    idle_w, watts = cost.details["idle_w"], cost.details["watts"]
    assert isinstance(idle_w, float)
    assert isinstance(watts, float)
    assert 5 < idle_w < watts < 2000
