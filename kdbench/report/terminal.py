"""A run's result in a few columns on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.table import Table as RichTable

from kdbench.record import Record
from kdbench.report.comparison_table import tabulate
from kdbench.report.comparisons import compare, named_comparisons
from kdbench.report.facts import read_facts
from kdbench.report.formats import format_three
from kdbench.report.leaderboard import make_leaderboard
from kdbench.report.rows import group_rows
from kdbench.report.table import Cell, Table, to_rich
from kdbench.spec import Suite

_COMPARED = ("student", "anchor", "anchor_difference", "anchor_verdict", "gain")


def summary_tables(records: Sequence[Record], suite: Suite | None = None) -> list[RichTable]:
    """For each task its rows with the main metric, then the suite's named comparisons."""
    tables = []
    for facts in read_facts(records):
        rows = group_rows(record for record in records if record.identity.task == facts.task)
        shown = ("row", "nfe", facts.main, "latency_ms", "seeds")
        leaderboard = _shorten(make_leaderboard(rows, facts).table.select(shown), "latency_ms")
        tables.append(to_rich(leaderboard, title=facts.task))
        named = named_comparisons(rows, suite)
        if named:
            compared = tabulate(compare(rows, named, facts), facts).table.select(_COMPARED)
            tables.append(to_rich(compared, title=f"{facts.task}: named comparisons"))
    return tables


def _shorten(table: Table, prefix: str) -> Table:
    """Values alone in the columns whose key starts so: a terminal has no room for all intervals."""
    short = [column.key.startswith(prefix) for column in table.columns]

    def shorten(cell: Cell, is_short: bool) -> Cell:
        if not is_short or cell.value is None:
            return cell
        return replace(cell, text=format_three(cell.value), note="; ".join(cell.marks) or None)

    groups = tuple(
        replace(
            group,
            rows=tuple(tuple(map(shorten, row, short)) for row in group.rows),
        )
        for group in table.groups
    )
    return replace(table, groups=groups)
