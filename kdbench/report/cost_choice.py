"""Which of a task's cost figures may stand in one column, and a row's figure among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kdbench.record import Cost, Record
from kdbench.report.rows import Row
from kdbench.statistics import Estimated, mean_interval

_BOUNDARIES = ("e2e", "pipe", "core", None)
"""From what a user waits for to what the network alone takes; the first one measured is shown."""


@dataclass(frozen=True)
class Marked(Estimated):
    """A cost with the marks that its reason begins with."""

    marks: tuple[str, ...] = ()


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

    def asks(self, cost: Cost) -> bool:
        """Whether a cost is the one that was wanted, under whatever conditions."""
        own = (cost.metric, cost.batch, cost.boundary)
        return own == (self.metric, self.batch, self.boundary)


def choose_cost(
    records: Sequence[Record],
    metric: str,
    *,
    batch: int | None = None,
    boundary: str | None = None,
) -> CostChoice | None:
    """The conditions that most records share, of the widest boundary that was measured.

    Of several batches the largest that as many records share as any.

    Args:
        records: of one task.
        metric: name of the cost.
        batch: only costs at this batch size; None takes any.
        boundary: only costs at this boundary; None takes any.
    """
    counts = Counter(
        CostChoice(c.metric, c.batch, c.boundary, c.config_key)
        for record in records
        for c in record.costs
        if c.metric == metric
        and c.value is not None
        and batch in (None, c.batch)
        and boundary in (None, c.boundary)
    )
    if not counts:
        return None

    def preference(choice: CostChoice) -> tuple[int, int, int, str]:
        known = choice.boundary in _BOUNDARIES
        place = _BOUNDARIES.index(choice.boundary) if known else len(_BOUNDARIES)
        return place, -counts[choice], -(choice.batch or 0), choice.config_key

    return min(counts, key=preference)


def records_as_chosen(records: Iterable[Record], choice: CostChoice) -> list[Record]:
    """The records with a cost that was measured as chosen, so that their others are alike too."""
    return [
        record
        for record in records
        if any(choice.fits(cost) and cost.value is not None for cost in record.costs)
    ]


def cost_by_seed(row: Row, choice: CostChoice) -> dict[int, Cost]:
    """The costs of a row that were measured as chosen, by seed; those without a value are none."""
    return {
        record.identity.train_seed: cost
        for record in row.finished
        for cost in record.costs
        if choice.fits(cost) and cost.value is not None
    }


def cost_values(row: Row, choice: CostChoice) -> dict[int, float]:
    """The values of a row's costs that were measured as chosen, by seed."""
    costs = cost_by_seed(row, choice)
    return {seed: cost.value for seed, cost in costs.items() if cost.value is not None}


def estimate_cost(row: Row, choice: CostChoice) -> Marked:
    """Mean over seeds with its t interval; a single figure keeps its own interval."""
    costs = list(cost_by_seed(row, choice).values())
    if not costs:
        return Marked(None, reason=why_missing(row, choice))
    mean = mean_interval(list(cost_values(row, choice).values()))
    interval = costs[0].interval if len(costs) == 1 else None
    low, high = (interval.low, interval.high) if interval else (mean.low, mean.high)
    return with_marks(Estimated(mean.value, low, high, mean.n), marks_of(costs))


def marks_of(costs: Iterable[Cost]) -> tuple[str, ...]:
    """The distinct marks of costs, sorted."""
    return tuple(sorted({mark for cost in costs for mark in cost.marks}))


def with_marks(estimate: Estimated, marks: tuple[str, ...]) -> Marked:
    """The estimate, its reason after its marks."""
    reason = "; ".join(filter(None, (*marks, estimate.reason))) or None
    return Marked(estimate.value, estimate.low, estimate.high, estimate.n, reason, marks)


def why_missing(row: Row, choice: CostChoice) -> str:
    """Why a row has no cost that was measured as chosen."""
    asked = [cost for r in row.finished for cost in r.costs if choice.asks(cost)]
    reasons = dict.fromkeys(c.reason for c in asked if c.value is None and c.reason)
    if reasons:
        return "; ".join(reasons)
    others = [c for r in row.finished for c in r.costs if c.metric == choice.metric]
    if any(cost.value is not None for cost in others):
        return "measured under other conditions"
    return "; ".join(dict.fromkeys(c.reason for c in others if c.reason)) or "not measured"
