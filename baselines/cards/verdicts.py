"""The verdicts of named comparisons: one row a question, and one sentence a method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kdbench.report.comparisons import Outcome, Test
from kdbench.report.formats import format_p
from kdbench.report.table import (
    Cell,
    Column,
    Group,
    Table,
    estimate_cell,
    missing_cell,
    number_cell,
    to_markdown,
)

_SHOWN = ("gain (", "no teacher; against the best other one: better")
"""How the report's sentence on a named comparison begins where something was gained."""
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
    """Three questions of each student, with the report's own words, then what is claimed."""
    rows = tuple(row for outcome in outcomes for row in _rows(outcome))
    gains = "\n".join(f"- {_name(outcome)}: {outcome.gain}" for outcome in outcomes)
    return f"{to_markdown(Table(_COLUMNS, (Group('', rows),)))}\n{gains}"


def _name(outcome: Outcome) -> str:
    return outcome.student.label if outcome.student else outcome.comparison.student


def _rows(outcome: Outcome) -> list[tuple[Cell, ...]]:
    questions = [
        ("training without a teacher", outcome.against_anchor),
        ("the teacher with as many calls", outcome.against_few_step),
        ("the reference teacher", outcome.against_teacher),
    ]
    return [_row(_name(outcome), question, test) for question, test in questions]


def _row(student: str, question: str, test: Test) -> tuple[Cell, ...]:
    reason = test.reason or test.difference.reason or "not tested"
    return (
        Cell(student),
        Cell(question),
        Cell(test.opponent.label) if test.opponent else missing_cell(reason),
        estimate_cell(test.difference),
        number_cell(test.difference.p if test.verdict else None, reason=reason, form=format_p),
        number_cell(test.adjusted_p, reason=reason, form=format_p),
        Cell(str(test.verdict)) if test.verdict else missing_cell(reason),
    )


def write_standing(outcomes: Sequence[Outcome], *, kind: str, measured: bool) -> str:
    """Whether a method is shown to work here, in one sentence.

    Args:
        outcomes: the comparisons that are named for its students.
        kind: of the card.
        measured: whether any of its rows is.
    """
    if not measured:
        return "not yet measured"
    if not outcomes:
        asked = "students are measured against it" if kind == "control" else "no verdict"
        return f"measured, in no named comparison: {asked}"
    gains = [outcome for outcome in outcomes if outcome.gain.startswith(_SHOWN)]
    if not gains:
        reasons = Counter(outcome.gain for outcome in outcomes)
        counted = (f"{reason} ({count} of {len(outcomes)})" for reason, count in reasons.items())
        return f"not shown to work: {'; '.join(sorted(counted))}"
    names = ", ".join(f"{_name(outcome)}: {outcome.gain}" for outcome in gains)
    return f"shown in {len(gains)} of {len(outcomes)} named comparisons ({names})"
