"""Clocks that are replaced, and calls that are made hard to time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cheats import HONEST_MS

from kdbench.costs.run import Outcome

Figure = Callable[..., Outcome]


def test_python_s_clocks_can_be_replaced_without_effect(figure: Figure) -> None:
    (cost,) = figure("ClockStopper").costs
    assert cost.value is not None
    assert HONEST_MS <= cost.value < 3 * HONEST_MS


@pytest.mark.parametrize("asked", ["latency", "ratio", "throughput"])
def test_the_harness_s_own_clock_is_held_against_its_parent_s(figure: Figure, asked: str) -> None:
    outcome = figure("ClockSlower", figure=asked)
    assert outcome.status == "failed"
    assert (outcome.reason or "").startswith("clock_disagrees")
    assert outcome.costs == []


@pytest.mark.xfail(
    strict=True,
    reason="Known limit: a generator runs in the process that times it, and its parent checks "
    "how long all of the timing took, not every call.",
)
def test_a_forged_time_of_a_call_is_found(figure: Figure) -> None:
    outcome = figure("Forger")
    assert outcome.status == "failed" or outcome.costs[0].value >= HONEST_MS  # type: ignore[operator]


def test_uneven_sleep_is_marked_and_gains_nothing(measure_here: Figure) -> None:
    (cost,) = measure_here("Uneven", "latency").costs
    assert cost.value is not None
    assert cost.value >= HONEST_MS
    assert "unstable" in cost.marks
