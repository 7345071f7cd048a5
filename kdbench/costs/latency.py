"""Latency of a call and throughput of calls in a row, at the boundary `e2e`."""

from __future__ import annotations

from itertools import cycle, islice
from math import ceil
from time import perf_counter_ns, process_time_ns

import numpy as np

from kdbench.costs.boundary import EndToEnd, Pool
from kdbench.costs.marks import cpu_share, replay_marks, share_marks, spread_marks
from kdbench.costs.order import LEVEL, half_width, median_interval
from kdbench.costs.timing import Rounds, measuring
from kdbench.record import Cost, Interval

BLOCK_S = 0.5
"""Shortest time over which throughput is measured."""
P99_ROUNDS = 100
"""Rounds below which a 99th percentile is not given."""


def latency(subject: EndToEnd, rounds: Rounds, *, batch: int, config_key: str) -> Cost:
    """Median milliseconds of a call, from its timed rounds.

    `cpu_ms` in the details is the CPU time of a call: not a latency, but all that can be said of
    one on a core that others use too.
    """
    ms = rounds.wall_ns / 1e6
    share = cpu_share(rounds.wall_ns, rounds.cpu_ns, subject.cpu_threads)
    unsettled = [] if rounds.settled else ["warmup_unsettled"]
    p10, p90, p99 = (float(p) for p in np.percentile(ms, [10, 90, 99]))
    interval = median_interval(ms)
    return Cost(
        metric="latency_ms",
        unit="ms",
        value=float(np.median(ms)),
        stat="median",
        boundary="e2e",
        batch=batch,
        interval=None
        if interval is None
        else Interval(
            level=LEVEL,
            low=interval[0],
            high=interval[1],
            source="timing",
            method="order-statistic",
        ),
        n=len(ms),
        config_key=config_key,
        marks=[
            *spread_marks(ms),
            *share_marks(share, subject.cpu_threads),
            *replay_marks(ms, unseen=rounds.unseen),
            *unsettled,
        ],
        details={
            "p10": p10,
            "p90": p90,
            "p99": p99 if len(ms) >= P99_ROUNDS else None,
            "min": float(ms.min()),
            "half_width": half_width(ms),
            "cpu_ms": float(np.median(rounds.cpu_ns)) / 1e6,
            "cpu_share": share,
            "warmup_calls": len(rounds.warmup_ns),
            "warmup_first_ms": rounds.warmup_ns[0] / 1e6,
        },
    )


def throughput(
    subject: EndToEnd, pool: Pool, rounds: Rounds, *, batch: int, config_key: str
) -> Cost:
    """Images a second over calls in a row, waiting for the device once, at the end.

    Where one call alone lasts as long as a block, the timed rounds already are such blocks, and
    their median is taken instead of one call more.
    """
    wall_ns, cpu_ns = float(np.median(rounds.wall_ns)), float(np.median(rounds.cpu_ns))
    calls = ceil(BLOCK_S * 1e9 / wall_ns)
    if calls > 1:
        wall_ns, cpu_ns = _time_block(subject, pool, calls)
    share = cpu_share(wall_ns, cpu_ns, subject.cpu_threads)
    return Cost(
        metric="throughput_img_s",
        unit="images/s",
        value=calls * batch / wall_ns * 1e9,
        stat="total",
        boundary="e2e",
        batch=batch,
        n=calls,
        config_key=config_key,
        marks=[
            *share_marks(share, subject.cpu_threads),
            *replay_marks(rounds.wall_ns, unseen=rounds.unseen),
        ],
        details={"cpu_share": share},
    )


def _time_block(subject: EndToEnd, pool: Pool, calls: int) -> tuple[float, float]:
    """Wall and CPU nanoseconds of calls in a row; the last output is checked after the clock."""
    with measuring():
        subject.synchronise()
        cpu, wall = process_time_ns(), perf_counter_ns()
        for inputs in islice(cycle(pool.timed), calls):
            images = subject(inputs)
        subject.synchronise()
        wall, cpu = perf_counter_ns() - wall, process_time_ns() - cpu
        subject.check(images, len(inputs))
    return wall, cpu
