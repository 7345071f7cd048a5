"""Marks of outside disturbance, from states that are made up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kdbench.costs.disturbance import device_marks, host_marks, mean_tasks
from kdbench.costs.host import HostState
from kdbench.costs.nvml import DeviceState
from kdbench.record import Cost

BEFORE = HostState(
    time_s=100.0,
    load=0.1,
    runnable=1,
    jiffies=10_000,
    stolen=500,
    machine_cores=4,
    cores=4,
    involuntary_switches=1000,
    throttled_periods=70,
)
AFTER = replace(BEFORE, time_s=120.0, jiffies=18_000, stolen=540, involuntary_switches=1500)
"""Twenty seconds later: steal of half a percent, 25 switches a second."""

QUIET = dict.fromkeys(vars(BEFORE)) | {"time_s": 100.0}


def load_after(load: float, tasks: list[int]) -> float:
    """The load that Linux shows once it has counted tasks every five seconds."""
    fixed = round(load * 2048)
    for count in tasks:
        fixed = (fixed * 1884 + count * 2048 * (2048 - 1884)) // 2048
    return round(fixed / 2048, 2)


def marks(threads: int = 1, before: HostState = BEFORE, **after: Any) -> tuple[list[str], Any]:
    found = host_marks(before, replace(AFTER, **after), threads)
    return found.marks, found.details["host_busy_by"]


def test_a_quiet_host_has_no_mark_and_its_figures() -> None:
    found = host_marks(BEFORE, replace(AFTER, load=load_after(0.1, [1] * 4)), 1)
    assert found.marks == []
    assert found.details == {
        "host_foreign_load": pytest.approx(0, abs=0.05),
        "host_steal_share": 0.005,
        "host_runnable": 1,
        "host_throttled_periods": 0,
        "host_involuntary_switches_s": 25,
        "host_cores": 4,
        "host_busy_by": None,
    }


@pytest.mark.parametrize(
    ("after", "rule"),
    [
        ({"stolen": 581}, "steal_share"),
        ({"runnable": 5}, "runnable"),
        ({"throttled_periods": 71}, "throttled_periods"),
        ({"involuntary_switches": 2001}, "involuntary_switches_s"),
        ({"load": load_after(0.1, [5] * 4)}, "foreign_load"),
    ],
)
def test_each_rule_alone(after: dict[str, Any], rule: str) -> None:
    assert marks(**after) == (["host_busy"], rule)


@pytest.mark.parametrize(
    "after",
    [{"stolen": 580}, {"runnable": 4}, {"involuntary_switches": 2000}],
)
def test_the_limit_itself_is_allowed(after: dict[str, Any]) -> None:
    assert marks(**after) == ([], None)


def test_rules_are_listed_together_and_before_counts_too() -> None:
    crowded = replace(BEFORE, runnable=9)
    assert marks(before=crowded, stolen=900) == (["host_busy"], "steal_share,runnable")


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("earlier", [0.0, 4.0, 40.0])
def test_own_load_and_that_of_an_earlier_cell_are_not_held_against_it(
    threads: int, earlier: float
) -> None:
    before = replace(BEFORE, load=earlier)
    own = load_after(earlier, [threads] * 4)
    assert marks(threads, before, load=own) == ([], None)
    crowded = load_after(earlier, [6] * 4)
    assert marks(threads, before, load=crowded) == (["host_busy"], "foreign_load")


@pytest.mark.parametrize("seconds", [5.5, 9.5, 12.0, 61.0, 303.0])
@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.parametrize("load", [0.0, 7.0])
def test_tasks_in_between_whatever_the_phase_of_the_updates(
    seconds: float, late: int, load: float
) -> None:
    before = replace(BEFORE, load=load)
    counts = [3] * (int(seconds / 5) + late)
    after = replace(before, time_s=100 + seconds, load=load_after(load, counts))
    tasks = mean_tasks(before, after)
    assert tasks is not None
    assert tasks < 3.15  # the load is rounded to 0.01, which one update magnifies 12 times
    if len(counts) > 10:
        assert tasks == pytest.approx(3, abs=0.4)


def test_between_updates_the_load_before_is_all_there_is() -> None:
    assert mean_tasks(BEFORE, replace(BEFORE, time_s=103.0)) == pytest.approx(0.1)


def test_the_load_of_a_large_machine_is_not_that_of_the_few_cores_allowed() -> None:
    large = replace(BEFORE, machine_cores=64, load=20.0)
    after = replace(large, time_s=120.0, load=load_after(20.0, [21] * 4))
    assert host_marks(large, after, 2).marks == []


def test_what_is_not_told_is_none_and_no_mark() -> None:
    nothing = HostState(**QUIET)
    found = host_marks(nothing, replace(nothing, time_s=101.0), 1)
    assert found.marks == []
    assert set(found.details.values()) == {None}


def test_states_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match="not later"):
        host_marks(AFTER, BEFORE, 1)


# ---------------------------------------------------------------- device

WORKING = DeviceState(True, 1300, 1400, False, (), 0, 500.0)
IDLE = DeviceState(False, 210, 1400, True, (), 0, None, {"own_memory_mib": "not used"})


def test_an_undisturbed_device() -> None:
    found = device_marks([IDLE, WORKING, replace(WORKING, sm_mhz=300, idle=True)])
    assert found.marks == []
    assert found.details == {
        "gpu_foreign_processes": 0,
        "gpu_clock_share": pytest.approx(1300 / 1400),
        "gpu_slowdowns": "none",
        "gpu_unread": None,
    }


@pytest.mark.parametrize("where", [0, 1, 2])
def test_another_process_at_any_time(where: int) -> None:
    states = [IDLE, WORKING, WORKING]
    states[where] = replace(states[where], foreign_processes=2)
    found = device_marks(states)
    assert found.marks == ["gpu_shared"]
    assert found.details["gpu_foreign_processes"] == 2


@pytest.mark.parametrize(("mhz", "expected"), [(1049, ["throttled"]), (1050, [])])
def test_a_low_clock_in_one_sample(mhz: int, expected: list[str]) -> None:
    assert device_marks([WORKING, replace(WORKING, sm_mhz=mhz), WORKING]).marks == expected


def test_a_slowdown_in_one_sample() -> None:
    hot = replace(WORKING, slowdowns=("sw_thermal_slowdown", "hw_slowdown"))
    capped = replace(WORKING, slowdowns=("hw_slowdown",))
    found = device_marks([WORKING, hot, capped])
    assert found.marks == ["throttled"]
    assert found.details["gpu_slowdowns"] == "hw_slowdown,sw_thermal_slowdown"


@pytest.mark.parametrize(("own_context", "expected"), [(True, ["throttled"]), (False, [])])
def test_without_reasons_a_device_in_use_is_held_to_its_clock(
    own_context: bool, expected: list[str]
) -> None:
    state = replace(WORKING, own_context=own_context, sm_mhz=210, idle=None, slowdowns=None)
    found = device_marks([state])
    assert found.marks == expected
    assert found.details["gpu_slowdowns"] is None


def test_a_hidden_list_of_processes_makes_an_empty_one_worthless() -> None:
    hidden = replace(WORKING, foreign_processes=None, reasons={"foreign_processes": "hidden"})
    found = device_marks([IDLE, hidden])
    assert found.marks == []
    assert found.details["gpu_foreign_processes"] is None
    assert found.details["gpu_unread"] == "hidden"
    shared = device_marks([replace(IDLE, foreign_processes=1), hidden])
    assert shared.marks == ["gpu_shared"]


def test_an_unreadable_device_has_no_marks_and_one_reason() -> None:
    names = ("sm_mhz", "default_sm_mhz", "idle", "slowdowns", "foreign_processes")
    closed = DeviceState(False, reasons=dict.fromkeys(names, "no driver"))
    found = device_marks([closed, closed])
    assert found.marks == []
    assert found.details.pop("gpu_unread") == "no driver"
    assert set(found.details.values()) == {None}


def test_no_state_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="No state"):
        device_marks([])


def test_marks_and_details_fit_a_cost() -> None:
    host, device = host_marks(BEFORE, AFTER, 1), device_marks([WORKING])
    cost = Cost(
        metric="latency_ms",
        unit="ms",
        value=1.0,
        stat="median",
        config_key="k",
        marks=[*host.marks, *device.marks],
        details=host.details | device.details,
    )
    assert Cost.model_validate_json(cost.model_dump_json()) == cost
