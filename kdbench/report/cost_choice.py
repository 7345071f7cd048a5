"""Which of a task's cost figures may stand in one column, and a row's figure among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from kdbench.record import Cost, Record
from kdbench.report.rows import Row
from kdbench.statistics import Estimated, log_mean_interval, mean_interval, ratio_interval

_BOUNDARIES = ("e2e", "pipe", "core", None)
"""From what a user waits for to what the network alone takes; the first one measured is shown."""


@dataclass(frozen=True)
class CostChoice:
    """One cost metric under one set of conditions."""

    metric: str
    batch: int | None
    boundary: str | None
    config_key: str

    def fits(self, cost: Cost) -> bool:
        """Whether a cost was measured as chosen."""
        own = (cost.metric, cost.batch, cost.boundary, cost.config_key)
        return own == (self.metric, self.batch, self.boundary, self.config_key)


def choose_cost(
    records: Sequence[Record], metric: str, *, batch: int | None = None
) -> CostChoice | None:
    """The conditions that most records share, of the widest boundary that was measured.

    Args:
        records: of one task.
        metric: name of the cost.
        batch: only costs at this batch size; None takes any.
    """
    counts = Counter(
        CostChoice(c.metric, c.batch, c.boundary, c.config_key)
        for record in records
        for c in record.costs
        if c.metric == metric and c.value is not None and batch in (None, c.batch)
    )
    if not counts:
        return None

    def preference(choice: CostChoice) -> tuple[int, int, int, str]:
        known = choice.boundary in _BOUNDARIES
        place = _BOUNDARIES.index(choice.boundary) if known else len(_BOUNDARIES)
        return place, -counts[choice], choice.batch or 0, choice.config_key

    return min(counts, key=preference)


def cost_by_seed(row: Row, choice: CostChoice) -> dict[int, Cost]:
    """The costs of a row that were measured as chosen, by seed."""
    return {
        record.identity.train_seed: cost
        for record in row.finished
        for cost in record.costs
        if choice.fits(cost)
    }


def cost_values(row: Row, choice: CostChoice) -> dict[int, float]:
    """The values of a row's costs that were measured as chosen, by seed."""
    costs = cost_by_seed(row, choice)
    return {seed: cost.value for seed, cost in costs.items() if cost.value is not None}


def estimate_cost(row: Row, choice: CostChoice) -> Estimated:
    """Mean over seeds with its t interval; a single figure keeps its own interval."""
    costs = cost_by_seed(row, choice)
    values = cost_values(row, choice)
    if not values:
        return Estimated(None, reason=_why_missing(row, choice))
    marks = sorted({mark for cost in costs.values() for mark in cost.marks})
    mean = mean_interval(list(values.values()))
    low, high = mean.low, mean.high
    if len(values) == 1:
        interval = next(c.interval for c in costs.values() if c.value is not None)
        low, high = (interval.low, interval.high) if interval else (None, None)
    return Estimated(mean.value, low, high, mean.n, "; ".join(marks) or None)


def _why_missing(row: Row, choice: CostChoice) -> str:
    others = [c for r in row.finished for c in r.costs if c.metric == choice.metric]
    reasons = dict.fromkeys(c.reason for c in others if c.value is None and c.reason)
    if reasons:
        return "; ".join(reasons)
    return "measured under other conditions" if others else "not measured"


def speed_up(fast: Row, slow: Row) -> Estimated:
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
    values = [cost.value for cost in measured if cost.value is not None]
    if not values:
        return _latency_ratio(fast, slow)
    marks = "; ".join(sorted({mark for cost in measured for mark in cost.marks})) or None
    if len(values) == 1 and measured[0].interval:
        interval = measured[0].interval
        return Estimated(values[0], interval.low, interval.high, 1, marks)
    return replace(log_mean_interval(values), reason=marks)


def _latency_ratio(fast: Row, slow: Row) -> Estimated:
    choice = choose_cost([*fast.finished, *slow.finished], "latency_ms", batch=1)
    if choice is None:
        return Estimated(None, reason="latency not measured")
    ours = {seed: ms for seed, ms in cost_values(fast, choice).items() if ms > 0}
    theirs = {seed: ms for seed, ms in cost_values(slow, choice).items() if ms > 0}
    if not ours or not theirs:
        return Estimated(None, reason="latencies were not measured under equal conditions")
    if len(ours.keys() & theirs.keys()) > 1:
        return ratio_interval(theirs, ours)
    ratio = fmean(theirs.values()) / fmean(ours.values())
    return Estimated(ratio, n=1, reason="from separate timings, without an interval")
