"""Cells and columns of costs: a figure with its marks, and whose program it was measured on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from kdbench.record import Cost, Record
from kdbench.report.columns import Measured
from kdbench.report.cost_choice import (
    CostChoice,
    Marked,
    choose_cost,
    cost_by_seed,
    estimate_cost,
    records_as_chosen,
)
from kdbench.report.cost_notes import cost_note, size_of
from kdbench.report.formats import format_cost, format_three
from kdbench.report.rows import Row
from kdbench.report.table import Cell, Column, Kind, estimate_cell, number_cell
from kdbench.statistics import Estimated

_SEED = " seed "
"""What stands between the row and the seed in `measured_on`."""


@dataclass(frozen=True)
class Scope:
    """The rows of one task, and which of their records were timed under the usual conditions."""

    rows: tuple[Row, ...]
    usual: CostChoice | None
    """Of latency at batch 1; None where none was measured."""

    def alike(self, row: Row) -> list[Record]:
        """The finished records of a row that were timed under the usual conditions."""
        return records_as_chosen(row.finished, self.usual) if self.usual else list(row.finished)

    def choose(
        self, metric: str, *, batch: int | None = None, boundary: str | None = None
    ) -> CostChoice | None:
        """Conditions of a column, the usual ones wherever the metric was measured under them."""
        alike = [record for row in self.rows for record in self.alike(row)]
        return choose_cost(alike, metric, batch=batch, boundary=boundary) or choose_cost(
            _finished(self.rows), metric, batch=batch, boundary=boundary
        )


def scope_of(rows: Sequence[Row]) -> Scope:
    """The scope of all cost columns of one task."""
    return Scope(tuple(rows), choose_cost(_finished(rows), "latency_ms", batch=1))


def _finished(rows: Sequence[Row]) -> list[Record]:
    return [record for row in rows for record in row.finished]


def cost_column(
    scope: Scope,
    choice: CostChoice,
    title: str,
    topic: str,
    *words: str,
    key: str | None = None,
    kind: Kind = "estimate",
    form: Callable[[Estimated], str] = format_cost,
) -> Measured:
    """A column of one cost, with what is said of it."""

    def cell(row: Row) -> Cell:
        costs = cost_by_seed(row, choice).values()
        return cost_cell(row, estimate_cost(row, choice), costs, form=form)

    return Measured(
        Column(key or choice.metric, title + size_of(choice), kind),
        cell,
        cost_note(scope.rows, choice, title, *words),
        topic,
    )


def detail_column(
    scope: Scope,
    choice: CostChoice,
    detail: str,
    title: str,
    topic: str,
    *,
    key: str,
    note: str = "",
    form: Callable[[Estimated], str] = format_cost,
) -> list[Measured]:
    """A column of one detail of a cost, in a list that is empty where no row has it."""

    def cell(row: Row) -> Cell:
        costs = cost_by_seed(row, choice).values()
        values = _numbers(costs, detail)
        estimate = estimate_cost(row, choice)
        if not values:
            return number_cell(None, reason=estimate.reason or "not recorded")
        shown = replace(estimate, value=fmean(values), low=None, high=None)
        return cost_cell(row, shown, costs, form=form)

    if not any(_numbers(cost_by_seed(row, choice).values(), detail) for row in scope.rows):
        return []
    return [Measured(Column(key, title + size_of(choice), "number"), cell, note, topic)]


def cost_cell(
    row: Row, estimate: Marked, costs: Iterable[Cost], *, form: Callable[[Estimated], str]
) -> Cell:
    """A figure with its marks, and a note where it was measured on another row's program."""
    cell = estimate_cell(estimate, form=form)
    sources = {str(cost.details.get("measured_on") or "") for cost in costs}
    foreign = sorted(s for s in sources if s and not row.is_named(s.rpartition(_SEED)[0]))
    notes = [cell.note, *(f"measured on {source}: the same program" for source in foreign)]
    return replace(cell, note="; ".join(filter(None, notes)) or None, marks=estimate.marks)


def value_alone(estimate: Estimated) -> str:
    """Three significant digits without the interval, which CSV has."""
    return format_three(estimate.value) if estimate.value is not None else ""


def _numbers(costs: Iterable[Cost], detail: str) -> list[float]:
    found = (cost.details.get(detail) for cost in costs)
    return [value for value in found if isinstance(value, int | float)]
