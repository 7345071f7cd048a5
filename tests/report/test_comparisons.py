"""Anchors, verdicts and gains of named comparisons."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from report_records import Plan, make_cost, make_record, make_score

from kdbench.record import Interval, Record
from kdbench.report.anchors import find_anchor, find_anchor_at_fewer_calls
from kdbench.report.comparison_table import tabulate
from kdbench.report.comparisons import Outcome, compare, named_comparisons
from kdbench.report.facts import TaskFacts
from kdbench.report.rows import Row, find_row, group_rows
from kdbench.report.table import Cell
from kdbench.spec import Comparison, Suite
from kdbench.statistics import paired_difference

FACTS = TaskFacts("digits@1", "kid@1", 0.05, False)
NAMED = Comparison(student="s/x", few_step="f/x", teacher="t/x")


def made(
    name: str,
    role: str,
    kids: tuple[float, ...],
    *,
    nfe: int = 4,
    validation: float | None = None,
    costs: list[Any] | None = None,
    **changes: Any,
) -> list[Record]:
    """A row with these held-out values; on validation they are moved to the mean given."""
    plan = Plan(f"{name}@1", "x", role, nfe, 0, 0, **changes)  # type: ignore[arg-type]
    shift = 0.0 if validation is None else validation - sum(kids) / len(kids)
    return [
        make_record(
            plan,
            seed,
            costs=costs or [],
            scores=[
                make_score("kid@1", kid),
                make_score("kid@1", kid + shift, split="validation"),
            ],
        )
        for seed, kid in enumerate(kids)
    ]


TEACHER = made("t", "teacher", (0.4, 0.41, 0.39), nfe=31, reference=True, parameters=800_000)
FEW = made("f", "few-step", (1.8, 1.9, 1.85), parameters=800_000)
SCRATCH = made("c", "scratch", (2.0, 2.1, 2.2))
STUDENT = made("s", "student", (0.6, 0.62, 0.65))


def outcome(*rows: list[Record], facts: TaskFacts = FACTS) -> Outcome:
    """What came of the one named comparison."""
    grouped = group_rows([record for row in rows for record in row])
    return compare(grouped, [NAMED], facts)[0]


def row_of(records: list[Record]) -> Row:
    return Row(tuple(records))


def test_a_gain_from_three_seeds_is_an_indication() -> None:
    found = outcome(TEACHER, FEW, SCRATCH, STUDENT)
    assert found.gain == "gain (indication)"
    difference = paired_difference(row_of(STUDENT).values("kid"), row_of(SCRATCH).values("kid"))
    assert found.against_anchor.difference == difference
    assert found.against_anchor.adjusted_p == difference.p
    assert str(found.against_few_step.verdict) == "better (indication)"
    assert str(found.against_teacher.verdict) == "worse (indication)"
    assert found.gap.value == pytest.approx((2.1 - 0.62333) / (2.1 - 0.4), abs=1e-4)
    assert found.size_ratio.value == pytest.approx(800_000 / 81_600)


def test_a_student_without_a_teacher_is_not_its_own_anchor_and_claims_no_gain() -> None:
    alone = made("s", "scratch", (0.6, 0.62, 0.65), validation=0.1)
    found = outcome(TEACHER, FEW, SCRATCH, alone)
    assert found.against_anchor.opponent is not None
    assert found.against_anchor.opponent.label == "c@1/x"
    assert found.gain == "no teacher; against the best other one: better (indication)"
    assert outcome(TEACHER, FEW, alone).against_anchor.opponent is None


def test_the_direction_of_the_metric_turns_the_verdicts() -> None:
    found = outcome(TEACHER, FEW, SCRATCH, STUDENT, facts=replace(FACTS, higher_is_better=True))
    assert str(found.against_anchor.verdict) == "worse (indication)"
    assert found.gain == "no gain claimed: worse"
    assert "worse than the anchor" in (found.gap.reason or "")


def test_the_anchor_is_chosen_on_validation_from_all_families() -> None:
    better_held_out = made("d", "scratch", (1.0, 1.1, 1.2), validation=3.0)
    other_family = made("e", "scratch", (1.5, 1.6, 1.7), validation=1.0, family="gan")
    rows = group_rows([*SCRATCH, *better_held_out, *other_family, *STUDENT])
    anchor = find_anchor(row_of(STUDENT), rows, FACTS).row
    assert anchor is not None
    assert anchor.label == "e@1/x"


@pytest.mark.parametrize(
    ("parameters", "eligible"), [(102_000, True), (61_200, True), (102_001, False), (None, False)]
)
def test_the_anchor_has_the_students_size(parameters: int | None, eligible: bool) -> None:
    control = made("c", "scratch", (2.0, 2.1, 2.2), parameters=parameters)
    anchor = find_anchor(row_of(STUDENT), group_rows(control), FACTS)
    assert (anchor.row is not None) == eligible
    assert eligible or "±25 %" in (anchor.reason or "")


def test_without_validation_scores_there_is_no_anchor() -> None:
    control = [record.model_copy(deep=True) for record in SCRATCH]
    for record in control:
        record.scores = [score for score in record.scores if score.split == "held-out"]
    anchor = find_anchor(row_of(STUDENT), group_rows(control), FACTS)
    assert anchor.row is None
    assert "validation" in (anchor.reason or "")
    assert outcome(TEACHER, control, STUDENT).gain.startswith("nothing claimed: no comparable")


def test_teachers_and_students_are_never_anchors() -> None:
    anchor = find_anchor(row_of(STUDENT), group_rows([*FEW, *STUDENT]), FACTS)
    assert (anchor.row, anchor.reason) == (None, "no row from scratch at such calls")


def test_no_gain_where_fewer_calls_reach_as_much_without_a_teacher() -> None:
    gan = made("g", "scratch", (0.61, 0.63, 0.62), nfe=1, family="gan")
    assert find_anchor_at_fewer_calls(row_of(STUDENT), group_rows(gan), FACTS).row is not None
    found = outcome(TEACHER, FEW, SCRATCH, STUDENT, gan)
    assert str(found.against_anchor.verdict) == "better (indication)"
    assert found.gain == "no gain claimed: g@1/x (1 call) is not shown to be worse"
    weak = made("g", "scratch", (0.9, 0.95, 0.92), nfe=1, family="gan")
    assert outcome(TEACHER, FEW, SCRATCH, STUDENT, weak).gain == "gain (indication)"


def test_no_gain_without_headroom() -> None:
    teacher = made("t", "teacher", (0.4, 0.41, 0.39), nfe=31, validation=2.09, reference=True)
    found = outcome(teacher, FEW, SCRATCH, STUDENT)
    assert found.headroom is not None
    assert not found.headroom.exists
    assert found.gain == "no gain claimed: no headroom shown on validation"


def test_an_unfinished_seed_claims_nothing_and_still_shows() -> None:
    student = [*STUDENT[:2], *made("s", "student", (0, 0, 0.0))[2:]]
    student[2] = student[2].model_copy(
        update={"status": "diverged", "reason": "loss not finite", "scores": []}
    )
    found = outcome(TEACHER, FEW, SCRATCH, student)
    assert found.against_anchor.verdict is None
    assert found.against_anchor.difference.n == 2
    assert found.gain == "nothing claimed: s@1/x: seed 2 diverged: loss not finite"
    assert found.gap.reason == "from finished seeds only"


def test_two_seeds_are_too_few() -> None:
    found = outcome(TEACHER[:2], FEW[:2], SCRATCH[:2], STUDENT[:2])
    assert str(found.against_anchor.verdict) == "not separated (too few seeds)"
    assert found.gain == "nothing claimed: too few seeds"


def test_another_protocol_is_not_compared() -> None:
    teacher = [record.model_copy(deep=True) for record in TEACHER]
    for record in teacher:
        for score in record.scores:
            score.protocol = "float32"
    found = outcome(teacher, FEW, SCRATCH, STUDENT)
    assert found.against_teacher.verdict is None
    assert found.against_teacher.difference.value is None
    assert "another protocol" in (found.against_teacher.reason or "")
    assert found.gap.value is None
    assert found.headroom is None


def test_p_values_are_adjusted_within_each_question() -> None:
    second = made("u", "student", (2.0, 2.2, 2.1))
    grouped = group_rows([*TEACHER, *FEW, *SCRATCH, *STUDENT, *second])
    named = [
        NAMED,
        Comparison(student="u/x", teacher="t/x"),
        Comparison(student="absent/x", teacher="t/x"),
    ]
    first, other, absent = compare(grouped, named, FACTS)
    raw = first.against_anchor.difference.p
    assert raw is not None
    assert first.against_anchor.adjusted_p == pytest.approx(3 * raw)
    assert first.against_few_step.adjusted_p == first.against_few_step.difference.p
    assert other.against_few_step.reason == "none is named"
    assert absent.gain == "nothing claimed: the student was not run"


def test_the_measured_speed_up_wins_over_separate_latencies() -> None:
    interval = Interval(low=9, high=11, source="timing", method="bootstrap")
    latency = [make_cost("latency_ms", 2.0, batch=1, unit="ms")]
    measured = [
        *latency,
        make_cost("speedup", 10.0, batch=1, unit="x", against="t/x", interval=interval),
        make_cost("speedup", 99.0, batch=1, unit="x", against="other/x", interval=interval),
    ]
    slow = [make_cost("latency_ms", 30.0, batch=1, unit="ms")]
    teacher = made("t", "teacher", (0.4, 0.41, 0.39), nfe=31, costs=slow)
    student = made("s", "student", (0.6, 0.62, 0.65), costs=measured)[:1]
    found = outcome(teacher[:1], student).speed_up
    assert (found.value, found.low, found.high) == (10.0, 9, 11)
    plain = made("s", "student", (0.6, 0.62, 0.65), costs=latency)
    separate = outcome(teacher[:1], plain[:1]).speed_up
    assert (separate.value, separate.low) == (15.0, None)
    assert "without an interval" in (separate.reason or "")
    paired = outcome(teacher, plain).speed_up
    assert paired.value == pytest.approx(15.0)


def test_latencies_of_different_machines_are_not_divided() -> None:
    slow = [make_cost("latency_ms", 30.0, batch=1, unit="ms", config_key="other")]
    fast = [make_cost("latency_ms", 2.0, batch=1, unit="ms")]
    teacher = made("t", "teacher", (0.4, 0.41, 0.39), nfe=31, costs=slow)
    found = outcome(teacher, made("s", "student", (0.6, 0.62, 0.65), costs=fast)).speed_up
    assert found.value is None
    assert "equal conditions" in (found.reason or "")


def test_the_table_of_the_suite(rows: tuple[Row, ...], facts: TaskFacts, suite: Suite) -> None:
    named = named_comparisons(rows, suite)
    assert len(named) == 6
    tables = tabulate(compare(rows, named, facts), facts)
    keys = [column.key for column in tables.table.columns]
    cells = {row[0].text: dict(zip(keys, row, strict=True)) for row in tables.table.rows}
    assert cells["progressive@1/four"]["gain"].text == "gain (indication)"
    assert cells["luhman@1/one"]["anchor"].text == "gan-scratch@1/one"
    assert cells["luhman@1/one"]["anchor_verdict"].text == "worse (indication)"
    assert cells["progressive@1/two"]["anchor_p"].value is None
    assert cells["progressive@1/two"]["anchor_difference"].value is not None
    assert cells["dmd/one"]["gain"].text.startswith("nothing claimed")
    for row in tables.table.rows:
        assert all(cell.text and (cell.text != "—" or cell.note) for cell in row)
    assert find_row(rows, "dmd/one") is None
    assert {title for title, _ in tables.parts} >= {"Against the reference teacher"}


def test_the_gap_is_not_shown_without_headroom() -> None:
    def gap(teacher: list[Record]) -> Cell:
        tables = tabulate([outcome(teacher, FEW, SCRATCH, STUDENT)], FACTS)
        keys = [column.key for column in tables.table.columns]
        return tables.table.rows[0][keys.index("gap_recovered")]

    level = made("t", "teacher", (0.4, 0.41, 0.39), nfe=31, validation=2.09, reference=True)
    hidden, shown = gap(level), gap(TEACHER)
    assert hidden.text == "no headroom"
    assert hidden.value == shown.value == pytest.approx(0.8686, abs=1e-4)
    assert shown.text.startswith("0.8")
