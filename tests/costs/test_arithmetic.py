"""Times that are too good for the operations that they stand for."""

from __future__ import annotations

from typing import Any

import pytest

from kdbench.costs.arithmetic import check_arithmetic
from kdbench.costs.missing import missing
from kdbench.record import Cost


def cost(
    metric: str, value: float, *, details: dict[str, Any] | None = None, **fields: Any
) -> Cost:
    """A cost with a value."""
    update = {"value": value, "reason": None, "details": details or {}}
    return missing(metric, "", **fields).model_copy(update=update)


def marks(timed: Cost, *, macs: float = 1e9, weight_bytes: float = 0, calls: int = 4) -> list[str]:
    """Marks of a time beside counts of a device with 1e11 MAC/s and 1e10 B/s; teacher 2e9 MACs."""
    rates = {"peak_macs_s": 1e11, "peak_bytes_s": 1e10, "teacher_macs": 2e9}
    counted = [
        cost("parameters", 1, details={"bytes": weight_bytes}),
        cost("macs", macs, details=rates),
        cost("nfe", calls, details={"calls": calls}),
    ]
    return check_arithmetic([timed, *counted])[0].marks


@pytest.mark.parametrize(
    ("boundary", "batch", "honest_ms"), [("e2e", 1, 10), ("e2e", 8, 80), ("core", 1, 2.5)]
)
def test_a_latency_below_what_its_operations_take(
    boundary: str, batch: int, honest_ms: float
) -> None:
    honest = cost("latency_ms", honest_ms, boundary=boundary, batch=batch)
    assert marks(honest) == []
    assert marks(honest.model_copy(update={"value": honest_ms / 2})) == ["implausible"]


def test_a_throughput_above_what_its_operations_allow() -> None:
    assert marks(cost("throughput_img_s", 100, boundary="e2e", batch=64)) == []
    assert marks(cost("throughput_img_s", 200, boundary="e2e", batch=64)) == ["implausible"]


def test_weights_are_read_at_every_call() -> None:
    # 1 GB four times at 10 GB/s is 400 ms; the operations alone would take 10.
    timed = cost("latency_ms", 200, boundary="e2e", batch=1)
    assert marks(timed, weight_bytes=1e9) == ["implausible"]
    assert marks(timed, weight_bytes=1e9, calls=2) == []


def test_a_ratio_above_that_of_the_operations() -> None:
    assert marks(cost("speedup", 2.5, boundary="e2e", batch=1)) == []
    assert marks(cost("speedup", 4, boundary="e2e", batch=1)) == ["faster_than_macs"]


def test_without_a_count_nothing_is_said() -> None:
    timed = cost("latency_ms", 1e-9, boundary="e2e", batch=1)
    assert check_arithmetic([timed]) == [timed]
    assert check_arithmetic([timed, missing("macs", "no operation")])[0].marks == []
