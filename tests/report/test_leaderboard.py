"""Groups, columns, marks and the one thing that may be bold."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest
from report_records import PLANS, Plan, make_record, make_score

from kdbench.record import Record
from kdbench.report.facts import TaskFacts
from kdbench.report.leader import find_leader
from kdbench.report.leaderboard import Leaderboard, make_leaderboard
from kdbench.report.rows import Row, group_rows
from kdbench.report.table import Cell

FACTS = TaskFacts("digits@1", "kid@1", 0.05, False)


@pytest.fixture(scope="module")
def board(rows: tuple[Row, ...], facts: TaskFacts) -> Leaderboard:
    """The leaderboard of the made-up suite."""
    return make_leaderboard(rows, facts)


def cells(board: Leaderboard, label: str) -> dict[str, Cell]:
    """The cells of one row by column."""
    row = next(row for row in board.table.rows if row[1].text == label)
    return {c.key: cell for c, cell in zip(board.table.columns, row, strict=True)}


def made(name: str, kid: float, *, role: str = "student", **changes: object) -> list[Record]:
    """Three seeds of one row at 4 calls with little noise, the same on both splits."""
    plan = replace(Plan(f"{name}@1", "x", role, 4, kid, 0), **changes)  # type: ignore[arg-type]
    noise = 0.01 * np.random.default_rng(zlib.crc32(name.encode())).standard_normal(3)
    return [
        make_record(
            plan,
            seed,
            scores=[
                make_score("kid@1", kid + one, split=split) for split in ("held-out", "validation")
            ],
        )
        for seed, one in enumerate(noise.tolist())
    ]


def strong(records: list[Record]) -> list[str]:
    """The labels of the rows that are bold."""
    table = make_leaderboard(group_rows(records), FACTS).table
    return [row[1].text for row in table.rows if any(cell.strong for cell in row)]


def test_groups_follow_the_number_of_calls(board: Leaderboard) -> None:
    titles = [group.title for group in board.table.groups]
    assert titles == ["Teachers", "1 call", "2 calls", "4 calls", "31 calls", "Marks"]
    roles = [row[0].text for row in board.table.groups[1].rows]
    assert roles == ["student", "student", "student", "scratch", "few-step"]
    marks = [row[0].text for row in board.table.groups[-1].rows]
    assert marks == ["trivial", "floor"]
    first = board.table.groups[0].rows[0]
    assert first[1].text == "edm-teacher@1/heun-16"
    assert "reference" in (first[1].note or "")


def test_every_row_stands_in_the_table_once(board: Leaderboard) -> None:
    labels = [row[1].text for row in board.table.rows]
    assert sorted(labels) == sorted(f"{plan.pair}/{plan.arm}" for plan in PLANS)


def test_columns_that_no_record_has_are_left_out(board: Leaderboard) -> None:
    keys = [column.key for column in board.table.columns]
    assert keys.index("kid@1") < keys.index("fd@1") < keys.index("precision@1")
    assert "psnr@1" in keys
    assert "density@1" not in keys
    titles = {column.key: column.title for column in board.table.columns}
    assert titles["fd@1"] == "FD[digits-cnn@1] (n = 1,000) ↓"
    assert titles["psnr@1"] == "PSNR to teacher (dB) ↑"


def test_a_diverged_seed_stays_visible(board: Leaderboard) -> None:
    row = cells(board, "progressive@1/two")
    assert row["seeds"].text == "2/3"
    assert row["kid@1"].n == 2
    assert row["row"].note == "seed 2 diverged: loss not finite at step 812"


def test_missing_cells_have_a_dash_and_a_reason(board: Leaderboard) -> None:
    row = cells(board, "luhman@1/one")
    assert row["recall@1"].note == "seed 1 has no value: fewer than 500 distinct images"
    assert row["recall@1"].n == 2
    for one in board.table.rows:
        for cell in one:
            assert cell.text
            assert cell.text != "—" or cell.note
    assert cells(board, "real@1/train")["latency_ms"].value is None


def test_another_protocol_is_marked(records: list[Record], facts: TaskFacts) -> None:
    copies = [record.model_copy(deep=True) for record in records]
    for record in copies:
        if record.identity.pair == "sid@1":
            for score in record.scores:
                score.n = 500
    row = cells(make_leaderboard(group_rows(copies), facts), "sid@1/one")
    assert "not to be ranked: n = 500" in (row["kid@1"].note or "")


def test_notes_name_conditions_teachers_and_floor(board: Leaderboard) -> None:
    notes = "\n".join(board.notes)
    assert "n = 1,000 generated against 600 reference images, extractor digits-cnn@1" in notes
    assert "2 of edm-teacher/heun-16" in notes
    assert "Floor (real@1/train): 0.239 ± 0.030." in notes


def test_only_what_is_separated_is_bold() -> None:
    teacher = made("teacher", 0.2, role="teacher", reference=True, nfe=31)
    scratch = made("scratch", 2.0, role="scratch")
    best, near, far = made("best", 0.5), made("near", 0.505), made("far", 0.9)
    assert strong([*teacher, *scratch, *best, *far]) == ["best@1/x"]
    assert strong([*teacher, *scratch, *best, *near, *far]) == []


def test_nothing_is_bold_without_headroom_or_anchor() -> None:
    scratch, best = made("scratch", 2.0, role="scratch"), made("best", 0.5)
    near = made("teacher", 1.97, role="teacher", reference=True, nfe=31)
    far = made("teacher", 0.2, role="teacher", reference=True, nfe=31)
    assert strong([*near, *scratch, *best]) == []
    assert strong([*far, *made("other", 2.0), *best]) == []
    assert strong([*far, *scratch, *best]) == ["best@1/x"]


def test_an_unfinished_row_leaves_its_group_unranked() -> None:
    best, other = made("best", 0.5), made("other", 0.9)
    assert find_leader(group_rows([*best, *other]), FACTS) is not None
    other[2] = make_record(PLANS[0], 2, status="diverged").model_copy(
        update={"identity": other[2].identity}
    )
    assert find_leader(group_rows([*best, *other]), FACTS) is None


def test_a_disqualified_row_is_passed_over() -> None:
    best, other, third = made("best", 0.5), made("other", 0.9), made("third", 1.5)
    for record in best:
        record.claim = "claimed"
    leader = find_leader(group_rows([*best, *other, *third]), FACTS)
    assert leader is not None
    assert leader.label == "other@1/x"


def test_the_direction_of_the_metric_decides() -> None:
    rows = group_rows([*made("low", 0.5), *made("high", 0.9)])
    upward = find_leader(rows, replace(FACTS, higher_is_better=True))
    assert upward is not None
    assert upward.label == "high@1/x"


def test_notes_give_the_interval_of_one_run(board: Leaderboard) -> None:
    notes = "\n".join(board.notes)
    assert "conditional on the one held-out reference set" in notes
    assert "One run's own interval of KID" in notes
    assert "about ± 0.030 (median over rows)" in notes
    assert "One run's own" not in "\n".join(
        make_leaderboard(group_rows(made("bare", 0.5)), FACTS).notes
    )


def test_what_each_row_used() -> None:
    records = made("s", 0.5)
    for seed, record in enumerate(records):
        assert record.training is not None
        record.training.uses = ["real images", "teacher outputs"] if seed else ["real images"]
        record.training.images_seen = 1000 * (seed + 1)
        record.identity.tuning_trials = 4
    published = made("t", 0.4, role="teacher")
    for record in published:
        record.training, record.identity.origin = None, "published"
    board = make_leaderboard(group_rows([*records, *published]), FACTS)
    assert board.used is not None
    row = cells(board, "s@1/x")
    assert row["uses"].text == "real images, teacher outputs"
    assert (row["images_seen"].value, row["tuning_trials"].value) == (2000, 4)
    assert row["teacher_nfe"].text == "0"
    teacher = cells(board, "t@1/x")
    for column in board.used.columns[3:]:
        assert teacher[column.key].note == "published weights: training not repeated"
    assert make_leaderboard(group_rows(published), FACTS).used is None
