"""Outputs that are kept and given again, in a generator or in the inputs that it changes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from cheats import HONEST_MS

from kdbench.costs.job import Figure
from kdbench.costs.run import Outcome
from kdbench.record import Cost

BATCH = 8
Costs = Callable[..., dict[str, Cost]]
Timed = Callable[[str, Figure], Cost]


@pytest.fixture(scope="module")
def timed(measure_here: Callable[..., Outcome]) -> Timed:
    """The one cost of a figure of a generator; each measured once."""

    @cache
    def measure(name: str, figure: Figure) -> Cost:
        batch = BATCH if figure == "throughput" else 1
        (cost,) = measure_here(name, figure, batch=batch).costs
        assert cost.value is not None
        return cost

    return measure


def test_honest_calls_are_not_taken_for_replays(timed: Timed) -> None:
    asked: Figure
    for asked in ("latency", "ratio", "throughput"):
        assert "replayed" not in timed("Honest", asked).marks
    assert timed("Honest", "latency").value >= HONEST_MS
    assert timed("Honest", "throughput").value <= BATCH / HONEST_MS * 1e3
    assert timed("Honest", "ratio").value == pytest.approx(1, rel=0.2)


def test_a_kept_output_marks_the_latency(timed: Timed) -> None:
    cost = timed("Replayer", "latency")
    assert cost.value < HONEST_MS / 2
    assert "replayed" in cost.marks


def test_outputs_of_an_earlier_process_are_of_other_inputs(costs: Costs, tmp_path: Path) -> None:
    for _ in range(2):  # replays within a process are marked, and those across do not happen
        found = costs("Librarian", fresh=True, folder=str(tmp_path))["latency_ms"]
        assert found.value is not None
        assert "replayed" in found.marks


def test_a_kept_output_marks_the_ratio(timed: Timed) -> None:
    cost = timed("Replayer", "ratio")
    assert cost.value > 2
    assert "replayed" in cost.marks


def test_a_kept_output_marks_the_throughput(timed: Timed) -> None:
    cost = timed("Replayer", "throughput")
    assert cost.value > 2 * BATCH / HONEST_MS * 1e3
    assert "replayed" in cost.marks


@pytest.mark.parametrize("asked", ["latency", "ratio"])
def test_a_call_s_inputs_are_a_copy_that_does_not_come_again(timed: Timed, asked: Figure) -> None:
    cost = timed("Mutator", asked)
    assert "replayed" not in cost.marks
    if asked == "latency":
        assert cost.value >= HONEST_MS
    else:
        assert cost.value == pytest.approx(1, rel=0.2)


def test_what_is_written_over_inputs_does_not_raise_the_throughput_unmarked(
    timed: Timed,
) -> None:
    cost = timed("Mutator", "throughput")
    honest = cost.value <= BATCH / HONEST_MS * 1e3
    assert honest or "replayed" in cost.marks
