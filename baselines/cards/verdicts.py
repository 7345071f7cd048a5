"""The verdicts of named comparisons: one row a question, and one sentence a method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kdbench_baselines.cards.marks import bullets

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
_LINKS = {"not separated": "from", "worse": "than"}
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
    gains = [outcome for outcome in outcomes if outcome.gain.startswith(_SHOWN)]
    named = [f"{_name(outcome)}: {outcome.gain}" for outcome in gains]
    others = Counter(_plain(outcome.gain) for outcome in outcomes if outcome not in gains)
    counted = [f"{reason} ({count} of {len(outcomes)})" for reason, count in sorted(others.items())]
    shown = f"Shown in {len(gains)} of {len(outcomes)} named comparisons"
    return shown if gains else "Not shown to work", "; ".join([*named, *counted])


def _plain(gain: str) -> str:
    """The report's reason, with what it compares with."""
    known, _, reason = gain.partition(": ")
    if known.startswith("no teacher"):
        return f"{reason} against the best other one without a teacher"
    if known == "no gain claimed" and reason in ("not separated", "worse"):
        return f"{reason} {_LINKS[reason]} training without a teacher"
    return gain
