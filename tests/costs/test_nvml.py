"""NVML's answers, against a stand-in for its package; and of a real GPU where there is one."""

from __future__ import annotations

import inspect
import os
import sys

import pytest
from fake_nvml import UUID, FakeNvml, NVMLError, NVMLLibraryMismatchError

from kdbench.costs.nvml import (
    CLOCK_SETTING,
    IDLE,
    NOT_INSTALLED,
    SLOWDOWNS,
    Device,
    Unreadable,
    device_memory_of_process,
    read_device,
)

MIB = 2**20


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


def test_all_is_read(nvml: FakeNvml) -> None:
    nvml.bits = IDLE | CLOCK_SETTING
    nvml.listed = {4711: 300 * MIB}
    state = read_device(0, own_context=True)
    assert (state.sm_mhz, state.default_sm_mhz) == (1300, 1100)
    assert (state.idle, state.slowdowns) == (True, ())
    assert (state.foreign_processes, state.own_memory_mib) == (0, 300)
    assert state.reasons == {}


@pytest.mark.parametrize("which", [0, UUID, UUID.removeprefix("GPU-")])
def test_a_device_is_found_by_number_and_by_uuid(nvml: FakeNvml, which: str | int) -> None:
    assert Device(which).sm_mhz() == 1300


def test_no_such_device(nvml: FakeNvml) -> None:
    with pytest.raises(Unreadable, match="NVML: Not Found"):
        Device("GPU-elsewhere")


def test_without_the_package_every_field_has_that_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    state = read_device(0, own_context=False)
    assert set(state.reasons.values()) == {NOT_INSTALLED}
    assert all(getattr(state, name) is None for name in state.reasons)
    assert len(state.reasons) == 6
    assert device_memory_of_process(0) == (None, NOT_INSTALLED)


def test_without_a_driver(nvml: FakeNvml) -> None:
    nvml.broken["nvmlInit"] = NVMLError(12)
    state = read_device(0, own_context=False)
    assert set(state.reasons.values()) == {"NVML: NVML Shared Library Not Found"}


@pytest.mark.parametrize(
    ("function", "fields"),
    [
        ("nvmlDeviceGetClockInfo", {"sm_mhz"}),
        ("nvmlDeviceGetComputeRunningProcesses", {"foreign_processes", "own_memory_mib"}),
    ],
)
@pytest.mark.parametrize("error", [NVMLError(3), NVMLLibraryMismatchError("old driver")])
def test_one_silent_answer_is_none_and_the_rest_is_read(
    nvml: FakeNvml, function: str, fields: set[str], error: Exception
) -> None:
    nvml.listed = {1: MIB}
    nvml.broken[function] = error
    state = read_device(0, own_context=True)
    assert set(state.reasons) == fields
    assert {name for name in vars(state) if getattr(state, name) is None} == fields
    assert str(error) in state.reasons[min(fields)]


def test_an_older_name_of_the_clocks_reasons(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml.bits = 0x4
    monkeypatch.delattr(FakeNvml, "nvmlDeviceGetCurrentClocksEventReasons")
    assert read_device(0, own_context=False).slowdowns == ("sw_power_cap",)
    monkeypatch.delattr(FakeNvml, "nvmlDeviceGetCurrentClocksThrottleReasons")
    state = read_device(0, own_context=False)
    assert (state.idle, state.slowdowns) == (None, None)
    assert {"idle", "slowdowns"} <= set(state.reasons)


def test_the_highest_clock_stands_in_for_a_default_one(nvml: FakeNvml) -> None:
    nvml.default_clocks.clear()
    assert read_device(0, own_context=False).default_sm_mhz == 1400


@pytest.mark.parametrize(
    ("pids", "own_context", "foreign"),
    [
        ([], False, 0),
        ([7], False, 1),
        ([7], True, 0),  # the host's number of this process, in a container
        ([os.getpid()], True, 0),
        ([os.getpid()], False, 1),  # another process of that number on the host
        ([7, 8, 9], True, 2),
        ([], True, None),
    ],
)
def test_foreign_processes(
    nvml: FakeNvml, pids: list[int], own_context: bool, foreign: int | None
) -> None:
    nvml.listed = dict.fromkeys(pids, MIB)
    state = read_device(0, own_context=own_context)
    assert state.foreign_processes == foreign
    assert ("foreign_processes" in state.reasons) == (foreign is None)


@pytest.mark.parametrize(
    ("listed", "mib"),
    [
        ({os.getpid(): 2 * MIB, 7: 3 * MIB}, 2),
        ({7: 3 * MIB}, 3),
        ({7: 3 * MIB, 8: 4 * MIB}, None),
        ({os.getpid(): None}, None),  # as on Windows
        ({}, None),
    ],
)
def test_own_memory(nvml: FakeNvml, listed: dict[int, int | None], mib: float | None) -> None:
    nvml.listed = listed
    value, reason = device_memory_of_process(0)
    assert value == mib
    assert (reason is None) == (mib is not None)


def test_the_memory_of_another_is_not_taken_for_ours(nvml: FakeNvml) -> None:
    nvml.listed = {7: 3 * MIB}
    state = read_device(0, own_context=False)
    assert state.own_memory_mib is None
    assert "has not used" in state.reasons["own_memory_mib"]


def test_energy_is_in_joules(nvml: FakeNvml) -> None:
    assert Device(0).joules() == 5000


def test_the_stand_in_is_like_the_real_package() -> None:
    real = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    functions = [name for name in vars(FakeNvml) if name.startswith("nvml")]
    assert len(functions) == 10
    for name in functions:
        ours = list(inspect.signature(getattr(FakeNvml, name)).parameters)[1:]
        assert ours == list(inspect.signature(getattr(real, name)).parameters), name
    for name in ("NVML_CLOCK_GRAPHICS", "NVML_CLOCK_SM"):
        assert getattr(FakeNvml, name) == getattr(real, name)
    for value in (3, 6, 12):
        assert str(real.NVMLError(value)) == str(NVMLError(value))
    assert issubclass(real.NVMLLibraryMismatchError, Exception)


def test_the_table_of_slowdowns_is_the_real_packages() -> None:
    real = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    prefix = "nvmlClocksThrottleReason"
    names = {n.removeprefix(prefix): getattr(real, n) for n in dir(real) if n.startswith(prefix)}
    ours = {name.title().replace("_", ""): bit for bit, name in SLOWDOWNS.items()}
    settings = {"ApplicationsClocksSetting", "UserDefinedClocks"}
    assert names.pop("GpuIdle") == IDLE
    assert {names.pop(name) for name in settings} == {CLOCK_SETTING}
    assert {name: names[name] for name in names.keys() - {"None", "All"}} == ours


@pytest.fixture
def gpu() -> str:
    """UUID of a GPU that this process uses."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU")
    pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    torch.ones(64 * 2**18, device="cuda")
    return str(torch.cuda.get_device_properties(0).uuid)


@pytest.mark.gpu
def test_a_real_device_tells_its_clocks(gpu: str) -> None:
    state = read_device(gpu, own_context=True)
    assert state.sm_mhz is not None, state.reasons
    assert state.default_sm_mhz is not None, state.reasons
    assert 0 < state.sm_mhz < 5000
    assert 0 < state.default_sm_mhz < 5000
    assert state.slowdowns is not None, state.reasons


@pytest.mark.gpu
def test_a_real_device_counts_a_second_process(gpu: str) -> None:
    import subprocess

    alone = read_device(gpu, own_context=True)
    if alone.foreign_processes is None:
        pytest.skip(alone.reasons["foreign_processes"])
    code = "import torch; torch.ones(1, device='cuda'); print('on', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "on\n"
        beside = read_device(gpu, own_context=True)
        other.communicate("\n")
    assert beside.foreign_processes == alone.foreign_processes + 1


@pytest.mark.gpu
def test_a_real_device_tells_the_memory_of_this_process(gpu: str) -> None:
    import torch

    held = torch.ones(256 * 2**18, device="cuda")
    mib, reason = device_memory_of_process(gpu)
    if mib is None:
        pytest.skip(str(reason))
    assert held.numel() * 4 / MIB <= mib <= torch.cuda.mem_get_info()[1] / MIB
