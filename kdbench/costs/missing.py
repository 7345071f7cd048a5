"""Costs that are not there: what kept them from being measured stands in their place."""

from __future__ import annotations

from kdbench.record import Cost
from kdbench.spec import content_key

OUT_OF_MEMORY = "out of memory"

_FAILURES = ("failed: ", "timeout: ")
_UNITS = {
    "latency_ms": ("ms", "median"),
    "throughput_img_s": ("images/s", "total"),
    "peak_memory_mib": ("MiB", "peak"),
    "speedup": ("x", "median"),
    "parameters": ("parameters", "count"),
    "macs": ("MAC/image", "count"),
    "nfe": ("evaluations/image", "count"),
    "cold_start_s": ("s", "median"),
    "energy_j_per_image": ("J/image", "median"),
}
FIGURES: dict[str, tuple[str, ...]] = {
    "latency": ("latency_ms",),
    "ratio": ("speedup",),
    "throughput": ("throughput_img_s",),
    "memory": ("peak_memory_mib",),
    "counts": ("parameters", "macs", "nfe"),
    "cold-start": ("cold_start_s",),
    "energy": ("energy_j_per_image",),
}
"""The costs that each figure gives."""


def is_failure(cost: Cost) -> bool:
    """Whether a figure's process went wrong or was stopped.

    Memory that ran out, and a figure that the generator does not have, are results.
    """
    return cost.value is None and (cost.reason or "").startswith(_FAILURES)


def missing(
    metric: str,
    reason: str,
    *,
    boundary: str | None = None,
    batch: int | None = None,
    against: str | None = None,
    config_key: str | None = None,
) -> Cost:
    """A cost without a value.

    >>> missing("latency_ms", "out of memory", boundary="e2e", batch=64).value is None
    True
    """
    unit, stat = _UNITS[metric]
    return Cost(
        metric=metric,
        unit=unit,
        value=None,
        reason=reason,
        stat=stat,
        boundary=boundary,
        batch=batch,
        against=against,
        config_key=config_key or content_key({}),
    )
