"""Speed-ups: timed in turns, checked against times apart, and not claimed of what was not timed."""

from __future__ import annotations

from typing import Any

import pytest
from report_records import Plan, make_cost, make_record

from kdbench.record import Cost, Interval
from kdbench.report.cost_choice import Marked
from kdbench.report.rows import Row, group_rows
from kdbench.report.speed_up import speed_up


def row(name: str, *costs: Cost) -> Row:
    return group_rows([make_record(Plan(f"{name}@1", "x", "student", 4, 0.5, 0), 0, costs=costs)])[
        0
    ]


def latency(ms: float, **more: Any) -> Cost:
    return make_cost("latency_ms", ms, batch=1, unit="ms", **more)


def ratio(value: float, low: float, high: float, **more: Any) -> Cost:
    interval = Interval(low=low, high=high, source="timing", method="block-bootstrap")
    return make_cost("speedup", value, batch=1, unit="x", against="t/x", interval=interval, **more)


def found(student: tuple[Cost, ...], teacher: tuple[Cost, ...]) -> Marked:
    return speed_up(row("s", *student), row("t", *teacher))


@pytest.mark.parametrize(
    ("apart", "marked"), [(10.0, False), (8.11, False), (12.09, False), (8.09, True), (12.11, True)]
)
def test_times_apart_lie_within_the_interval_of_those_in_turns(apart: float, marked: bool) -> None:
    told = found((latency(1.0), ratio(10.0, 9.0, 11.0)), (latency(apart),))
    assert told.marks == (("ratio_disagrees",) if marked else ())
    assert (told.value, told.low, told.high) == (10.0, 9.0, 11.0)


def test_a_ratio_without_interval_is_checked_against_itself() -> None:
    bare = make_cost("speedup", 10.0, batch=1, unit="x", against="t/x")
    assert found((latency(1.0), bare), (latency(10.9),)).marks == ()
    assert found((latency(1.0), bare), (latency(11.1),)).marks == ("ratio_disagrees",)


def test_times_of_other_conditions_are_no_check() -> None:
    student = (latency(1.0), ratio(10.0, 9.0, 11.0))
    assert found(student, (latency(90.0, config_key="other"),)).marks == ()
    assert found(student, (latency(90.0, boundary="core"),)).marks == ()
    assert found(student, ()).marks == ()


def test_marks_stand_beside_the_ratio() -> None:
    noisy = ratio(10.0, 9.0, 11.0, marks=["noisy"])
    told = found((latency(1.0), noisy), (latency(30.0),))
    assert told.marks == ("noisy", "ratio_disagrees")
    assert told.reason == "noisy; ratio_disagrees"


@pytest.mark.parametrize("mark", ["output_differs", "implausible", "mismatch:dtype"])
def test_nothing_is_claimed_where_something_else_was_timed(mark: str) -> None:
    good, own = ratio(10.0, 9.0, 11.0), latency(1.0)
    images = make_cost("throughput_img_s", 9.0, batch=64, unit="images/s", marks=[mark])
    for student, teacher in (
        ((own, ratio(10.0, 9.0, 11.0, marks=[mark])), (latency(10.0),)),
        ((latency(1.0, marks=[mark]), good), (latency(10.0),)),
        ((own, good, images), (latency(10.0),)),
        ((own, good), (latency(10.0, marks=[mark]),)),
        ((own,), (latency(10.0, marks=[mark]),)),
    ):
        told = found(student, teacher)
        assert told.value is None
        assert (told.reason or "").startswith("no speed-up is claimed: ")
        assert mark in (told.reason or "")


def test_other_marks_and_other_costs_forbid_nothing() -> None:
    memory = make_cost("peak_memory_mib", 1.0, batch=1, unit="MiB", marks=["output_differs"])
    told = found((latency(1.0), ratio(10.0, 9.0, 11.0), memory), (latency(10.0, marks=["gap"]),))
    assert (told.value, told.marks) == (10.0, ())


def test_a_ratio_of_separate_times_has_the_marks_of_both() -> None:
    told = found((latency(2.0, marks=["drift"]),), (latency(30.0, marks=["noisy"]),))
    assert told.value == 15.0
    assert told.marks == ("drift", "noisy")
    assert told.reason == "drift; noisy; from separate timings, without an interval"
