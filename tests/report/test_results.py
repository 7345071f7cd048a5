"""Records as a long table."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_records import PLANS, make_record

from kdbench.errors import StoreError
from kdbench.record import Record
from kdbench.report.results import COLUMNS, load_results, tabulate_records
from kdbench.store import Store


def test_one_row_for_each_score_and_cost(records: list[Record]) -> None:
    frame = tabulate_records(records)
    assert list(frame.columns) == list(COLUMNS)
    expected = sum(max(1, len(r.scores) + len(r.costs)) for r in records)
    assert len(frame) == expected
    timed = frame[frame.quantity == "cost"]
    assert timed.config_key.tolist() == [c.config_key for r in records for c in r.costs]
    kid = frame[(frame.metric == "kid@1") & (frame.split == "held-out")]
    held_out = [s.value for r in records if (s := r.score("kid@1"))]
    assert kid.value.tolist() == held_out
    assert kid.groupby(["pair", "arm"]).ngroups == len(PLANS)


def test_failures_and_missing_values_keep_their_reasons(records: list[Record]) -> None:
    frame = tabulate_records(records)
    diverged = frame[frame.status == "diverged"]
    assert diverged.quantity.tolist() == ["none"]
    assert diverged.reason.tolist() == ["loss not finite at step 812"]
    lost = frame[(frame.metric == "recall@1") & frame.value.isna()]
    assert lost.reason.tolist() == ["fewer than 500 distinct images"]


def test_a_store_is_read_from_its_root_or_its_records(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for seed in range(2):
        store.put_record(make_record(PLANS[0], seed))
    whole = load_results(tmp_path)
    assert sorted(set(whole.train_seed)) == [0, 1]
    assert load_results(str(tmp_path / "records")).equals(whole)


def test_a_missing_folder_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There is no folder"):
        load_results(tmp_path / "nothing")
    assert load_results(tmp_path).empty
