"""The verdicts of named comparisons: one row a question, and one sentence a method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kdbench_baselines.cards.marks import bullets

from kdbench.report.comparison_table import verdict_cells
from kdbench.report.comparisons import Outcome
from kdbench.report.table import Cell, Column, Group, Table, to_markdown

_COLUMNS = (
    Column("student", "student"),
    Column("question", "against"),
    Column("opponent", "opponent"),
    Column("difference", "difference", "estimate"),
    Column("p", "p", "number"),
    Column("holm_p", "Holm p", "number"),
    Column("verdict", "verdict"),
)


def verdict_table(outcomes: Sequence[Outcome]) -> str:
    """Three questions of each student that was run, then what is claimed of each that is named.

    Both in the report's own words.
    """
    rows = tuple(row for outcome in outcomes if outcome.student for row in _rows(outcome))
    table = f"{to_markdown(Table(_COLUMNS, (Group('', rows),)))}\n" if rows else ""
    return table + bullets([f"{_name(outcome)}: {outcome.gain}" for outcome in outcomes])


def _name(outcome: Outcome) -> str:
    return outcome.student.label if outcome.student else outcome.comparison.student


def _rows(outcome: Outcome) -> list[tuple[Cell, ...]]:
    questions = [
        ("training without a teacher", outcome.against_anchor),
        ("the teacher with as many calls", outcome.against_few_step),
        ("the reference teacher", outcome.against_teacher),
    ]
    student = Cell(_name(outcome))
    return [(student, Cell(question), *verdict_cells(test)) for question, test in questions]


def write_standing(outcomes: Sequence[Outcome], *, kind: str, measured: bool) -> tuple[str, str]:
    """Whether a method is shown to work here, and why that is said.

    Args:
        outcomes: the comparisons that are named for its students, one a student.
        kind: of the card.
        measured: whether any of its rows is.
    """
    if not measured:
        return "Not shown to work", "not measured yet"
    if not outcomes and kind == "control":
        return "A control", "in no named comparison: students are measured against it"
    if not outcomes:
        return "Not shown to work", "measured, but in no named comparison"
    gains = [outcome for outcome in outcomes if outcome.gained]
    named = [f"{_name(outcome)}: {outcome.gain}" for outcome in gains]
    others = Counter(outcome.gain for outcome in outcomes if outcome not in gains)
    counted = [f"{reason} ({count} of {len(outcomes)})" for reason, count in sorted(others.items())]
    shown = f"Shown in {len(gains)} of {len(outcomes)} named comparisons"
    return shown if gains else "Not shown to work", "; ".join([*named, *counted])
