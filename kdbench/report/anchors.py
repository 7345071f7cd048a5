"""What a student is measured against: the best training without a teacher, and its headroom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kdbench.report.facts import TaskFacts
from kdbench.report.leader import comparable
from kdbench.report.rows import Row
from kdbench.spec import FROM_SCRATCH
from kdbench.statistics import Headroom, find_headroom

SIZE_TOLERANCE = 0.25
"""An anchor's parameters differ from the student's by this share at most."""


@dataclass(frozen=True)
class Anchor:
    """A control chosen on validation, or the reason why there is none."""

    row: Row | None
    reason: str | None = None


def find_anchor(student: Row, rows: Iterable[Row], facts: TaskFacts) -> Anchor:
    """The best from-scratch row of any family with the student's calls and size.

    Chosen by the mean of the main metric on validation.
    """
    return _best_on_validation(
        student, [row for row in rows if row.identity.nfe == student.identity.nfe], facts
    )


def find_anchor_at_fewer_calls(student: Row, rows: Iterable[Row], facts: TaskFacts) -> Anchor:
    """The best row without a teacher and with fewer calls: of the student's size, or trivial."""
    calls = student.identity.nfe or 0
    fewer = [row for row in rows if (row.identity.nfe or 0) < calls]
    return _best_on_validation(student, fewer, facts, trivial=True)


def find_task_headroom(teacher: Row, anchor: Row, facts: TaskFacts) -> Headroom | None:
    """By how much the teacher leads the anchor on validation; None where it cannot be said."""
    if not comparable(teacher, anchor, facts.main, split="validation"):
        return None
    return find_headroom(
        anchor=anchor.values(facts.main, "validation"),
        teacher=teacher.values(facts.main, "validation"),
        margin=facts.margin,
        higher_is_better=facts.higher_is_better,
    )


def may_rank(row: Row, rows: Sequence[Row], facts: TaskFacts) -> bool:
    """Whether there is headroom between the row's anchor and a reference teacher.

    The teacher is that of the row's family, or any where the family has none.
    """
    anchor = find_anchor(row, rows, facts).row
    teachers = [other for other in rows if other.identity.reference]
    own = [other for other in teachers if other.identity.family == row.identity.family]
    if anchor is None:
        return False
    found = (find_task_headroom(teacher, anchor, facts) for teacher in own or teachers)
    return any(headroom is not None and headroom.exists for headroom in found)


def _best_on_validation(
    student: Row, rows: Sequence[Row], facts: TaskFacts, *, trivial: bool = False
) -> Anchor:
    controls = [row for row in rows if row.identity.role in FROM_SCRATCH]
    learnt_nothing = [row for row in rows if trivial and row.identity.role == "trivial"]
    if not controls and not learnt_nothing:
        return Anchor(None, "no row from scratch at such calls")
    sized = [row for row in controls if _is_of_size(row, student)] + learnt_nothing
    if not sized:
        return Anchor(None, "no row from scratch within ±25 % of the student's parameters")
    means = [
        (facts.rank(sum(values.values()) / len(values)), row.label, row)
        for row in sized
        if (values := row.values(facts.main, "validation"))
        and comparable(row, student, facts.main, split="validation")
    ]
    if not means:
        return Anchor(None, "no comparable row from scratch has a validation score")
    return Anchor(min(means, key=lambda mean: mean[:2])[2])


def _is_of_size(row: Row, student: Row) -> bool:
    own, wanted = row.identity.parameters, student.identity.parameters
    return own is not None and wanted is not None and abs(own - wanted) <= SIZE_TOLERANCE * wanted
