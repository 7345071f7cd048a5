"""The columns of speed: latency, throughput, speed-up, cold start."""

from __future__ import annotations

from kdbench.report.columns import Measured
from kdbench.report.cost_cells import Scope, cost_cell, cost_column, value_alone
from kdbench.report.cost_choice import (
    CostChoice,
    cost_by_seed,
    why_missing,
)
from kdbench.report.cost_notes import cost_note
from kdbench.report.formats import TIMES, format_cost
from kdbench.report.rows import Row, find_row
from kdbench.report.speed_up import interleaved
from kdbench.report.table import Cell, Column, missing_cell
from kdbench.report.throughput_columns import throughput_columns
from kdbench.report.topics import SPEED
from kdbench.statistics import Estimated

_PARTS = (
    ("pipe", "from inputs on the device to images on the device"),
    ("core", "one evaluation of the network"),
)


def speed_columns(scope: Scope) -> list[Measured]:
    """One column for each time that some row has."""
    return [*_latencies(scope), *throughput_columns(scope), *_speed_up(scope), *_cold_start(scope)]


def _latencies(scope: Scope) -> list[Measured]:
    if scope.usual is None:
        return []
    columns = [cost_column(scope, scope.usual, "latency (ms)", SPEED)]
    for boundary, words in _PARTS:
        choice = scope.choose("latency_ms", batch=1, boundary=boundary)
        if choice is not None and choice != scope.usual:
            title = f"{boundary} (ms)"
            columns.append(
                cost_column(
                    scope, choice, title, SPEED, words, key=f"{boundary}_ms", form=value_alone
                )
            )
    return columns


def _speed_up(scope: Scope) -> list[Measured]:
    choice = scope.choose("speedup", batch=1)
    if choice is None:
        return []
    against = sorted({name for row in scope.rows if (name := _against(row, choice))})

    def cell(row: Row) -> Cell:
        costs = [cost for cost in cost_by_seed(row, choice).values() if (cost.value or 0) > 0]
        if not costs:
            return missing_cell(_why_no_ratio(row, choice, against))
        found = interleaved(costs, row, find_row(scope.rows, costs[0].against or ""))
        return cost_cell(row, found, costs, form=format_speed_up)

    words = "teacher's time over the row's, of calls in turns in one process"
    title = "speed-up" if len(against) > 1 else f"speed-up against {against[0]}"
    columns = [
        Measured(
            Column("speed_up", title, "estimate"),
            cell,
            cost_note(scope.rows, choice, "speed-up", words),
            SPEED,
        )
    ]
    if len(against) > 1:
        columns.append(_against_column(choice, against))
    return columns


def _against_column(choice: CostChoice, against: list[str]) -> Measured:
    def cell(row: Row) -> Cell:
        name = _against(row, choice)
        return Cell(name) if name else missing_cell(_why_no_ratio(row, choice, against))

    return Measured(Column("speed_up_against", "against"), cell, "", SPEED)


def format_speed_up(ratio: Estimated) -> str:
    """How many times, with the interval and a multiplication sign."""
    return format_cost(ratio) + (TIMES if ratio.value is not None else "")


def _against(row: Row, choice: CostChoice) -> str | None:
    return next((cost.against for cost in cost_by_seed(row, choice).values()), None)


def _why_no_ratio(row: Row, choice: CostChoice, against: list[str]) -> str:
    is_teacher = any(row.is_named(name) for name in against)
    return "speed-ups are against it" if is_teacher else why_missing(row, choice)


def _cold_start(scope: Scope) -> list[Measured]:
    choice = scope.choose("cold_start_s")
    if choice is None:
        return []
    costs = [cost for row in scope.rows for cost in cost_by_seed(row, choice).values()]
    files = sorted({str(cost.details["file"]) for cost in costs if cost.details.get("file")})
    words = "imports, building, weights from their file and the first image, in fresh processes"
    told = (f"file: {', '.join(files)}",) if files else ()
    return [cost_column(scope, choice, "cold start (s)", SPEED, words, *told)]
