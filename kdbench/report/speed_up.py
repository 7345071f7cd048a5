"""How many times faster one row is than another, and when that is not said at all."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from kdbench.record import Cost
from kdbench.report.cost_choice import (
    CostChoice,
    Marked,
    choose_cost,
    cost_by_seed,
    cost_values,
    marks_of,
    with_marks,
)
from kdbench.report.rows import Row
from kdbench.statistics import Estimated, log_mean_interval, ratio_interval

FORBIDDING = ("output_differs", "implausible", "mismatch", "overthreaded", "replayed")
"""Marks that say that something else was timed than what is compared."""
_TIMES = ("latency_ms", "throughput_img_s")
DISAGREES = 0.10
"""By how much the ratio of latencies timed apart may leave the interval of the ratio in turns."""


def forbidding_marks(costs: Sequence[Cost]) -> tuple[str, ...]:
    """Those marks of costs after which nothing is said of speed."""
    return tuple(mark for mark in marks_of(costs) if mark.partition(":")[0] in FORBIDDING)


def times_of(row: Row) -> list[Cost]:
    """All latencies and throughputs of a row."""
    return [cost for r in row.finished for cost in r.costs if cost.metric in _TIMES]


def speed_up(fast: Row, slow: Row) -> Marked:
    """How many times faster `fast` is than `slow` at batch 1.

    The interleaved `speedup` that was measured against `slow`, where there is one; otherwise the
    ratio of the two latencies, paired by seed, under equal conditions.
    """
    measured = [
        cost
        for record in fast.finished
        for cost in record.costs
        if cost.metric == "speedup" and (cost.value or 0) > 0 and slow.is_named(cost.against or "")
    ]
    return interleaved(measured, fast, slow) if measured else _latency_ratio(fast, slow)


def interleaved(costs: Sequence[Cost], fast: Row, slow: Row | None) -> Marked:
    """The ratio that was timed in turns, checked against the two latencies that were timed apart.

    Args:
        costs: `speedup` of `fast`, at least one, all above 0.
        fast: the student.
        slow: the row that the costs are against; None where it is not among the records.
    """
    refused = _refusal(fast, slow, costs)
    if refused:
        return Marked(None, reason=refused)
    values = [cost.value for cost in costs if cost.value is not None]
    found = log_mean_interval(values)
    if len(values) == 1:
        interval = costs[0].interval
        low, high = (interval.low, interval.high) if interval else (None, None)
        found = Estimated(values[0], low, high, 1)
    apart = None if slow is None else _apart(fast, slow, costs[0].config_key)
    disagrees = apart is not None and _is_outside(apart, found)
    return with_marks(found, (*marks_of(costs), *(["ratio_disagrees"] if disagrees else [])))


def _refusal(fast: Row, slow: Row | None, costs: Sequence[Cost] = ()) -> str | None:
    """Why nothing is said of how fast one row is beside another."""
    timed = [(fast, [*times_of(fast), *costs]), *([(slow, times_of(slow))] if slow else [])]
    told = [f"{row.label}: {', '.join(m)}" for row, own in timed if (m := forbidding_marks(own))]
    return f"no speed-up is claimed: {'; '.join(told)}" if told else None


def _apart(fast: Row, slow: Row, config_key: str) -> float | None:
    """The ratio of end-to-end latencies timed apart under one set of conditions."""
    choice = CostChoice("latency_ms", 1, "e2e", config_key)
    ours, theirs = cost_values(fast, choice), cost_values(slow, choice)
    return fmean(theirs.values()) / fmean(ours.values()) if ours and theirs else None


def _is_outside(ratio: float, found: Estimated) -> bool:
    low = found.value if found.low is None else found.low
    high = found.value if found.high is None else found.high
    assert low is not None
    assert high is not None
    return not low * (1 - DISAGREES) <= ratio <= high * (1 + DISAGREES)


def _latency_ratio(fast: Row, slow: Row) -> Marked:
    choice = choose_cost([*fast.finished, *slow.finished], "latency_ms", batch=1)
    if choice is None:
        return Marked(None, reason="latency not measured")
    ours = {seed: ms for seed, ms in cost_values(fast, choice).items() if ms > 0}
    theirs = {seed: ms for seed, ms in cost_values(slow, choice).items() if ms > 0}
    if not ours or not theirs:
        return Marked(None, reason="latencies were not measured under equal conditions")
    refused = _refusal(fast, slow)
    if refused:
        return Marked(None, reason=refused)
    costs = [cost for row in (fast, slow) for cost in cost_by_seed(row, choice).values()]
    if len(ours.keys() & theirs.keys()) > 1:
        return with_marks(ratio_interval(theirs, ours), marks_of(costs))
    ratio = fmean(theirs.values()) / fmean(ours.values())
    apart = Estimated(ratio, n=1, reason="from separate timings, without an interval")
    return with_marks(apart, marks_of(costs))
