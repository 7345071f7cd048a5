"""The fresh process: its result, its failures, and a parent that outlives them all."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from pydantic import ValidationError

from kdbench.costs.run import Outcome, explain, measure_figure

SCRIPT = str(Path(__file__).with_name("probing.py"))
EFFORT = {"warmup_max_s": 0.1, "measure_min_s": 0.1, "measure_max_s": 0.2}


def measure(
    fault: str | None = None, *, timeout_s: float = 60, name: str = "Convolver", **fields: Any
) -> Outcome:
    """A figure of the script, which goes wrong as asked."""
    args = {"calls": 1, "nfe": 1} if name == "Convolver" else {}
    job = {"figure": "latency", "build": {"name": name, "args": args}, "machine": "h:1"}
    command = [sys.executable, SCRIPT, *([fault] if fault else [])]
    return measure_figure({**job, "effort": EFFORT, **fields}, timeout_s=timeout_s, command=command)


@cache
def ratio() -> Outcome:
    """One undisturbed process."""
    against = {"name": "Convolver", "args": {"calls": 8, "nfe": 8}}
    return measure(figure="ratio", against=against, against_label="teacher/full", keep=(0,))


def test_a_figure_comes_back_from_a_fresh_process() -> None:
    outcome = ratio()
    assert (outcome.status, outcome.reason) == ("ok", None)
    (cost,) = outcome.costs
    assert (cost.metric, cost.against) == ("speedup", "teacher/full")
    assert cost.value is not None
    assert cost.value == pytest.approx(np.median(outcome.series["ratio"]))
    (((replicate, number), image),) = outcome.images.items()
    assert replicate == 0
    assert 4 <= number < 20
    assert (image.shape, image.dtype) == ((1, 8, 8), np.uint8)


def test_what_else_the_machine_did_is_beside_the_figure() -> None:
    (cost,) = ratio().costs
    assert {"host_cores", "host_runnable"} <= set(cost.details)


def test_memory_that_runs_out_while_building_is_oom() -> None:
    outcome = measure(name="Unbuildable")
    assert (outcome.status, outcome.reason, outcome.costs) == ("oom", "out of memory", [])


def test_a_child_that_is_left_behind_does_not_keep_the_figure() -> None:
    begun = time.perf_counter()
    assert measure("leave", timeout_s=25).status == "ok"
    assert time.perf_counter() - begun < 25


def test_a_process_ends_with_its_parent(tmp_path: Path) -> None:
    note = tmp_path / "child"
    code = (
        "import sys; from kdbench.costs.run import measure_figure; "
        f"measure_figure({{'figure': 'latency', 'build': {{'note': {str(note)!r}}}, "
        f"'machine': 'h:1'}}, timeout_s=60, command=[sys.executable, {SCRIPT!r}, 'outlive'])"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        while not note.exists():
            time.sleep(0.05)
        parent.kill()
    probe = int(note.read_text())
    deadline = time.perf_counter() + 10
    while psutil.pid_exists(probe) and psutil.Process(probe).status() != "zombie":
        assert time.perf_counter() < deadline
        time.sleep(0.05)


def test_timeout_kills_the_whole_group_and_the_parent_waits_idly(tmp_path: Path) -> None:
    note = tmp_path / "child"
    cpu, wall = time.process_time(), time.perf_counter()
    outcome = measure("hang", timeout_s=3, build={"note": str(note)})
    assert (outcome.status, outcome.reason) == ("timeout", "no figure after 3 s")
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
    outcome = measure(fault)
    assert (outcome.status, outcome.reason) == ("failed", reason)
    assert outcome.costs == []


def test_a_process_that_says_it_timed_longer_than_it_did_gives_no_figure() -> None:
    outcome = measure("claim")
    assert outcome.status == "failed"
    assert (outcome.reason or "").startswith("clock_disagrees: the process says")


def test_nothing_that_a_process_leaves_is_unpickled(tmp_path: Path) -> None:
    note = tmp_path / "unpickled"
    outcome = measure("claim", build={"note": str(note)})
    assert (outcome.status, outcome.reason) == ("failed", "the process left a damaged result")
    assert not note.exists()


def test_threads_are_set_for_torch_and_the_libraries_below(tmp_path: Path) -> None:
    note = tmp_path / "threads"
    build = {"name": "Writer", "args": {"note": str(note)}}
    assert measure(figure="memory", build=build, threads=3).status == "ok"
    assert json.loads(note.read_text()) == {
        "torch": 3, "OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "3",
    }  # fmt: skip


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
    with pytest.raises(ValidationError, match="batches"):
        measure(batches=[1])


def test_the_parent_does_not_import_torch() -> None:
    code = "import sys, kdbench.costs.session; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
