"""Timing of calls: a settled warm-up, then rounds until the median is known well enough."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle

# Bound here, before the code of any generator is imported and could replace them.
from time import perf_counter_ns, process_time_ns

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdbench.costs.boundary import Boundary, Pool, Prepared
from kdbench.costs.effort import Effort

DEVICE_WARMUP_S = 1.0
"""Least warm-up of a device, whose clocks rise slowly."""
SETTLED = 0.05
"""Largest change of the median of five calls from the five before."""


@dataclass(frozen=True, eq=False)
class Call:
    """One timed call and what it gave."""

    wall_ns: int
    cpu_ns: int
    """CPU time of the process, all its threads."""
    device_ns: int | None
    """Between two events on the device's current stream; None on a CPU."""
    output: Tensor


@dataclass(frozen=True, eq=False)
class Rounds:
    """Durations of calls in their order, and how the warm-up before them went."""

    wall_ns: NDArray[np.int64]
    cpu_ns: NDArray[np.int64]
    device_ns: NDArray[np.int64] | None
    warmup_ns: list[int]
    settled: bool
    unseen: int
    """How many of the first calls were on inputs that no earlier call had."""
    elapsed_ns: int
    """Of the warm-up and all rounds together, by the same clock."""
    kept: tuple[tuple[int, Tensor], ...]
    """The place of the inputs among the timed ones of the pool, and their images."""


def time_call(subject: Boundary, given: Prepared, batch: int) -> Call:
    """One call on a copy of its inputs, device-wide synchronised; checked after the clock.

    The headline is the wall clock: events see one stream only.
    """
    given = subject.copy(given)
    events = _events(subject)
    subject.synchronise()
    cpu = process_time_ns()
    wall = perf_counter_ns()
    if events:
        events[0].record()
    output = subject(given)
    if events:
        events[1].record()
    subject.synchronise()
    wall = perf_counter_ns() - wall
    cpu = process_time_ns() - cpu
    subject.check(output, batch)
    device_ns = round(events[0].elapsed_time(events[1]) * 1e6) if events else None
    return Call(wall, cpu, device_ns, output)


def warm_up(subject: Boundary, pool: Pool, batch: int, effort: Effort) -> tuple[list[int], bool]:
    """Call until durations have settled or the cap is reached.

    Returns:
        Wall times in nanoseconds, and whether they settled.
    """
    durations: list[int] = []
    least_s = max(effort.warmup_min_s, 0.0 if subject.cpu_threads else DEVICE_WARMUP_S)
    for given in cycle(pool.warm):
        durations.append(time_call(subject, given, batch).wall_ns)
        if len(durations) == 1:
            start = perf_counter_ns()  # a first call may compile, which no cap is meant for
        elapsed_s = (perf_counter_ns() - start) / 1e9
        enough = len(durations) >= effort.warmup_calls_min and elapsed_s >= least_s
        if enough and _is_settled(durations):
            return durations, True
        if elapsed_s >= effort.warmup_max_s:
            break
    return durations, False


def time_rounds(
    subject: Boundary, pool: Pool, batch: int, effort: Effort, keep: Collection[int] = ()
) -> Rounds:
    """Warm up, then time calls, each on other inputs than the one before.

    Args:
        subject: at its boundary.
        pool: of inputs prepared by `subject`.
        batch: images a call.
        effort: when to stop.
        keep: numbers of rounds, from 0, whose images are kept; the last round's are, too.
    """
    walls: list[float] = []
    cpus: list[int] = []
    devices: list[int] = []
    kept: dict[int, Tensor] = {}
    begun = perf_counter_ns()
    with measuring():
        warmup, settled = warm_up(subject, pool, batch, effort)
        start = perf_counter_ns()
        for number, given in enumerate(cycle(pool.timed)):
            call = time_call(subject, given, batch)
            walls.append(call.wall_ns)
            cpus.append(call.cpu_ns)
            devices += [call.device_ns] if call.device_ns is not None else []
            done = effort.is_enough(walls, (perf_counter_ns() - start) / 1e9)
            if number in keep or (done and keep):
                kept[number % len(pool.timed)] = call.output.clone()
            if done:
                break
    elapsed = perf_counter_ns() - begun
    return Rounds(
        wall_ns=np.array(walls, dtype=np.int64),
        cpu_ns=np.array(cpus, dtype=np.int64),
        device_ns=np.array(devices, dtype=np.int64) if devices else None,
        warmup_ns=warmup,
        settled=settled,
        unseen=min(len(walls), len(pool.timed)),
        elapsed_ns=elapsed,
        kept=tuple(kept.items()),
    )


@contextmanager
def measuring() -> Iterator[None]:
    """Inference mode, with all that lives now kept out of garbage collections."""
    gc.collect()
    gc.freeze()
    try:
        with torch.inference_mode():
            yield
    finally:
        gc.unfreeze()


def _events(subject: Boundary) -> tuple[torch.cuda.Event, torch.cuda.Event] | None:
    if subject.device.type != "cuda":
        return None
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    return first, last


def _is_settled(durations: list[int]) -> bool:
    if len(durations) < 10:
        return False
    last, before = np.median(durations[-5:]), np.median(durations[-10:-5])
    return bool(abs(last - before) <= SETTLED * before)
