"""Marks of what disturbed a measurement from outside: other load, other users, low clocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kdbench.costs.host import HostState
from kdbench.costs.nvml import DeviceState

STEAL = 0.01
"""Share of the machine's time that a hypervisor may take."""
SWITCHES_S = 50.0
"""Involuntary context switches of this process in a second."""
SLACK = 0.5
"""Foreign tasks on average that a run on all cores may have beside it: a count taken every five
seconds does not tell fewer from none."""
THROTTLED = 0.75
"""Clock of the multiprocessors over their default one (nvbench)."""

_TICK_S = 5.0
_DECAY = 1884 / 2048
"""Linux updates the load of a minute every 5 s to `decay · load + (1 - decay) · tasks`
(kernel/sched/loadavg.c, EXP_1)."""
_JUDGED = {"sm_mhz", "default_sm_mhz", "idle", "slowdowns", "foreign_processes"}


@dataclass(frozen=True)
class Disturbance:
    """Marks, and the figures behind them, None where unknown."""

    marks: list[str]
    details: dict[str, float | str | None]


def host_marks(before: HostState, after: HostState, threads: int) -> Disturbance:
    """`host_busy` where other load on the host took time from this process, or must have.

    This process's own load is not held against it, nor is what ran before the first state: the
    tasks in between are taken out of the decaying load average, and `threads` of them are ours.

    Args:
        before: read before measuring.
        after: read after it.
        threads: that this process computes with.

    Raises:
        ValueError: the second state is not later than the first.
    """
    seconds = after.time_s - before.time_s
    if seconds <= 0:
        raise ValueError("The state after the measurement is not later than the one before.")
    tasks = mean_tasks(before, after)
    # The load is the machine's, whatever part of it this process may use.
    cores = after.machine_cores or after.cores
    switches = _rise(before.involuntary_switches, after.involuntary_switches)
    values: dict[str, float | None] = {
        "foreign_load": None if tasks is None else max(0.0, tasks - threads),
        "steal_share": _steal_share(before, after),
        "runnable": max(filter(None, (before.runnable, after.runnable)), default=None),
        "throttled_periods": _rise(before.throttled_periods, after.throttled_periods),
        "involuntary_switches_s": None if switches is None else switches / seconds,
    }
    limits = {
        "foreign_load": None if cores is None else max(cores - threads, SLACK),
        "steal_share": STEAL,
        "runnable": cores,
        "throttled_periods": 0,
        "involuntary_switches_s": SWITCHES_S,
    }
    broken = [name for name, value in values.items() if _exceeds(value, limits[name])]
    details: dict[str, float | str | None] = {f"host_{name}": v for name, v in values.items()}
    details |= {"host_cores": cores, "host_busy_by": ",".join(broken) or None}
    return Disturbance(["host_busy"] if broken else [], details)


def mean_tasks(before: HostState, after: HostState) -> float | None:
    """Tasks that ran or waited between two states, on average; at least so many.

    The kernel's updates in between are known to one, and the number that gives fewer tasks is
    taken. Below 5 s it is one count, or none and the load before.
    """
    if before.load is None or after.load is None:
        return None
    updates = int((after.time_s - before.time_s) / _TICK_S)
    kept = (_DECAY**n for n in (max(updates, 1), updates + 1))
    return max(0.0, min((after.load - k * before.load) / (1 - k) for k in kept))


def device_marks(states: Sequence[DeviceState]) -> Disturbance:
    """`gpu_shared` and `throttled`, each where any of the states shows it.

    Clocks of an idle device are low of themselves and are not held against it. A list of
    processes that one state could not read says nothing in another where it was empty.

    Args:
        states: at least one; read before this process used the device, while it did, and after.

    Raises:
        ValueError: there is no state.
    """
    if not states:
        raise ValueError("No state of the device was read.")
    counts = [state.foreign_processes for state in states]
    foreign = max(filter(None, counts), default=None if None in counts else 0)
    shares = [share for state in states if (share := _clock_share(state)) is not None]
    lowest = min(shares, default=None)
    held = ",".join(sorted({name for state in states for name in state.slowdowns or ()}))
    if not held and all(state.slowdowns is not None for state in states):
        held = "none"
    unread = {state.reasons[name] for state in states for name in _JUDGED & set(state.reasons)}
    marks = ["gpu_shared"] if foreign else []
    if held not in ("", "none") or (lowest is not None and lowest < THROTTLED):
        marks.append("throttled")
    return Disturbance(
        marks,
        {
            "gpu_foreign_processes": foreign,
            "gpu_clock_share": lowest,
            "gpu_slowdowns": held or None,
            "gpu_unread": "; ".join(sorted(unread)) or None,
        },
    )


def _clock_share(state: DeviceState) -> float | None:
    """Clock over default clock of a device that works; None where it idles, or may."""
    if state.idle or (state.idle is None and not state.own_context):
        return None
    if state.sm_mhz is None or not state.default_sm_mhz:
        return None
    return state.sm_mhz / state.default_sm_mhz


def _steal_share(before: HostState, after: HostState) -> float | None:
    stolen, total = _rise(before.stolen, after.stolen), _rise(before.jiffies, after.jiffies)
    return stolen / total if stolen is not None and total else None


def _rise(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


def _exceeds(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and value > limit
