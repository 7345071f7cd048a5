"""What the system tells of its load, and of the time that others took from this process."""

from __future__ import annotations

import os
import re
import resource
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")
_STEAL = 7  # user, nice, system, idle, iowait, irq, softirq, steal; guest time is in user: proc(5)


@dataclass(frozen=True)
class HostState:
    """One reading; None is what this system does not tell.

    A container shares most of it with its host: load, runnable tasks and jiffies are then those
    of the whole machine, as `machine_cores` is.
    """

    time_s: float
    """Monotonic clock."""
    load: float | None
    """Tasks that ran, waited for a core or for a disk, averaged over the last minute."""
    runnable: int | None
    """Tasks that ran or waited for a core at that moment, this one included."""
    jiffies: int | None
    """Time of all cores since the start, idle time included."""
    stolen: int | None
    """Jiffies in which the hypervisor ran something else."""
    machine_cores: int | None
    """Cores that are online."""
    cores: int | None
    """Cores that this process may use."""
    involuntary_switches: int | None
    """How often a core was taken from a thread of this process that would have run on."""
    throttled_periods: int | None
    """Periods in which a CPU quota stopped this process's control group, or one above it."""


def read_host(*, proc: Path = _PROC, cgroups: Path = _CGROUPS) -> HostState:
    """The state of the host now.

    Args:
        proc: where procfs is mounted.
        cgroups: where the control groups are mounted.
    """
    # Sandboxes without a load write zeros; this process runs, so no true count is 0.
    loads = re.match(r"([\d.]+) \S+ \S+ ([1-9]\d*)/", _text(proc / "loadavg"))
    stat = _text(proc / "stat")
    total = re.search(r"^cpu +(.*)$", stat, re.MULTILINE)
    jiffies = [int(n) for n in total[1].split()[: _STEAL + 1]] if total else []
    return HostState(
        time_s=monotonic(),
        load=float(loads[1]) if loads else None,
        runnable=int(loads[2]) if loads else None,
        jiffies=sum(jiffies) if jiffies else None,
        stolen=jiffies[_STEAL] if len(jiffies) > _STEAL else None,
        machine_cores=len(re.findall(r"^cpu\d", stat, re.MULTILINE)) or None,
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        involuntary_switches=resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw,
        throttled_periods=_throttled_periods(proc, cgroups),
    )


def _throttled_periods(proc: Path, cgroups: Path) -> int | None:
    """Sum over this process's group and all above it, each of which may have a quota."""
    counts: list[str] = []
    for line in _text(proc / "self" / "cgroup").splitlines():
        hierarchy, controllers, path = line.split(":", 2)
        if hierarchy == "0":
            root = cgroups
        elif "cpu" in controllers.split(","):
            root = cgroups / "cpu"  # version 1, which the controller is in where 2 lacks it
        else:
            continue
        names = [name for name in path.split("/") if name]
        # In a container the path may be the host's, while its last group is mounted as the root.
        for depth in range(len(names) + 1):
            stat = _text(root.joinpath(*names[:depth]) / "cpu.stat")
            counts += re.findall(r"^nr_throttled (\d+)$", stat, re.MULTILINE)
    return sum(map(int, counts)) if counts else None


def _text(path: Path) -> str:
    """The text of a file, empty where it cannot be read."""
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return ""
