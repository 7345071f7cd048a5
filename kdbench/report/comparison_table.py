"""The named comparisons as one table, and as the questions that readers ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kdbench.report.anchors import SIZE_TOLERANCE
from kdbench.report.columns import short_title
from kdbench.report.comparisons import Outcome, Test
from kdbench.report.facts import TaskFacts
from kdbench.report.formats import format_p, format_ratio
from kdbench.report.speed_columns import format_speed_up
from kdbench.report.table import (
    Cell,
    Column,
    Group,
    Table,
    estimate_cell,
    missing_cell,
    number_cell,
)
from kdbench.statistics import ALPHA, SEEDS_FOR_CLAIM, SEEDS_FOR_INDICATION, Estimated

_QUESTIONS = (("anchor", "anchor"), ("few_step", "teacher, as many calls"), ("teacher", "teacher"))
_SHARED = ("student", "nfe", "score")


@dataclass(frozen=True)
class ComparisonTables:
    """The whole table, its parts by question, and what is said below them."""

    table: Table
    parts: tuple[tuple[str, Table], ...]
    """Heading and table of each question."""
    notes: tuple[str, ...]


def tabulate(outcomes: Sequence[Outcome], facts: TaskFacts) -> ComparisonTables:
    """One row a named comparison."""
    rows = tuple(tuple(_cells(outcome, facts)) for outcome in outcomes)
    table = Table(tuple(_columns(facts)), (Group("", rows),))
    return ComparisonTables(table, _parts(table), _notes(len(outcomes), facts))


def _columns(facts: TaskFacts) -> list[Column]:
    columns = [
        Column("student", "student"),
        Column("nfe", "calls", "number"),
        Column("score", f"{short_title(facts.main)} of the student", "estimate"),
    ]
    for key, title in _QUESTIONS:
        columns += _test_columns(key, title)
    return [
        *columns,
        Column("headroom", "headroom on validation, at least", "number"),
        Column("gap_recovered", "gap recovered", "estimate"),
        *_test_columns("fewer_calls", "best without a teacher at fewer calls")[:2],
        Column("gain", "gain over training without a teacher"),
        Column("speed_up", "speed-up", "estimate"),
        Column("size_ratio", "size ratio", "number"),
    ]


def _test_columns(key: str, title: str) -> list[Column]:
    return [
        Column(key, title),
        Column(f"{key}_difference", "difference", "estimate"),
        Column(f"{key}_p", "p", "number"),
        Column(f"{key}_holm_p", "Holm p", "number"),
        Column(f"{key}_verdict", "verdict"),
    ]


def _parts(table: Table) -> tuple[tuple[str, Table], ...]:
    def part(*keys: str) -> Table:
        return table.select({*_SHARED, *keys})

    return (
        (
            "Against training without a teacher",
            part(*_keys("anchor"), "headroom", "gap_recovered"),
        ),
        (
            "Gain, with what fewer calls reach without a teacher",
            part("fewer_calls", "fewer_calls_difference", "gain"),
        ),
        ("Against the teacher with as many calls", part(*_keys("few_step"))),
        (
            "Against the reference teacher",
            part(*_keys("teacher"), "speed_up", "size_ratio"),
        ),
    )


def _keys(question: str) -> list[str]:
    return [column.key for column in _test_columns(question, "")]


def _cells(outcome: Outcome, facts: TaskFacts) -> list[Cell]:
    student, headroom = outcome.student, outcome.headroom
    absent = f"{outcome.comparison.student} is not among these records"
    return [
        Cell(student.label if student else outcome.comparison.student),
        number_cell(student.identity.nfe if student else None, reason=absent),
        estimate_cell(student.estimate(facts.main) if student else Estimated(None, reason=absent)),
        *verdict_cells(outcome.against_anchor),
        *verdict_cells(outcome.against_few_step),
        *verdict_cells(outcome.against_teacher),
        number_cell(
            headroom.bound if headroom else None,
            reason="anchor and teacher share fewer than two validation scores",
        ),
        _gap_cell(outcome),
        *verdict_cells(outcome.against_fewer_calls)[:2],
        Cell(outcome.gain),
        estimate_cell(outcome.speed_up, form=format_speed_up),
        number_cell(
            outcome.size_ratio.value,
            reason=outcome.size_ratio.reason or "",
            form=format_ratio,
        ),
    ]


def _gap_cell(outcome: Outcome) -> Cell:
    """The gap recovered; readers see no number where there is no headroom."""
    cell = estimate_cell(outcome.gap)
    if outcome.headroom is None or outcome.headroom.exists:
        return cell
    return replace(cell, text="no headroom")


def verdict_cells(test: Test) -> list[Cell]:
    """Opponent, difference, p, Holm p and verdict, or why there are none."""
    reason = test.reason or test.difference.reason or "not tested"
    return [
        Cell(test.opponent.label) if test.opponent else missing_cell(reason),
        estimate_cell(test.difference),
        number_cell(test.difference.p if test.verdict else None, reason=reason, form=format_p),
        number_cell(test.adjusted_p, reason=reason, form=format_p),
        Cell(str(test.verdict)) if test.verdict else missing_cell(reason),
    ]


def _notes(family: int, facts: TaskFacts) -> tuple[str, ...]:
    sign = "positive" if facts.higher_is_better else "negative"
    return (
        f"Differences are student minus opponent in {facts.main}; {sign} is better for the "
        "student. Means over shared training seeds with 95 % Student t intervals, paired by seed.",
        f"Holm p: adjusted over the named comparisons that ask the same question, finished or "
        f"not (up to {family}). A verdict needs an adjusted p below {ALPHA:g}: an indication from "
        f"{SEEDS_FOR_INDICATION} seeds, a claim from {SEEDS_FOR_CLAIM}.",
        "Anchor: the best row trained without a teacher, of any family, with as many calls and "
        f"the student's number of parameters ±{SIZE_TOLERANCE:.0%}, chosen on validation.",
        "Headroom: lower one-sided 95 % bound of the teacher's lead over the anchor on "
        f"validation. Below the task's margin of {facts.margin:g} nothing is ranked.",
        "Gap recovered: (anchor - student) / (anchor - teacher) with Fieller's 95 % interval; "
        "1 is the teacher's quality, 0 the anchor's. Not shown where there is no headroom.",
        "No gain is claimed where a row without a teacher and with fewer calls is not shown to "
        "be worse (paired t test, unadjusted).",
        "Speed-up and size ratio: reference teacher over student. Speed-ups are end to end at "
        "batch 1, from calls in turns where these were timed; no verdict rests on them.",
    )
