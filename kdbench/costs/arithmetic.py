"""Times beside the operations that they are said to be of: a time can be too good."""

from __future__ import annotations

from collections.abc import Sequence

from kdbench.costs.plausible import Ceiling, check_speedup, plausible_marks
from kdbench.record import Cost


def check_arithmetic(costs: Sequence[Cost]) -> list[Cost]:
    """The costs, with `implausible` and `faster_than_macs` where they are due.

    Args:
        costs: of one program; its `macs` cost holds the rates of the device (`peak_macs_s`,
            `peak_bytes_s`) and, for a ratio, `teacher_macs` in its details.
    """
    by_name = {cost.metric: cost for cost in costs}
    macs, parameters, nfe = (by_name.get(name) for name in ("macs", "parameters", "nfe"))
    if macs is None or not macs.value:
        return list(costs)
    size = _number(parameters, "bytes") or 0.0
    # Guidance in a doubled batch evaluates twice an image and reads its weights once.
    calls = int(_number(nfe, "calls") or 1)
    return [_with(cost, _marks(cost, macs, size, calls)) for cost in costs]


def _marks(cost: Cost, macs: Cost, weight_bytes: float, calls: int) -> list[str]:
    assert macs.value is not None
    teacher = _number(macs, "teacher_macs")
    if cost.metric == "speedup" and cost.value is not None and teacher:
        return check_speedup(cost.value, teacher / macs.value)
    peak_macs, peak_bytes = _number(macs, "peak_macs_s"), _number(macs, "peak_bytes_s")
    ms = _call_ms(cost)
    if ms is None or peak_macs is None or peak_bytes is None:
        return []
    timed = 1 if cost.boundary == "core" else calls  # the core is one of the calls
    work = macs.value * (cost.batch or 1) * timed / calls
    rates = Ceiling(peak_macs, peak_bytes)
    return plausible_marks(ms, work, weight_bytes, rates, evaluations=timed)


def _call_ms(cost: Cost) -> float | None:
    """Milliseconds of one call; None where the cost is not a time."""
    if cost.value is None or cost.batch is None:
        return None
    if cost.metric == "latency_ms":
        return cost.value
    return cost.batch / cost.value * 1e3 if cost.metric == "throughput_img_s" else None


def _number(cost: Cost | None, name: str) -> float | None:
    found = cost.details.get(name) if cost is not None else None
    return float(found) if isinstance(found, int | float) else None


def _with(cost: Cost, marks: list[str]) -> Cost:
    return cost.model_copy(update={"marks": [*cost.marks, *marks]}) if marks else cost
