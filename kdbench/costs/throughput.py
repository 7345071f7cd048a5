"""Throughput: images a second over calls in a row, which is not the inverse of a latency."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle, islice
from math import ceil

# Bound here, before the code of any generator is imported and could replace them.
from time import perf_counter_ns, process_time_ns

from torch import Tensor

from kdbench.costs.boundary import Boundary, Pool
from kdbench.costs.effort import Effort
from kdbench.costs.marks import cpu_share, share_marks
from kdbench.costs.timing import measuring, warm_up
from kdbench.record import Cost


@dataclass(frozen=True, eq=False)
class Block:
    """Calls in a row."""

    cost: Cost
    kept: tuple[tuple[int, Tensor], ...]
    """The place of the last call's inputs among the timed ones of the pool, and its images."""
    elapsed_ns: int
    """Of the warm-up and the block together, by the same clock."""


def throughput(
    subject: Boundary, pool: Pool, effort: Effort, *, batch: int, config_key: str
) -> Block:
    """Images over the time of calls in a row, waiting for the device once, at the end.

    Inputs are copied ahead of the clock; the last output is checked after it.
    """
    begun = perf_counter_ns()
    with measuring():
        warmup, settled = warm_up(subject, pool, batch, effort)
        calls = max(1, ceil(effort.block_s * 1e9 / min(warmup)))
        wall_ns, cpu_ns, last = _time_block(subject, pool, calls, batch)
    elapsed = perf_counter_ns() - begun
    share = cpu_share(wall_ns, cpu_ns, subject.cpu_threads)
    cost = Cost(
        metric="throughput_img_s",
        unit="images/s",
        value=calls * batch / wall_ns * 1e9,
        stat="total",
        boundary=subject.name,
        batch=batch,
        n=calls,
        config_key=config_key,
        marks=[
            *share_marks(share, subject.cpu_threads),
            *([] if settled else ["warmup_unsettled"]),
        ],
        details={"cpu_share": share, "seconds": wall_ns / 1e9},
    )
    return Block(cost, (last,), elapsed)


def _time_block(
    subject: Boundary, pool: Pool, calls: int, batch: int
) -> tuple[int, int, tuple[int, Tensor]]:
    """Wall and CPU nanoseconds of calls in a row on inputs that take turns, and the last images."""
    given = [subject.copy(inputs) for inputs in pool.timed]
    subject.synchronise()
    cpu, wall = process_time_ns(), perf_counter_ns()
    for inputs in islice(cycle(given), calls):
        output = subject(inputs)
    subject.synchronise()
    wall, cpu = perf_counter_ns() - wall, process_time_ns() - cpu
    subject.check(output, batch)
    return wall, cpu, ((calls - 1) % len(given), output)
