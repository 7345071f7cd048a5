"""A run's result in a few columns on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table as RichTable

from kdbench.record import Record
from kdbench.report.comparison_table import tabulate
from kdbench.report.comparisons import compare, named_comparisons
from kdbench.report.facts import read_facts
from kdbench.report.leaderboard import make_leaderboard
from kdbench.report.rows import group_rows
from kdbench.report.table import to_rich
from kdbench.spec import Suite

_COMPARED = ("student", "anchor", "anchor_difference", "anchor_verdict")


def summary_tables(records: Sequence[Record], suite: Suite | None = None) -> list[RichTable]:
    """For each task its rows with the main metric, then the suite's named comparisons."""
    tables = []
    for facts in read_facts(records):
        rows = group_rows(record for record in records if record.identity.task == facts.task)
        shown = ("row", "nfe", facts.main, "latency_ms", "seeds")
        leaderboard = make_leaderboard(rows, facts).table.select(shown)
        tables.append(to_rich(leaderboard, title=facts.task))
        named = named_comparisons(rows, suite)
        if named:
            compared = tabulate(compare(rows, named, facts), facts).table.select(_COMPARED)
            tables.append(to_rich(compared, title=f"{facts.task}: named comparisons"))
    return tables
