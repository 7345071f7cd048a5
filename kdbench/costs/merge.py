"""One figure of several equal processes: within one, intervals understate how far they differ."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from kdbench.costs.blocks import block_bootstrap
from kdbench.costs.marks import NOISE, process_marks
from kdbench.record import Cost, Interval

RANGE_FROM = 3
"""Processes from which their range is an interval."""


def merge_costs(costs: Sequence[Cost]) -> Cost:
    """The median of the values of equal processes, with their range as its interval.

    Of one process its own figure. Details are those of the process in the middle; marks are those
    of any process.

    Args:
        costs: of one metric, boundary, batch and set of conditions; a cost without a value voids
            all, because what failed once is not a figure.
    """
    void = next((cost for cost in costs if cost.value is None), None)
    if void is not None or len(costs) == 1:
        return void or costs[0]
    values = [cost.value for cost in costs if cost.value is not None]
    ordered = sorted(costs, key=lambda cost: cost.value or 0)
    middle = ordered[(len(ordered) - 1) // 2]
    marks = dict.fromkeys([*(m for cost in costs for m in cost.marks), *process_marks(values)])
    low, high = min(values), max(values)
    return middle.model_copy(
        update={
            "value": median(values),
            "stat": "median",
            "interval": Interval(low=low, high=high, source="timing", method="range-of-processes")
            if len(costs) >= RANGE_FROM
            else None,
            "n": sum(cost.n or 0 for cost in costs),
            "marks": list(marks),
            "details": {
                **middle.details,
                "processes": float(len(costs)),
                "process_low": low,
                "process_high": high,
            },
        }
    )


def merge_ratios(costs: Sequence[Cost], ratios: Sequence[Sequence[float]]) -> Cost:
    """The median over processes, with a bootstrap over processes and blocks of pairs in them.

    Args:
        costs: of equal processes.
        ratios: pair by pair, of each process.
    """
    merged = merge_costs(costs)
    if merged.value is None or len(costs) == 1:
        return merged
    return merged.model_copy(update={"interval": block_bootstrap(ratios)})


def is_noisy(cost: Cost) -> bool:
    """Whether a figure has a mark that another measurement can be free of."""
    return any(mark in NOISE for mark in cost.marks)
