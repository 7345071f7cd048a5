"""One figure of several equal processes."""

from __future__ import annotations

import warnings

import pytest

from kdbench.costs.merge import is_noisy, merge_costs, merge_ratios
from kdbench.record import Cost, Interval


def cost(value: float | None, *marks: str, reason: str | None = None) -> Cost:
    interval = Interval(low=0, high=9, source="timing", method="order-statistic")
    return Cost(
        metric="latency_ms", unit="ms", value=value, reason=reason, stat="median", n=30,
        config_key="k", marks=list(marks), interval=interval, details={"own": value},
    )  # fmt: skip


def test_one_process_speaks_for_itself() -> None:
    alone = cost(3.0, "noisy")
    assert merge_costs([alone]) is alone
    assert merge_ratios([alone], [[3.0] * 20]) is alone


def test_the_median_of_processes_has_their_range() -> None:
    merged = merge_costs([cost(3.0), cost(2.98), cost(3.1)])
    assert (merged.value, merged.n) == (3.0, 90)
    assert merged.interval is not None
    assert (merged.interval.low, merged.interval.high) == (2.98, 3.1)
    assert merged.interval.method == "range-of-processes"
    assert merged.details == {"own": 3.0, "processes": 3, "process_low": 2.98, "process_high": 3.1}
    assert merged.marks == []
    with warnings.catch_warnings(action="error"):
        assert Cost.model_validate_json(merged.model_dump_json()) == merged


def test_two_processes_have_no_range_and_their_middle() -> None:
    merged = merge_costs([cost(3.0), cost(3.1)])
    assert merged.value == pytest.approx(3.05)
    assert merged.interval is None
    assert merged.details["own"] == 3.0


def test_marks_of_any_process_stay_and_none_comes_twice() -> None:
    merged = merge_costs([cost(3.0, "noisy"), cost(3.1, "noisy", "drift"), cost(4.0)])
    assert merged.marks == ["noisy", "drift", "proc_spread"]


def test_what_failed_once_is_no_figure() -> None:
    void = cost(None, reason="out of memory")
    assert merge_costs([cost(3.0), void, cost(3.1)]) is void
    assert merge_ratios([cost(3.0), void], [[3.0] * 20] * 2) is void


def test_ratios_are_drawn_again_over_processes_and_pairs() -> None:
    merged = merge_ratios([cost(2.0), cost(3.0), cost(3.0)], [[2.0] * 20, [3.0] * 20, [3.0] * 20])
    assert merged.value == 3.0
    assert merged.interval is not None
    assert (merged.interval.method, merged.interval.low) == ("block-bootstrap", 2.0)
    assert merged.interval.high == 3.0


@pytest.mark.parametrize(
    ("mark", "noisy"),
    [
        ("preempted", True),
        ("host_busy", True),
        ("output_differs", False),
        ("mismatch:dtype", False),
    ],
)
def test_only_marks_that_a_repetition_can_be_free_of_are_noise(mark: str, noisy: bool) -> None:
    assert is_noisy(cost(3.0, "output_differs", mark)) == noisy
