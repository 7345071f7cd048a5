"""What is said below a table of a cost column: conditions, machines, rounds and intervals."""

from __future__ import annotations

from collections.abc import Sequence

from kdbench.record import Cost, Record
from kdbench.report.cost_choice import CostChoice, cost_by_seed, records_as_chosen
from kdbench.report.rows import Row

_INTERVALS = {
    "order-statistic": "95 % interval of the median of one process's rounds",
    "range-of-processes": "interval: range over equal processes",
    "block-bootstrap": "95 % interval: bootstrap over blocks of neighbouring pairs",
}
_ROUNDS = {"latency_ms": "rounds", "speedup": "pairs of calls"}


def cost_note(rows: Sequence[Row], choice: CostChoice, title: str, *words: str) -> str:
    """One sentence on a column: `words`, then under which conditions its figures hold."""
    boundary = f"boundary {choice.boundary}, " if choice.boundary else ""
    conditions = f"{boundary}conditions {choice.config_key[:12]}{size_of(choice)}"
    costs = [cost for row in rows for cost in cost_by_seed(row, choice).values()]
    parts = [
        *words,
        conditions,
        *_machines(rows, choice),
        *_rounds(costs, _ROUNDS.get(choice.metric)),
        *_intervals(costs),
    ]
    return f"{title}: {'; '.join(parts)}."


def size_of(choice: CostChoice) -> str:
    """The batch size, after a comma; empty where there is none."""
    return "" if choice.batch is None else f", batch {choice.batch:,}"


def _machines(rows: Sequence[Row], choice: CostChoice) -> list[str]:
    """Processor, device and threads of every record whose cost is shown."""
    records = [r for row in rows for r in records_as_chosen(row.finished, choice)]
    return sorted({machine for record in records if (machine := _describe_machine(record))})


def _describe_machine(record: Record) -> str:
    environment = record.environment
    threads = environment.get("torch_threads")
    return ", ".join(
        filter(
            None,
            (
                str(environment.get("cpu") or ""),
                f"device {environment['device']}" if environment.get("device") else "",
                f"{threads} thread{'' if threads == 1 else 's'}" if threads else "",
            ),
        )
    )


def _rounds(costs: Sequence[Cost], what: str | None) -> list[str]:
    counts = sorted({cost.n for cost in costs if cost.n is not None})
    if not counts or what is None:
        return []
    span = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    return [f"n = {span} {what} a row"]


def _intervals(costs: Sequence[Cost]) -> list[str]:
    methods = sorted({cost.interval.method for cost in costs if cost.interval})
    return [_INTERVALS.get(method, f"interval: {method}") for method in methods]
