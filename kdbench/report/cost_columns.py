"""The cost columns of a leaderboard, and what its marks say."""

from __future__ import annotations

from collections.abc import Sequence

from kdbench.mark_words import explain_mark
from kdbench.report.columns import Measured
from kdbench.report.cost_cells import scope_of
from kdbench.report.resource_columns import resource_columns
from kdbench.report.rows import Row
from kdbench.report.speed_columns import speed_columns
from kdbench.report.speed_up import FORBIDDING


def cost_columns(rows: Sequence[Row]) -> list[Measured]:
    """One column for each cost that some row has, speed first."""
    scope = scope_of(rows)
    return [*speed_columns(scope), *resource_columns(scope)]


def mark_notes(marks: Sequence[str]) -> list[str]:
    """What each mark that occurs says, and what the marked figures are good for."""
    if not marks:
        return []
    names = dict.fromkeys(mark.partition(":")[0] for mark in marks)
    told = [f"Mark {name}: {words}." for name in names if (words := explain_mark(name))]
    forbidden = sorted(names.keys() & set(FORBIDDING))
    if forbidden:
        told.append(
            f"Of a row marked {' or '.join(forbidden)} no speed-up is claimed, and it is not in "
            "the plot of latency."
        )
    return ["A marked cost is shown as it was measured; nothing is claimed from it.", *told]
