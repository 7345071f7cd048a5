"""A speed-up on a machine that others use: interleaved, and from two separate processes.

Two busy loops a core run meanwhile. `KDBENCH_REPEATS` says how often each is measured.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kdbench import registry
from kdbench.costs.marks import NOISE
from kdbench.costs.profiles import BRIEF
from kdbench.costs.run import measure_figure
from kdbench.record import Cost
from kdbench.stages import build_spec
from kdbench.weights import find_weights

REPEATS = int(os.environ.get("KDBENCH_REPEATS", "10"))
STUDENT, TEACHER = "euler-1", "multistep-4"
BUSY = "while True: pass"
INTERLEAVED_CV = 0.10


@contextmanager
def load() -> Iterator[None]:
    """Two busy loops a core, each in a session of its own.

    Linux shares processors between sessions: loops of one session would take one share together,
    and leave a core to the process that is timed.
    """
    loops = [
        subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True)
        for _ in range(2 * (os.cpu_count() or 1))
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def build(arm: str) -> dict[str, Any]:
    return build_spec(registry.pairs.load("digits-edm"), arm, find_weights("digits-edm-0"), "cpu")


def measure(figure: str, arm: str, **fields: Any) -> Cost:
    """One figure of one fresh process."""
    job = {
        "figure": figure,
        "build": build(arm),
        "effort": BRIEF.effort.model_dump(),
        "machine": "h:1",
        **fields,
    }
    outcome = measure_figure(job, timeout_s=BRIEF.timeout_s)
    assert outcome.status == "ok", outcome.reason
    (cost,) = outcome.costs
    return cost


def under_load() -> dict[str, list[Cost]]:
    """Each in turn, so that all meet the machine in the same states."""
    found: dict[str, list[Cost]] = {"ratio": [], STUDENT: [], TEACHER: []}
    with load():
        for _ in range(REPEATS):
            found["ratio"].append(measure("ratio", STUDENT, against=build(TEACHER)))
            for arm in (STUDENT, TEACHER):
                found[arm].append(measure("latency", arm))
    return found


def summary(values: list[float]) -> dict[str, float]:
    mean = statistics.mean(values)
    return {
        "median": statistics.median(values),
        "cv": statistics.stdev(values) / mean,
        "low": min(values),
        "high": max(values),
    }


def test_interleaved_ratio_holds_where_times_do_not(benchmark: Any) -> None:
    found = benchmark.pedantic(under_load, rounds=1, iterations=1)
    values = {name: [cost.value for cost in costs] for name, costs in found.items()}
    separate = [t / s for s, t in zip(values[STUDENT], values[TEACHER], strict=True)]
    marks = {name: sorted({m for c in costs for m in c.marks}) for name, costs in found.items()}
    benchmark.extra_info["under_load"] = {
        "repeats": REPEATS,
        "cores": os.cpu_count(),
        "student": STUDENT,
        "teacher": TEACHER,
        "marks": marks,
        "interleaved": summary(values["ratio"]),
        "separate": summary(separate),
        "student_ms": summary(values[STUDENT]),
        "teacher_ms": summary(values[TEACHER]),
    }
    assert summary(values["ratio"])["cv"] <= INTERLEAVED_CV
    for cost in (*found[STUDENT], *found[TEACHER]):
        assert NOISE & set(cost.marks), f"{cost.value} ms without a mark"
