"""The fresh process: its result, its failures, and a parent that outlives them all."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError

from kdbench.costs.run import explain, measure_costs

SCRIPT = str(Path(__file__).with_name("probing.py"))


def job(name: str = "Convolver", **fields: Any) -> dict[str, Any]:
    """A job for the script beside this file."""
    args = {"calls": 1, "nfe": 1} if name == "Convolver" else {}
    return {"build": {"name": name, "args": args}, "machine": "h:1", **fields}


def measure(fault: str | None = None, *, timeout_s: float = 60, **fields: Any) -> Any:
    """Costs of the script, which goes wrong as asked."""
    command = [sys.executable, SCRIPT, *([fault] if fault else [])]
    return measure_costs(job(**fields), timeout_s=timeout_s, command=command)


def test_costs_come_back_from_a_fresh_process() -> None:
    against = {"name": "Convolver", "args": {"calls": 8, "nfe": 8}}
    costs, status, reason = measure(against=against, against_label="teacher/full", batches=[1])
    assert (status, reason) == ("ok", None)
    assert {cost.metric for cost in costs} == {
        "parameters", "macs", "nfe", "peak_memory_mib", "latency_ms", "throughput_img_s", "speedup",
    }  # fmt: skip
    assert {cost.against for cost in costs} == {None, "teacher/full"}


def test_memory_that_runs_out_while_building_is_oom() -> None:
    costs, status, reason = measure(name="Unbuildable")
    assert (costs, status) == ([], "oom")
    assert "out of memory" in reason


def test_timeout_kills_the_whole_group_and_the_parent_waits_idly(tmp_path: Path) -> None:
    note = tmp_path / "child"
    cpu, wall = time.process_time(), time.perf_counter()
    command = [sys.executable, SCRIPT, "hang"]
    costs, status, reason = measure_costs(
        {"build": {"note": str(note)}, "machine": "h:1"}, timeout_s=3, command=command
    )
    assert (costs, status, reason) == ([], "timeout", "no costs after 3 s")
    assert time.perf_counter() - wall < 10
    assert time.process_time() - cpu < 0.3
    child = int(note.read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raise", "KeyError: 'no such weight'"),
        ("kill", "the process was ended by SIGKILL"),
        ("damage", "the process left a damaged result"),
        ("nothing", "the process ended without a result"),
    ],
)
def test_a_crash_is_a_failure_with_its_reason(fault: str, reason: str) -> None:
    assert measure(fault) == ([], "failed", reason)


def test_a_kill_for_want_of_memory_is_told_from_another() -> None:
    assert explain(-9, "", oom_killed=True)[0] == "oom"
    assert explain(-9, "", oom_killed=False)[0] == "failed"
    assert explain(-15, "", oom_killed=True)[0] == "failed"


def test_the_reason_is_the_exception_whatever_is_said_before_and_after() -> None:
    errors = (
        'warning: old driver\nTraceback (most recent call last):\n  File "a.py", line 1\n'
        "    load()\nRuntimeError: Error in loading state_dict:\n\tMissing key\n\nleaked 4 types\n"
    )
    assert explain(1, errors, oom_killed=False)[1] == "RuntimeError: Error in loading state_dict:"
    assert explain(1, "No module named x\n", oom_killed=False)[1] == "No module named x"
    assert explain(2, "", oom_killed=False)[1] == "the process ended with code 2"
    assert len(explain(1, "x" * 10_000, oom_killed=False)[1]) == 300


def test_a_misspelt_job_is_refused_before_anything_runs() -> None:
    with pytest.raises(ValidationError, match="batch"):
        measure_costs(job(batch=[1]), timeout_s=1)


def test_the_parent_does_not_import_torch() -> None:
    code = "import sys, kdbench.costs.run; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
