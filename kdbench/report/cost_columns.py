"""The cost columns of a leaderboard, and the conditions behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from kdbench.record import Cost, Record
from kdbench.report.columns import Measured
from kdbench.report.cost_choice import CostChoice, choose_cost, cost_by_seed, estimate_cost
from kdbench.report.rows import Row
from kdbench.report.table import Cell, Column, estimate_cell, number_cell

_COSTS = (("latency_ms", 1), ("throughput_img_s", 64), ("peak_memory_mib", None))
_TITLES = {
    "latency_ms": "latency (ms)",
    "throughput_img_s": "throughput (img/s)",
    "peak_memory_mib": "peak memory (MiB)",
}
_SEED = " seed "
"""What stands between the row and the seed in `measured_on`."""


def cost_columns(rows: Sequence[Row]) -> list[Measured]:
    """One column for each cost that some row has, memory with its increment beside it."""
    columns: list[Measured] = []
    for metric, batch in _COSTS:
        choice = choose_cost([r for row in rows for r in row.finished], metric, batch=batch)
        if choice is None:
            continue
        columns.append(_cost_column(rows, choice))
        if any(_increments(row, choice) for row in rows):
            columns.append(_increment_column(choice))
    return columns


def _cost_column(rows: Sequence[Row], choice: CostChoice) -> Measured:
    def cell(row: Row) -> Cell:
        return _tell_source(estimate_cell(estimate_cost(row, choice)), row, choice)

    title = _TITLES[choice.metric]
    boundary = f"boundary {choice.boundary}, " if choice.boundary else ""
    conditions = f"{boundary}conditions {choice.config_key[:12]}{_size(choice)}"
    return Measured(
        Column(choice.metric, title + _size(choice), "estimate"),
        cell,
        f"{title}: {'; '.join([conditions, *_machines(rows, choice), *_rounds(rows, choice)])}.",
    )


def _increment_column(choice: CostChoice) -> Measured:
    def cell(row: Row) -> Cell:
        increments = _increments(row, choice)
        reason = estimate_cost(row, choice).reason or "not recorded"
        shown = number_cell(fmean(increments) if increments else None, reason=reason)
        return _tell_source(shown, row, choice)

    return Measured(
        Column(
            "memory_increment_mib", f"increment over the runtime (MiB){_size(choice)}", "number"
        ),
        cell,
        "Increment over the runtime: peak memory less what was held before the call (weights, "
        "libraries, inputs).",
    )


def _size(choice: CostChoice) -> str:
    return "" if choice.batch is None else f", batch {choice.batch}"


def _increments(row: Row, choice: CostChoice) -> list[float]:
    found = (cost.details.get("increment_mib") for cost in _measured(row, choice))
    return [increment for increment in found if isinstance(increment, int | float)]


def _measured(row: Row, choice: CostChoice) -> list[Cost]:
    return [cost for cost in cost_by_seed(row, choice).values() if cost.value is not None]


def _tell_source(cell: Cell, row: Row, choice: CostChoice) -> Cell:
    """The cell with a note where its figure was measured on another row's program."""
    sources = {str(cost.details.get("measured_on") or "") for cost in _measured(row, choice)}
    foreign = sorted(s for s in sources if s and not row.is_named(s.rpartition(_SEED)[0]))
    notes = [cell.note, *(f"measured on {source}: the same program" for source in foreign)]
    return replace(cell, note="; ".join(filter(None, notes)) or None)


def _machines(rows: Sequence[Row], choice: CostChoice) -> list[str]:
    """Processor, device and threads of every record whose cost is shown."""
    records = [
        record
        for row in rows
        for record in row.finished
        if any(choice.fits(cost) and cost.value is not None for cost in record.costs)
    ]
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


def _rounds(rows: Sequence[Row], choice: CostChoice) -> list[str]:
    if choice.metric != "latency_ms":
        return []
    counts = sorted({c.n for row in rows for c in _measured(row, choice) if c.n is not None})
    if not counts:
        return []
    span = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    return [f"n = {span} rounds a row"]
