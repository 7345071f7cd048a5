"""The comparisons that a suite names before it is run, and what came of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from kdbench.report.anchors import (
    Anchor,
    find_anchor,
    find_anchor_at_fewer_calls,
    find_task_headroom,
)
from kdbench.report.facts import TaskFacts
from kdbench.report.formats import describe_calls
from kdbench.report.leader import comparable
from kdbench.report.rows import Row, find_row
from kdbench.report.speed_up import speed_up
from kdbench.spec import FROM_SCRATCH, Comparison, Suite
from kdbench.statistics import (
    Difference,
    Estimated,
    Headroom,
    Verdict,
    adjust_holm,
    gap_recovered,
    judge,
    paired_difference,
)


@dataclass(frozen=True)
class Test:
    """A student against one opponent in the main metric."""

    __test__ = False  # not a test case of pytest

    opponent: Row | None
    difference: Difference
    """Student minus opponent."""
    verdict: Verdict | None = None
    adjusted_p: float | None = None
    reason: str | None = None
    """Why there is no verdict."""


@dataclass(frozen=True)
class Outcome:
    """Everything that is said of one named student."""

    comparison: Comparison
    student: Row | None
    against_anchor: Test
    against_few_step: Test
    against_teacher: Test
    against_fewer_calls: Test
    """The best row without a teacher and with fewer calls, trivial generators included."""
    gap: Estimated
    """Gap recovered between anchor and teacher."""
    speed_up: Estimated
    """Over the teacher."""
    size_ratio: Estimated
    """Parameters of the teacher per parameter of the student."""
    headroom: Headroom | None

    @property
    def gain(self) -> str:
        """Whether a gain over training without a teacher is claimed, in one line."""
        return self._judged[1]

    @property
    def gained(self) -> bool:
        """Whether it is; of a student without a teacher, whether it beats the best other one."""
        return self._judged[0]

    @property
    def _judged(self) -> tuple[bool, str]:
        test, fewer = self.against_anchor, self.against_fewer_calls
        if test.verdict is None:
            return False, f"nothing claimed: {test.reason}"
        if test.verdict.label == "too few seeds":
            return False, f"nothing claimed: {test.verdict.label}"
        better = test.verdict.word == "better"
        if self.student is not None and self.student.identity.role in FROM_SCRATCH:
            return better, f"no teacher; against the best other one: {test.verdict}"
        if not better:
            return False, f"no gain claimed: {test.verdict.word}"
        if self.headroom is None or not self.headroom.exists:
            return False, "no gain claimed: no headroom shown on validation"
        if fewer.opponent and (fewer.verdict is None or fewer.verdict.word != "better"):
            calls = describe_calls(fewer.opponent.identity.nfe)
            label = fewer.opponent.label
            return False, f"no gain claimed: {label} ({calls}) is not shown to be worse"
        return True, f"gain ({test.verdict.label})"


def compare(
    rows: Sequence[Row], comparisons: Sequence[Comparison], facts: TaskFacts
) -> tuple[Outcome, ...]:
    """Outcomes of the comparisons of one task, p values adjusted over them.

    Holm's family is the named comparisons that ask the same question: anchor, as many calls, or
    reference teacher.
    """
    outcomes = [_compare_one(rows, comparison, facts) for comparison in comparisons]
    anchors = _adjust([outcome.against_anchor for outcome in outcomes], facts)
    teachers = _adjust([outcome.against_teacher for outcome in outcomes], facts)
    named = [outcome.against_few_step for outcome in outcomes if outcome.comparison.few_step]
    few_steps = iter(_adjust(named, facts))
    return tuple(
        replace(
            outcome,
            against_anchor=anchor,
            against_few_step=(
                next(few_steps) if outcome.comparison.few_step else outcome.against_few_step
            ),
            against_teacher=teacher,
        )
        for outcome, anchor, teacher in zip(outcomes, anchors, teachers, strict=True)
    )


def named_comparisons(rows: Sequence[Row], suite: Suite | None) -> tuple[Comparison, ...]:
    """The comparisons of a suite in which one of these rows takes part."""
    return tuple(
        comparison
        for comparison in (suite.comparisons if suite else ())
        for names in [(comparison.student, comparison.teacher, comparison.few_step)]
        if any(find_row(rows, name) is not None for name in names if name)
    )


def _compare_one(rows: Sequence[Row], comparison: Comparison, facts: TaskFacts) -> Outcome:
    student = find_row(rows, comparison.student)
    teacher = find_row(rows, comparison.teacher)
    few_step = find_row(rows, comparison.few_step) if comparison.few_step else None
    absent = Anchor(None, f"{comparison.student} is not among these records")
    anchor = find_anchor(student, _of_others(student, rows), facts) if student else absent
    fewer = find_anchor_at_fewer_calls(student, rows, facts) if student else absent
    unnamed = "none is named" if comparison.few_step is None else _absent(comparison.few_step)
    return Outcome(
        comparison=comparison,
        student=student,
        against_anchor=_test(student, anchor.row, facts, absent=anchor.reason or ""),
        against_few_step=_test(student, few_step, facts, absent=unnamed),
        against_teacher=_test(student, teacher, facts, absent=_absent(comparison.teacher)),
        against_fewer_calls=_test(student, fewer.row, facts, absent=fewer.reason or ""),
        gap=_gap(anchor.row, student, teacher, facts),
        speed_up=_between(student, teacher, speed_up),
        size_ratio=_between(student, teacher, _size_ratio),
        headroom=find_task_headroom(teacher, anchor.row, facts) if teacher and anchor.row else None,
    )


def _of_others(student: Row, rows: Sequence[Row]) -> list[Row]:
    """Rows of other pairs: a student that learns without a teacher is not its own anchor."""
    return [row for row in rows if row.identity.pair != student.identity.pair]


def _absent(name: str) -> str:
    return f"{name} is not among these records"


def _test(student: Row | None, opponent: Row | None, facts: TaskFacts, *, absent: str) -> Test:
    """One paired test with its own p value; what forbids a verdict is the reason."""
    if student is None:
        return _no_test(opponent, "the student was not run")
    if opponent is None:
        return _no_test(None, absent)
    for row in (student, opponent):
        if not row.values(facts.main):
            return _no_test(opponent, f"{row.label}: {row.estimate(facts.main).reason}")
    if not comparable(student, opponent, facts.main):
        reason = f"{opponent.label} was measured under another protocol, n or reference"
        return _no_test(opponent, reason)
    difference = paired_difference(student.values(facts.main), opponent.values(facts.main))
    marks = [f"{row.label}: {mark}" for row in (student, opponent) for mark in row.marks]
    if marks:
        return Test(opponent, difference, reason="; ".join(marks))
    verdict = judge(difference, higher_is_better=facts.higher_is_better)
    return Test(opponent, difference, verdict, difference.p)


def _no_test(opponent: Row | None, reason: str) -> Test:
    return Test(opponent, Difference(None, reason=reason), reason=reason)


def _adjust(tests: Sequence[Test], facts: TaskFacts) -> list[Test]:
    adjusted = adjust_holm([test.difference.p if test.verdict else None for test in tests])
    return [
        replace(
            test,
            adjusted_p=p,
            verdict=judge(test.difference, higher_is_better=facts.higher_is_better, adjusted_p=p),
        )
        if test.verdict
        else test
        for test, p in zip(tests, adjusted, strict=True)
    ]


def _gap(
    anchor: Row | None, student: Row | None, teacher: Row | None, facts: TaskFacts
) -> Estimated:
    rows = [row for row in (anchor, student, teacher) if row is not None]
    if anchor is None or student is None or teacher is None:
        return Estimated(None, reason="anchor, student or teacher is missing")
    if not all(comparable(rows[0], row, facts.main) for row in rows):
        return Estimated(None, reason="anchor, student and teacher have different protocols")
    gap = gap_recovered(
        anchor=anchor.values(facts.main),
        student=student.values(facts.main),
        teacher=teacher.values(facts.main),
        higher_is_better=facts.higher_is_better,
    )
    if gap.reason is None and not all(row.complete for row in rows):
        return replace(gap, reason="from finished seeds only")
    return gap


def _between(
    student: Row | None, teacher: Row | None, ratio: Callable[[Row, Row], Estimated]
) -> Estimated:
    if student is None or teacher is None:
        return Estimated(None, reason="student or teacher is missing")
    return ratio(student, teacher)


def _size_ratio(student: Row, teacher: Row) -> Estimated:
    ours, theirs = student.identity.parameters, teacher.identity.parameters
    if not ours or not theirs:
        return Estimated(None, reason="the number of parameters is not recorded")
    return Estimated(theirs / ours)
