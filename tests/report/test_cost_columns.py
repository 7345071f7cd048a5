"""What is said of costs: machine, rounds, whose program, marks, and what stays out of a column."""

from __future__ import annotations

from typing import Any

import pytest
from report_records import Plan, make_cost, make_record

from kdbench.record import Cost, Interval, Record
from kdbench.report.columns import Measured
from kdbench.report.cost_columns import cost_columns, mark_notes
from kdbench.report.facts import TaskFacts
from kdbench.report.leaderboard import make_leaderboard
from kdbench.report.rows import Row, group_rows

MACHINE = {"cpu": "Processor 9", "device": "cpu", "torch_threads": 1}


def record(name: str, *costs: Cost) -> Record:
    plan = Plan(f"{name}@1", "x", "student", 4, 0.5, 0)
    return make_record(plan, 0, costs=list(costs)).model_copy(update={"environment": MACHINE})


def timed(name: str, n: int, details: dict[str, Any]) -> Record:
    return record(
        name,
        make_cost("latency_ms", 2.0, batch=1, unit="ms", n=n, details=details),
        make_cost("peak_memory_mib", 700.0, batch=64, unit="MiB", details=details),
    )


def latency(ms: float, **more: Any) -> Cost:
    return make_cost("latency_ms", ms, batch=1, unit="ms", **more)


def images(value: float | None, batch: int, **more: Any) -> Cost:
    cost = make_cost("throughput_img_s", value or 0, batch=batch, unit="images/s", **more)
    return cost.model_copy(update={"value": value})


def columns_of(*records: Record) -> tuple[tuple[Row, ...], dict[str, Measured]]:
    rows = group_rows(records)
    return rows, {measured.column.key: measured for measured in cost_columns(rows)}


def test_the_note_names_machine_and_rounds() -> None:
    _, columns = columns_of(timed("a", 30, {}), timed("b", 4664, {}))
    note = columns["latency_ms"].note
    assert "Processor 9, device cpu, 1 thread; n = 30 to 4,664 rounds a row." in note
    assert "Processor 9" in columns["peak_memory_mib"].note
    assert "rounds" not in columns["peak_memory_mib"].note


def test_the_note_says_what_the_interval_is() -> None:
    interval = Interval(low=1.9, high=2.1, source="timing", method="range-of-processes")
    (row,), columns = columns_of(record("a", latency(2.0, interval=interval)))
    assert "range over equal processes" in columns["latency_ms"].note
    assert columns["latency_ms"].cell(row).text == "2.00 (1.90 to 2.10)"


def test_a_cost_of_another_rows_program_says_so() -> None:
    (first, second), columns = columns_of(
        timed("a", 30, {"measured_on": "b/x seed 0"}), timed("b", 30, {"measured_on": "b/x seed 0"})
    )
    note = columns["latency_ms"].cell(first).note
    assert note == "measured on b/x seed 0: the same program"
    assert columns["latency_ms"].cell(second).note is None


def test_memory_over_the_runtime_has_a_column_where_it_was_measured() -> None:
    (first, second), columns = columns_of(
        timed("a", 30, {"increment_mib": 5.5}), timed("b", 30, {"increment_mib": None})
    )
    increment = columns["memory_increment_mib"]
    assert increment.cell(first).value == 5.5
    assert (increment.cell(second).value, increment.cell(second).note) == (None, "not recorded")
    assert columns["peak_memory_mib"].cell(second).value == 700.0
    assert "memory_increment_mib" not in columns_of(timed("a", 30, {}))[1]


def test_nothing_measured_has_no_column() -> None:
    assert columns_of(record("a"))[1] == {}
    missing = latency(1.0).model_copy(update={"value": None, "reason": "out of memory"})
    assert columns_of(record("a", missing))[1] == {}
    (_, second), columns = columns_of(record("a", latency(1.0)), record("b", missing))
    assert columns["latency_ms"].cell(second).note == "out of memory"


def test_other_conditions_stay_out_of_every_column() -> None:
    def costs(key: str) -> tuple[Cost, ...]:
        return (
            latency(1.0, config_key=key),
            latency(0.5, boundary="core", config_key=f"{key}-core"),
            images(100.0, 64, config_key=f"{key}-64"),
            images(50.0, 1, config_key=key),
            images(200.0, 128, config_key=f"{key}-128"),
        )

    records = [record(name, *costs("fp32")) for name in ("a", "b")]
    (_, _, other), columns = columns_of(*records, record("c", *costs("bf16")))
    assert set(columns) == {"latency_ms", "core_ms", "throughput_img_s"}
    for column in columns.values():
        assert column.cell(other).note == "measured under other conditions"


def test_a_tie_of_conditions_is_broken_alike_in_all_columns() -> None:
    (first, second), columns = columns_of(
        record("a", latency(1.0, config_key="k"), images(10.0, 64, config_key="z")),
        record("b", latency(2.0, config_key="m"), images(20.0, 64, config_key="y")),
    )
    for column in columns.values():
        assert column.cell(first).value is not None
        assert column.cell(second).value is None


def test_throughput_at_the_largest_shared_batch_and_at_its_peak() -> None:
    out = images(None, 256).model_copy(update={"reason": "out of memory"})
    (first, second), columns = columns_of(
        record("a", latency(1.0), images(10, 1), images(100, 64), images(90, 128), out),
        record("b", latency(1.0), images(20, 1), images(120, 64, marks=["starved"])),
    )
    assert columns["throughput_img_s"].column.title == "images/s, batch 64"
    assert [columns["throughput_img_s"].cell(row).value for row in (first, second)] == [100, 120]
    assert "peak_img_s" not in columns
    (first, second), columns = columns_of(
        record("a", latency(1.0), images(10, 1), images(100, 64), images(190, 128), out),
        record("b", latency(1.0), images(20, 1), images(120, 64, marks=["starved"])),
    )
    peak, batch = columns["peak_img_s"], columns["peak_batch"]
    assert [(peak.cell(r).value, batch.cell(r).value) for r in (first, second)] == [
        (190, 128),
        (120, 64),
    ]
    assert peak.cell(first).note == "out of memory at batch 256"
    assert peak.cell(second).marks == ("starved",)
    assert "own best of up to 3 batches" in peak.note


def test_speed_ups_name_their_teacher() -> None:
    def student(name: str, against: str) -> Record:
        return record(
            name, latency(1.0), make_cost("speedup", 4.0, batch=1, unit="x", against=against)
        )

    teacher = record("t", latency(4.0))
    (_, second, third), columns = columns_of(student("a", "t/x"), student("s", "t/x"), teacher)
    assert columns["speed_up"].column.title == "speed-up against t/x"
    assert columns["speed_up"].cell(second).text == "4.00×"
    assert columns["speed_up"].cell(third).note == "speed-ups are against it"
    (first, *_), columns = columns_of(student("a", "t/x"), student("s", "u/x"), teacher)
    assert columns["speed_up_against"].cell(first).text == "t/x"


def test_a_ratio_that_disagrees_is_marked_in_its_column() -> None:
    student = record("s", latency(1.0), make_cost("speedup", 4.0, batch=1, unit="x", against="t/x"))
    (row, _), columns = columns_of(student, record("t", latency(5.0)))
    cell = columns["speed_up"].cell(row)
    assert (cell.value, cell.marks, cell.note) == (4.0, ("ratio_disagrees",), "ratio_disagrees")


def test_memory_of_a_device_is_told_in_three_ways() -> None:
    details = {
        "kind": "tensors",
        "increment_mib": 3.0,
        "reserved_mib": 22.0,
        "process_mib": 512.0,
    }
    costs = [
        make_cost("peak_memory_mib", value, batch=batch, unit="MiB", details=details)
        for value, batch in ((10.0, 1), (12.34, 64))
    ]
    (row,), columns = columns_of(record("a", *costs))
    assert {key: columns[key].cell(row).text for key in columns} == {
        "peak_memory_mib": "12.3",
        "memory_increment_mib": "3.00",
        "memory_reserved_mib": "22.0",
        "memory_process_mib": "512",
    }
    assert "tensors on the device" in columns["peak_memory_mib"].note
    assert columns["peak_memory_mib"].column.title == "peak memory (MiB), batch 64"


def test_counts_energy_and_cold_start() -> None:
    def bare(metric: str, value: float, **details: Any) -> Cost:
        return make_cost(metric, value, batch=1, unit="", details=details)

    calls = bare("nfe", 4).model_copy(update={"marks": ["nfe_counted:5"]})
    (row,), columns = columns_of(
        record(
            "a",
            bare("parameters", 215_393, bytes=861_572),
            bare("macs", 5.8245e9, counter="a counter"),
            calls,
            bare("energy_j_per_image", 0.51234, method="nvml-counter", net_of_idle=0.3),
            bare("cold_start_s", 2.3456, file="cold_file_attempted"),
        )
    )
    assert {key.partition("@")[0]: columns[key].cell(row).text for key in columns} == {
        "cold_start_s": "2.35",
        "timed_parameters": "215k",
        "parameter_bytes": "862k",
        "macs": "5.82G",
        "energy_j_per_image": "0.512",
        "energy_net_j": "0.300",
    }
    assert columns["macs"].cell(row).marks == ("nfe_counted:5",)
    assert "a counter" in columns["macs"].note
    assert "nvml-counter, idle power included" in columns["energy_j_per_image"].note
    assert "cold_file_attempted" in columns["cold_start_s"].note


def test_each_mark_that_is_shown_is_explained_once() -> None:
    records = [
        record("a", latency(1.0, marks=["noisy", "mismatch:dtype"])),
        record("b", latency(1.0, marks=["noisy", "mismatch:threads", "of-a-later-version"])),
        record("c", images(1.0, 1, marks=["starved"]), images(2.0, 64)),
    ]
    notes = make_leaderboard(group_rows(records), TaskFacts("digits@1", "kid@1", 0.05, False)).notes
    told = [note.partition(":")[0] for note in notes if note.startswith("Mark ")]
    assert told == ["Mark mismatch", "Mark noisy"]
    assert any("Of a row marked mismatch no speed-up is claimed" in note for note in notes)
    assert not any("starved" in note for note in notes)  # its batch is not shown
    assert mark_notes([]) == []


@pytest.mark.parametrize("mark", ["noisy", "unstable", "ratio_disagrees", "output_differs"])
def test_the_words_of_a_mark_are_no_repetition(mark: str) -> None:
    _, told, *_ = mark_notes([mark])
    assert told.startswith(f"Mark {mark}: ")
    assert len(told) > len(mark) + 20
