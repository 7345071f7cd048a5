"""Throughput: images a second over calls in a row, which is not the inverse of a latency."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle, islice
from math import ceil

# Bound here, before the code of any generator is imported and could replace them.
from time import perf_counter_ns, process_time_ns

from torch import Tensor

from kdbench.costs.boundary import Boundary, Pool, Prepared
from kdbench.costs.effort import Effort
from kdbench.costs.marks import REPLAYED, cpu_share, share_marks
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

    Inputs are copied ahead of the clock and take turns. A first pass over them tells how many calls
    a block takes, and what a call on inputs that were never seen takes. The last output is checked
    after the clock.
    """
    begun = perf_counter_ns()
    given = [subject.copy(inputs) for inputs in pool.timed]
    with measuring():
        _, settled = warm_up(subject, pool, batch, effort)
        first = _time_calls(subject, given, len(given), batch)
        calls = max(1, ceil(effort.block_s * 1e9 / first.wall_ns * len(given)))
        block = _time_calls(subject, given, calls, batch)
    elapsed = perf_counter_ns() - begun
    wall_ns, cpu_ns = block.wall_ns, block.cpu_ns
    seen_ns, unseen_ns = wall_ns / calls, first.wall_ns / len(given)
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
            *(["replayed"] if unseen_ns > REPLAYED * seen_ns else []),
            *([] if settled else ["warmup_unsettled"]),
        ],
        details={"cpu_share": share, "seconds": wall_ns / 1e9},
    )
    return Block(cost, (block.last,), elapsed)


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
