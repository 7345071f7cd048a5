"""Rows over seeds: means, failures, gaps and what forbids an average."""

from __future__ import annotations

from dataclasses import replace

import pytest
from report_records import EXTRACTOR, PLANS, make_record, make_score
from scipy import stats

from kdbench.errors import StoreError
from kdbench.record import Record
from kdbench.report.facts import read_facts
from kdbench.report.rows import Row, find_row, group_rows

PLAN = replace(PLANS[0], pair="p@1", arm="a")


def row_of(*kids: float | None, n: tuple[int, ...] = (1000,) * 3) -> Row:
    """One row whose seeds have these main metrics."""
    records = [
        make_record(
            PLAN, seed, scores=[make_score("kid@1", kid, n=size, reason=None if kid else "void")]
        )
        for seed, (kid, size) in enumerate(zip(kids, n, strict=False))
    ]
    return group_rows(records)[0]


def test_mean_and_interval_are_over_seeds() -> None:
    estimate = row_of(1.0, 1.2, 1.7).estimate("kid@1")
    low, high = stats.t.interval(0.95, 2, 1.3, stats.sem([1.0, 1.2, 1.7]))
    assert estimate.value == pytest.approx(1.3)
    assert (estimate.low, estimate.high) == pytest.approx((low, high))


def test_a_single_value_keeps_the_interval_of_sampling() -> None:
    record = make_record(PLAN, 0, scores=[make_score("kid@1", 0.5, half=0.1)])
    estimate = Row((record,)).estimate("kid")
    assert (estimate.low, estimate.high) == (0.4, 0.6)


def test_a_missing_value_is_told_with_its_reason_and_is_not_zero() -> None:
    estimate = row_of(1.0, None, 2.0).estimate("kid")
    assert estimate.value == pytest.approx(1.5)
    assert estimate.reason == "seed 1 has no value: void"
    nothing = row_of(None, None).estimate("kid")
    assert (nothing.value, nothing.reason) == (None, "void")
    assert row_of(1.0).estimate("fd").reason == "not measured"


def test_an_unfinished_seed_is_counted_and_told(rows: tuple[Row, ...]) -> None:
    row = find_row(rows, "progressive/two")
    assert row is not None
    assert (row.seeds, row.complete) == ("2/3", False)
    assert row.unfinished == ("seed 2 diverged: loss not finite at step 812",)
    assert row.estimate("kid").n == 2
    assert row.identity.nfe == 2  # of a finished seed, as the diverged one has none


def test_a_row_where_nothing_finished_says_why() -> None:
    record = make_record(PLAN, 0, status="oom", reason="8 GiB were not enough")
    estimate = Row((record,)).estimate("kid")
    assert estimate.value is None
    assert estimate.reason == "seed 0 oom: 8 GiB were not enough"


def test_different_protocols_are_not_averaged() -> None:
    estimate = row_of(1.0, 2.0, n=(1000, 500)).estimate("kid")
    assert estimate.value is None
    assert "different protocols" in (estimate.reason or "")


def test_targets_of_each_seed_may_differ() -> None:
    records = [
        make_record(PLAN, seed, scores=[make_score("psnr@1", 20.0 + seed, reference=str(seed))])
        for seed in range(2)
    ]
    assert Row(tuple(records)).estimate("psnr").value == 20.5


def test_the_evaluation_extractor_in_training_disqualifies() -> None:
    record = make_record(PLAN, 0)
    assert record.training is not None
    assert Row((record,)).disqualified == ()
    record.training.networks_seen = [EXTRACTOR]
    assert "evaluation extractor" in Row((record,)).disqualified[0]
    record.training.networks_seen, record.claim = [], "claimed"
    assert Row((record,)).disqualified == ("claimed, not verified",)


def test_rows_are_in_order_of_names_and_seeds(records: list[Record]) -> None:
    assert group_rows(records) == group_rows(records[::-1])
    labels = [row.label for row in group_rows(records)]
    assert labels == sorted(labels)
    assert len(labels) == len(PLANS)


def test_a_repeated_seed_is_refused() -> None:
    with pytest.raises(StoreError, match="p@1/a have the same seed"):
        group_rows([make_record(PLAN, 0), make_record(PLAN, 0)])


def test_names_with_and_without_version() -> None:
    row = Row((make_record(PLAN, 0),))
    assert [row.is_named(name) for name in ("p/a", "p@1/a", "p@2/a", "p/b", "a", "")] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


def test_teachers_are_counted_by_replicate() -> None:
    student = replace(PLAN, teacher="t/x")
    rows = group_rows([make_record(student, seed) for seed in range(3)])
    assert rows[0].teachers == {("t/x", "0"), ("t/x", "1")}


def test_facts_are_read_from_records(records: list[Record]) -> None:
    (facts,) = read_facts(records)
    assert (facts.main, facts.margin, facts.higher_is_better) == ("kid@1", 0.05, False)
    other = records[0].model_copy(deep=True)
    other.identity.margin = 0.1
    with pytest.raises(StoreError, match="disagree"):
        read_facts([*records, other])


def test_equal_values_keep_the_interval_of_sampling() -> None:
    def row(*kids: float) -> Row:
        return Row(
            tuple(
                make_record(PLAN, seed, scores=[make_score("kid@1", kid, half=0.1 + 0.01 * seed)])
                for seed, kid in enumerate(kids)
            )
        )

    same = row(0.3, 0.1 + 0.2, 0.3).estimate("kid")
    assert (same.low, same.high) == pytest.approx((0.18, 0.42))
    assert same.n == 3
    differing = row(0.3, 0.3001, 0.3).estimate("kid")
    assert differing.high is not None
    assert differing.high < 0.301
    assert row(0.3, 0.5).sampling_half_width("kid") == pytest.approx(0.105)
    bare = row_of(0.3, 0.3)
    assert (bare.estimate("kid").low, bare.sampling_half_width("kid")) == (None, None)


def of_recipe(recipe: str | None, seed: int, created: str) -> Record:
    record = make_record(PLAN, seed)
    identity = record.identity.model_copy(update={"recipe": recipe})
    return record.model_copy(update={"identity": identity, "created": created})


def test_a_row_keeps_the_recipe_of_its_newest_record() -> None:
    records = [
        of_recipe("new", 0, "2026-01-03T00:00:00Z"),
        of_recipe("old", 0, "2026-01-02T00:00:00Z"),
        of_recipe("new", 1, "2026-01-01T00:00:00Z"),
        of_recipe(None, 2, "2026-01-01T00:00:00Z"),
    ]
    (row,) = group_rows(records)
    assert [(r.identity.recipe, r.identity.train_seed) for r in row.records] == [
        ("new", 0),
        ("new", 1),
    ]
    assert row.marks == ("2 records of other recipes left out",)
    assert group_rows(records[::-1]) == (row,)
    (same,) = group_rows([records[0], records[2]])
    assert same.marks == ()
