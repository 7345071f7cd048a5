"""The columns of throughput: at a batch that rows share, and each row's best."""

from __future__ import annotations

from kdbench.record import Cost
from kdbench.report.columns import Measured
from kdbench.report.cost_cells import Scope, cost_cell, cost_column
from kdbench.report.cost_choice import CostChoice, marks_of, why_missing, with_marks
from kdbench.report.formats import format_cost
from kdbench.report.rows import Row
from kdbench.report.table import Cell, Column, missing_cell, number_cell
from kdbench.report.topics import SPEED
from kdbench.statistics import Estimated


def throughput_columns(scope: Scope) -> list[Measured]:
    """Images/s at one batch, then each row's peak where it lies elsewhere."""
    choice = scope.choose("throughput_img_s", boundary="e2e")
    if choice is None:
        return []
    equal = cost_column(scope, choice, "images/s", SPEED, "the largest batch that most rows share")
    peaks = [peak for row in scope.rows if (peak := _best(scope, row))]
    if all(peak.batch == choice.batch for peak in peaks):
        return [equal]
    return [equal, *_peak(scope, choice)]


def _throughputs_of(scope: Scope, row: Row) -> list[Cost]:
    return [
        cost
        for record in scope.alike(row)
        for cost in record.costs
        if cost.metric == "throughput_img_s" and cost.value is not None
    ]


def _best(scope: Scope, row: Row) -> Cost | None:
    """The row's highest throughput at any batch."""
    return max(_throughputs_of(scope, row), key=lambda cost: cost.value or 0, default=None)


def _peak(scope: Scope, equal: CostChoice) -> list[Measured]:
    """Each row's best throughput, and the batch where it was reached."""

    def cell(row: Row) -> Cell:
        peak = _best(scope, row)
        if peak is None:
            return missing_cell(why_missing(row, equal))
        ended = "; ".join(_failures(scope, row)) or None
        shown = with_marks(Estimated(peak.value, n=1, reason=ended), marks_of([peak]))
        return cost_cell(row, shown, [peak], form=format_cost)

    def batch_cell(row: Row) -> Cell:
        peak = _best(scope, row)
        return number_cell(peak.batch if peak else None, reason=why_missing(row, equal))

    batches = {cost.batch for row in scope.rows for cost in _throughputs_of(scope, row)}
    note = (
        f"Peak images/s: each row's own best of up to {len(batches)} batches, so not of equal "
        "batches; compare rows at the batch that they share."
    )
    return [
        Measured(Column("peak_img_s", "peak images/s", "number"), cell, note, SPEED),
        Measured(Column("peak_batch", "batch of the peak", "number"), batch_cell, "", SPEED),
    ]


def _failures(scope: Scope, row: Row) -> list[str]:
    """The batches at which there is no throughput, and why."""
    return [
        f"{cost.reason} at batch {cost.batch:,}"
        for record in scope.alike(row)
        for cost in record.costs
        if cost.metric == "throughput_img_s" and cost.value is None and cost.batch
    ]
