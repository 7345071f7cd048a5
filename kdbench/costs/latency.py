"""Latency: the median time of a call at one boundary."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kdbench.costs.boundary import Boundary
from kdbench.costs.marks import (
    cpu_share,
    host_bound_marks,
    replay_marks,
    share_marks,
    spread_marks,
)
from kdbench.costs.order import half_width, timing_interval
from kdbench.costs.timing import Rounds
from kdbench.record import Cost

P99_ROUNDS = 100
"""Rounds below which a 99th percentile is not given."""


def latency(subject: Boundary, rounds: Rounds, *, batch: int, config_key: str) -> Cost:
    """Median milliseconds of a call, from its timed rounds.

    `cpu_ms` in the details is the CPU time of a call: not a latency, but all that can be said of
    one on a core that others use too. On a device `device_ms` is the time between events on its
    stream, and `host_bound` the share of the wall time that lies outside of them.
    """
    ms = rounds.wall_ns / 1e6
    share = cpu_share(rounds.wall_ns, rounds.cpu_ns, subject.cpu_threads)
    device_ms = None if rounds.device_ns is None else float(np.median(rounds.device_ns)) / 1e6
    host_bound = None if device_ms is None else 1 - device_ms / float(np.median(ms))
    return Cost(
        metric="latency_ms",
        unit="ms",
        value=float(np.median(ms)),
        stat="median",
        boundary=subject.name,
        batch=batch,
        interval=timing_interval(ms),
        n=len(ms),
        config_key=config_key,
        marks=[
            *spread_marks(ms),
            *share_marks(share, subject.cpu_threads),
            *replay_marks(ms, unseen=rounds.unseen),
            *host_bound_marks(host_bound),
            *([] if rounds.settled else ["warmup_unsettled"]),
        ],
        details={
            **_percentiles(ms),
            "half_width": half_width(ms),
            "cpu_ms": float(np.median(rounds.cpu_ns)) / 1e6,
            "cpu_share": share,
            "device_ms": device_ms,
            "host_bound": host_bound,
            "warmup_calls": len(rounds.warmup_ns),
            "warmup_first_ms": rounds.warmup_ns[0] / 1e6,
        },
    )


def _percentiles(ms: NDArray[np.float64]) -> dict[str, float | None]:
    p10, p90, p99 = (float(p) for p in np.percentile(ms, [10, 90, 99]))
    return {
        "p10": p10,
        "p90": p90,
        "p99": p99 if len(ms) >= P99_ROUNDS else None,
        "min": float(ms.min()),
    }
