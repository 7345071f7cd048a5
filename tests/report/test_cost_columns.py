"""What is said of costs: machine, rounds, whose program, and memory over the runtime."""

from __future__ import annotations

from typing import Any

from report_records import Plan, make_cost, make_record

from kdbench.record import Record
from kdbench.report.columns import Measured
from kdbench.report.cost_columns import cost_columns
from kdbench.report.rows import Row, group_rows

MACHINE = {"cpu": "Processor 9", "device": "cpu", "torch_threads": 1}


def timed(name: str, n: int, details: dict[str, Any]) -> Record:
    costs = [
        make_cost("latency_ms", 2.0, batch=1, unit="ms", n=n, details=details),
        make_cost("peak_memory_mib", 700.0, batch=64, unit="MiB", details=details),
    ]
    return make_record(Plan(f"{name}@1", "x", "student", 4, 0.5, 0), 0, costs=costs).model_copy(
        update={"environment": MACHINE}
    )


def columns_of(*records: Record) -> tuple[tuple[Row, ...], dict[str, Measured]]:
    rows = group_rows(records)
    return rows, {measured.column.key: measured for measured in cost_columns(rows)}


def test_the_note_names_machine_and_rounds() -> None:
    _, columns = columns_of(timed("a", 30, {}), timed("b", 4664, {}))
    note = columns["latency_ms"].note
    assert "Processor 9, device cpu, 1 thread; n = 30 to 4,664 rounds a row." in note
    assert "Processor 9" in columns["peak_memory_mib"].note
    assert "rounds" not in columns["peak_memory_mib"].note


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
