"""Throughput: images a second over calls in a row, which is not the inverse of a latency."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle, islice
from math import ceil

# Bound here, before the code of any generator is imported and could replace them.
from time import perf_counter_ns, process_time_ns

import numpy as np
from torch import Tensor

from kdbench.costs.boundary import Boundary, Pool, Prepared
from kdbench.costs.effort import Effort
from kdbench.costs.marks import REPLAYED, cpu_share, share_marks, spread_marks
from kdbench.costs.order import timing_interval
from kdbench.costs.timing import measuring, warm_up
from kdbench.record import Cost

BLOCKS = 6
"""The fewest whose extremes are a 95 % interval of their median."""


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
    """Images over the time of calls in a row, waiting for the device at the end of each block.

    The median of six blocks, whose extremes are its 95 % interval. Inputs are copied ahead of the
    clock and take turns. A first pass over them, in two halves, tells how many calls a block takes,
    and what a call on inputs that were never seen takes. The last output is checked after the
    clock.
    """
    begun = perf_counter_ns()
    given = [subject.copy(inputs) for inputs in pool.timed]
    with measuring():
        _, settled = warm_up(subject, pool, batch, effort)
        half = len(given) // 2
        passes = [
            _time_calls(subject, part, half, batch).wall_ns / half
            for part in (given[:half], given[half:])
        ]
        unseen_ns = min(passes)  # of the two, the one that nothing held up
        calls = max(1, ceil(effort.block_s * 1e9 / BLOCKS / unseen_ns))
        blocks = [_time_calls(subject, given, calls, batch) for _ in range(BLOCKS)]
    elapsed = perf_counter_ns() - begun
    walls = [block.wall_ns for block in blocks]
    rates = [calls * batch / wall * 1e9 for wall in walls]
    share = cpu_share(walls, [block.cpu_ns for block in blocks], subject.cpu_threads)
    replayed = unseen_ns > REPLAYED * float(np.median(walls)) / calls
    cost = Cost(
        metric="throughput_img_s",
        unit="images/s",
        value=float(np.median(rates)),
        stat="median",
        boundary=subject.name,
        batch=batch,
        interval=timing_interval(rates),
        n=BLOCKS,
        config_key=config_key,
        marks=[
            *spread_marks(walls),
            *share_marks(share, subject.cpu_threads),
            *(["replayed"] if replayed else []),
            *([] if settled else ["warmup_unsettled"]),
        ],
        details={"cpu_share": share, "seconds": sum(walls) / 1e9, "calls_a_block": float(calls)},
    )
    return Block(cost, (blocks[-1].last,), elapsed)


@dataclass(frozen=True, eq=False)
class _Calls:
    wall_ns: int
    cpu_ns: int
    last: tuple[int, Tensor]
    """The place of the last inputs, and what was made of them."""


def _time_calls(subject: Boundary, given: list[Prepared], calls: int, batch: int) -> _Calls:
    """Calls on inputs that take turns, with one wait for the device, at the end."""
    subject.synchronise()
    cpu, wall = process_time_ns(), perf_counter_ns()
    for inputs in islice(cycle(given), calls):
        output = subject(inputs)
    subject.synchronise()
    wall, cpu = perf_counter_ns() - wall, process_time_ns() - cpu
    subject.check(output, batch)
    return _Calls(wall, cpu, ((calls - 1) % len(given), output))
