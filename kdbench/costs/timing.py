"""Timing of calls: a settled warm-up, then rounds until the median is known well enough."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle

# Bound here, before the code of any generator is imported and could replace them.
from time import perf_counter_ns, process_time_ns

import numpy as np
import torch
from numpy.typing import NDArray

from kdbench.costs.boundary import EndToEnd, Pool
from kdbench.costs.order import half_width
from kdbench.generators.base import Inputs

SETTLED = 0.05
"""Largest change of the median of five calls from the five before."""


@dataclass(frozen=True)
class Effort:
    """When warming up and when measuring ends; a cap in seconds ends either whatever the rest."""

    warmup_calls_min: int = 3
    warmup_min_s: float = 0.3
    warmup_max_s: float = 5.0
    rounds_min: int = 30
    rounds_max: int = 300
    measure_min_s: float = 0.5
    measure_max_s: float = 3.0
    half_width: float = 0.01
    """Reached half-width of the median's 95 % interval, as a share of the median."""

    def is_enough(self, values: list[float], elapsed_s: float) -> bool:
        """Whether rounds with these values, taken in this time, can end."""
        if elapsed_s >= self.measure_max_s:
            return True
        if len(values) < self.rounds_min or elapsed_s < self.measure_min_s:
            return False
        width = half_width(values)
        return len(values) >= self.rounds_max or (width is not None and width <= self.half_width)


QUICK = Effort(warmup_max_s=2.0, measure_max_s=2.0)
"""Some seconds a generator: about 1 % on a quiet machine."""


@dataclass(frozen=True, eq=False)
class Rounds:
    """Durations of calls in their order, and how the warm-up before them went."""

    wall_ns: NDArray[np.int64]
    cpu_ns: NDArray[np.int64]
    """CPU time of the process, all its threads."""
    warmup_ns: list[int]
    settled: bool
    unseen: int
    """How many of the first calls were on inputs that no earlier call had."""


def time_call(subject: EndToEnd, inputs: Inputs) -> tuple[int, int]:
    """Wall and CPU time of one call in nanoseconds; its output is checked after the clock."""
    subject.synchronise()
    cpu = process_time_ns()
    wall = perf_counter_ns()
    images = subject(inputs)
    subject.synchronise()
    wall = perf_counter_ns() - wall
    cpu = process_time_ns() - cpu
    subject.check(images, len(inputs))
    return wall, cpu


def warm_up(subject: EndToEnd, pool: Pool, effort: Effort) -> tuple[list[int], bool]:
    """Call until durations have settled or the cap is reached.

    Returns:
        Wall times in nanoseconds, and whether they settled.
    """
    durations: list[int] = []
    start = perf_counter_ns()
    for inputs in cycle(pool.warm):
        durations.append(time_call(subject, inputs)[0])
        elapsed_s = (perf_counter_ns() - start) / 1e9
        enough = len(durations) >= effort.warmup_calls_min and elapsed_s >= effort.warmup_min_s
        if enough and _is_settled(durations):
            return durations, True
        if elapsed_s >= effort.warmup_max_s:
            break
    return durations, False


def time_rounds(subject: EndToEnd, pool: Pool, effort: Effort) -> Rounds:
    """Warm up, then time calls, each on other inputs than the one before."""
    walls: list[float] = []
    cpus: list[int] = []
    with measuring():
        warmup, settled = warm_up(subject, pool, effort)
        start = perf_counter_ns()
        for inputs in cycle(pool.timed):
            wall, cpu = time_call(subject, inputs)
            walls.append(wall)
            cpus.append(cpu)
            if effort.is_enough(walls, (perf_counter_ns() - start) / 1e9):
                break
    return Rounds(
        wall_ns=np.array(walls, dtype=np.int64),
        cpu_ns=np.array(cpus),
        warmup_ns=warmup,
        settled=settled,
        unseen=min(len(walls), len(pool.timed)),
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


def _is_settled(durations: list[int]) -> bool:
    if len(durations) < 10:
        return False
    last, before = np.median(durations[-5:]), np.median(durations[-10:-5])
    return bool(abs(last - before) <= SETTLED * before)
