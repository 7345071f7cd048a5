"""The state of the host, read from files that are made up, and from this system."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from kdbench.costs.host import HostState, read_host

LOADAVG = "3.25 2.00 1.00 5/913 4242\n"
STAT = """cpu  100 20 30 4000 5 6 7 88 50 60
cpu0 50 10 15 2000 2 3 3 44 25 30
cpu1 50 10 15 2000 3 3 4 44 25 30
intr 12345
ctxt 99
procs_running 5
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "proc/loadavg", LOADAVG)
    write(tmp_path, "proc/stat", STAT)
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def read(root: Path) -> HostState:
    return read_host(proc=root / "proc", cgroups=root / "cgroup")


def test_load_and_jiffies(root: Path) -> None:
    state = read(root)
    assert (state.load, state.runnable) == (3.25, 5)
    assert state.jiffies == 100 + 20 + 30 + 4000 + 5 + 6 + 7 + 88  # guest time is in user time
    assert state.stolen == 88
    assert state.machine_cores == 2


def test_nothing_is_told(tmp_path: Path) -> None:
    state = read(tmp_path)
    told = {name for name, value in vars(state).items() if value is not None}
    assert told == {"time_s", "cores", "involuntary_switches"}  # these are not read from files


def test_zeros_of_a_sandbox_are_no_counts(root: Path) -> None:
    write(root, "proc/loadavg", "0.00 0.00 0.00 0/0 0\n")
    state = read(root)
    assert (state.load, state.runnable) == (None, None)


def test_an_old_kernel_counts_no_steal(root: Path) -> None:
    write(root, "proc/stat", "cpu  100 20 30 4000\ncpu0 100 20 30 4000\n")
    state = read(root)
    assert (state.jiffies, state.stolen) == (4150, None)


@pytest.mark.parametrize(
    ("groups", "stats", "throttled"),
    [
        ("0::/user/run\n", {"user/run": 3}, 3),
        ("0::/pod/run\n", {"pod": 4, "pod/run": 3}, 7),  # a quota above counts too
        ("0::/\n", {"": 5}, 5),
        ("1:name=systemd:/\n4:cpuacct,cpu:/run\n0::/\n", {"cpu/run": 2}, 2),
        ("4:cpu:/docker/abc\n0::/\n", {"cpu": 6}, 6),  # the host's path inside a container
        ("4:cpuset:/\n", {"cpuset": 6}, None),
        ("0::/a:b\n", {"a:b": 1}, 1),
        ("0::/run\n", {}, None),
    ],
)
def test_throttled_periods(
    root: Path, groups: str, stats: dict[str, int], throttled: int | None
) -> None:
    write(root, "proc/self/cgroup", groups)
    for folder, count in stats.items():
        text = f"usage_usec 9\nnr_periods 50\nnr_throttled {count}\nthrottled_usec 8\n"
        write(root, f"cgroup/{folder}/cpu.stat", text)
    assert read(root).throttled_periods == throttled


def test_a_group_without_a_quota_says_nothing(root: Path) -> None:
    write(root, "proc/self/cgroup", "0::/run\n")
    write(root, "cgroup/run/cpu.stat", "usage_usec 9\nuser_usec 8\nsystem_usec 1\n")
    assert read(root).throttled_periods is None


@pytest.mark.skipif(not Path("/proc/loadavg").exists(), reason="needs Linux's /proc")
def test_this_system() -> None:
    first, second = read_host(), read_host()
    assert second.time_s > first.time_s
    assert first.cores == len(psutil.Process().cpu_affinity())
    assert first.machine_cores == psutil.cpu_count()
    assert first.jiffies is None or first.jiffies <= (second.jiffies or 0)
    assert first.involuntary_switches is not None
    assert second.involuntary_switches is not None
    assert 0 <= first.involuntary_switches <= second.involuntary_switches
