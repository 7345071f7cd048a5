"""The columns of what is not time: memory, size, operations, energy."""

from __future__ import annotations

from dataclasses import replace

from kdbench.report.columns import Measured
from kdbench.report.cost_cells import Scope, cost_cell, cost_column, detail_column
from kdbench.report.cost_choice import (
    CostChoice,
    cost_by_seed,
    estimate_cost,
    marks_of,
    with_marks,
)
from kdbench.report.formats import MISSING, format_count
from kdbench.report.rows import Row
from kdbench.report.table import Cell, Column
from kdbench.report.topics import RESOURCES
from kdbench.statistics import Estimated

_KINDS = {
    "resident": "resident memory of the process",
    "tensors": "tensors on the device",
}


def resource_columns(scope: Scope) -> list[Measured]:
    """One column for each of them that some row has."""
    return [*_memory(scope), *_parameters(scope), *_macs(scope), *_energy(scope)]


def _memory(scope: Scope) -> list[Measured]:
    choice = scope.choose("peak_memory_mib")
    if choice is None:
        return []
    words = [_KINDS.get(kind, kind) for kind in _told(scope, choice, "kind")]
    return [
        cost_column(scope, choice, "peak memory (MiB)", RESOURCES, *words),
        *detail_column(
            scope,
            choice,
            "increment_mib",
            "increment over the runtime (MiB)",
            RESOURCES,
            key="memory_increment_mib",
            note="Increment over the runtime: peak memory less what was held before the call "
            "(weights, libraries, inputs).",
        ),
        *detail_column(
            scope,
            choice,
            "reserved_mib",
            "reserved (MiB)",
            RESOURCES,
            key="memory_reserved_mib",
            note="Reserved: what torch's allocator had taken of the device at most.",
        ),
        *detail_column(
            scope,
            choice,
            "process_mib",
            "process on device (MiB)",
            RESOURCES,
            key="memory_process_mib",
            note="Process on device: what the driver says that the process holds, context and "
            "workspaces included.",
        ),
    ]


def _told(scope: Scope, choice: CostChoice, detail: str) -> list[str]:
    """The distinct words of one detail, sorted."""
    costs = [cost for row in scope.rows for cost in cost_by_seed(row, choice).values()]
    return sorted({str(cost.details[detail]) for cost in costs if cost.details.get(detail)})


def _count(estimate: Estimated) -> str:
    return MISSING if estimate.value is None else format_count(estimate.value)


def _parameters(scope: Scope) -> list[Measured]:
    choice = scope.choose("parameters")
    if choice is None:
        return []
    column = cost_column(
        scope,
        choice,
        "parameters",
        RESOURCES,
        key="timed_parameters",
        kind="number",
        form=_count,
    )
    return [
        replace(column, note="Parameters as timed: storage that is shared counts once."),
        *detail_column(
            scope,
            choice,
            "bytes",
            "parameters (bytes)",
            RESOURCES,
            key="parameter_bytes",
            form=_count,
        ),
    ]


def _macs(scope: Scope) -> list[Measured]:
    """Operations of an image; marks of the number of evaluations stand beside them."""
    choice = scope.choose("macs")
    if choice is None:
        return []

    def cell(row: Row) -> Cell:
        costs = list(cost_by_seed(row, choice).values())
        calls = [c for r in row.finished for c in r.costs if c.metric == "nfe"]
        found = estimate_cost(row, choice)
        if found.value is not None:
            found = with_marks(Estimated(found.value, n=found.n), marks_of([*costs, *calls]))
        return cost_cell(row, found, costs, form=_count)

    counters = ", ".join(_told(scope, choice, "counter"))
    by = f" by {counters}" if counters else ""
    note = f"MACs/image: multiply-accumulates of all evaluations together, counted{by}."
    return [Measured(Column("macs", "MACs/image", "number"), cell, note, RESOURCES)]


def _energy(scope: Scope) -> list[Measured]:
    choice = scope.choose("energy_j_per_image")
    if choice is None:
        return []
    method = ", ".join(_told(scope, choice, "method")) or "method not recorded"
    return [
        cost_column(scope, choice, "energy (J/image)", RESOURCES, f"{method}, idle power included"),
        *detail_column(
            scope,
            choice,
            "net_of_idle",
            "net of idle (J/image)",
            RESOURCES,
            key="energy_net_j",
        ),
    ]
