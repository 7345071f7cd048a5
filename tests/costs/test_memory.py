"""Peak memory of calls that allocate a known amount."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest
import torch
from cost_subjects import Greedy, Recorder, Squares, subject

from kdbench.costs import memory
from kdbench.costs.boundary import inputs_for
from kdbench.costs.run import measure_figure

INPUTS = inputs_for(Squares(), 1, replicate=0).take(slice(4))
PROBING = [sys.executable, str(Path(__file__).with_name("probing.py"))]

linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")


@linux
def test_a_transient_allocation_is_the_increment() -> None:
    peak = memory.host_peak(lambda: torch.ones(64 * 2**18) is None)
    assert peak.peak_mib - peak.baseline_mib == pytest.approx(64, abs=2)


@linux
def test_an_earlier_peak_is_forgotten() -> None:
    torch.ones(128 * 2**18)
    peak = memory.host_peak(lambda: None)
    assert peak.peak_mib - peak.baseline_mib < 2


@linux
def test_cost_tells_baseline_and_increment_apart() -> None:
    cost = memory.peak_memory(subject(Greedy(32)), INPUTS, batch=4, config_key="k")
    baseline, increment = cost.details["baseline_mib"], cost.details["increment_mib"]
    assert isinstance(baseline, float)
    assert increment == pytest.approx(32, abs=2)
    assert cost.value == pytest.approx(baseline + 32, abs=2)
    assert (cost.batch, cost.details["kind"]) == (4, "resident")


@linux
def test_a_child_that_fills_40_mib_says_so_although_its_parent_fills_600() -> None:
    ballast = torch.ones(600 * 2**18)
    job = {"figure": "memory", "build": {"name": "Greedy", "args": {"mib": 40}}, "machine": "h:1"}
    outcome = measure_figure(job, timeout_s=60, command=PROBING)
    held_mib = psutil.Process().memory_info().rss / 2**20
    del ballast
    (cost,) = outcome.costs
    assert cost.details["increment_mib"] == pytest.approx(40, abs=5)
    assert cost.value is not None
    assert cost.value < held_mib - 400
    assert cost.details["baseline_mib"] == pytest.approx(cost.value - 40, abs=5)


def test_without_proc_there_is_a_reason_and_no_value(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "_PROC", tmp_path / "absent")
    cost = memory.peak_memory(subject(Recorder()), INPUTS, batch=4, config_key="k")
    assert cost.value is None
    assert cost.reason is not None
    assert "cannot be read" in cost.reason


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("shapes differ"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_memory_that_ran_out_is_told_from_other_errors(error: Exception, is_memory: bool) -> None:
    assert memory.is_out_of_memory(error) == is_memory


def test_the_allocator_s_own_error_is_one_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert memory.is_out_of_memory(caught.value)
