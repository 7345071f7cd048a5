"""Everything that is measured of one generator in one process, in an order that disturbs least."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from kdbench.costs.boundary import EndToEnd, cut, inputs_for
from kdbench.costs.config import Config, config_key, config_of, device_of, mismatches
from kdbench.costs.counts import counts
from kdbench.costs.latency import latency, throughput
from kdbench.costs.memory import peak_memory
from kdbench.costs.ratio import speedup
from kdbench.costs.timing import QUICK, Effort, time_rounds
from kdbench.generators.base import Generator, Inputs
from kdbench.record import Cost
from kdbench.tasks.base import Task

Make = Callable[[], tuple[Generator, Task]]
"""Builds a generator, ready to be called, and its task."""

OUT_OF_MEMORY = "out of memory"
LARGE_BATCH_WARMUP_S = 2.0
"""Cap on warming up beyond batch 1: the memory call and batch 1 have gone the same way before."""


@dataclass(frozen=True)
class Bench:
    """Where and how hard generators are measured."""

    machine: str
    """Hashed identity."""
    threads: int = 1
    effort: Effort = QUICK

    def place(self, make: Make) -> tuple[EndToEnd, Config]:
        """Build a generator, and describe the conditions."""
        generator, task = make()
        config = config_of(generator, machine=self.machine, threads=self.threads)
        return EndToEnd(generator, task, device_of(generator), self.threads), config


def probe(
    make: Make,
    make_against: Make | None = None,
    *,
    bench: Bench,
    batches: tuple[int, ...] = (1, 64),
    against: str | None = None,
) -> list[Cost]:
    """Counts, peak memory, latency and throughput of a generator, and its speed-up on a teacher.

    Memory comes before anything else has grown the process, counting after timing (it loads
    torch's compiler), the teacher after all that is measured of the generator alone. What does
    not fit into memory is a cost without a value and with that reason; the rest is measured.

    Args:
        make: builds the generator.
        make_against: builds the teacher; None measures no speed-up.
        bench: where and how hard.
        batches: images a call; memory is measured at the largest.
        against: label of the teacher's row.
    """
    subject, config = bench.place(make)
    inputs = inputs_for(subject.task, batches)
    steps = [partial(_memory, subject, config, inputs.take(slice(max(batches))))]
    steps += [partial(_latency_and_throughput, subject, config, inputs, bench, b) for b in batches]
    steps += [partial(counts, subject, inputs.take(slice(1)))]
    if make_against is not None:
        steps += [partial(_speedup, subject, config, inputs, bench, make_against, against)]
    return [cost for step in steps for cost in step()]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the host or on a device."""
    # torch's CPU allocator has no error type of its own.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def _memory(subject: EndToEnd, config: Config, inputs: Inputs) -> list[Cost]:
    key = config_key(config, batch=len(inputs), boundary="e2e")
    missing = _missing("peak_memory_mib", "MiB", "peak", key, len(inputs))
    return _attempt(lambda: [peak_memory(subject, inputs, config_key=key)], [missing])


def _latency_and_throughput(
    subject: EndToEnd, config: Config, inputs: Inputs, bench: Bench, batch: int
) -> list[Cost]:
    key = config_key(config, batch=batch, boundary="e2e")
    effort = bench.effort
    if batch > 1:
        effort = replace(effort, warmup_max_s=min(effort.warmup_max_s, LARGE_BATCH_WARMUP_S))

    def measure() -> list[Cost]:
        pool = cut(inputs, batch)
        rounds = time_rounds(subject, pool, effort)
        return [
            latency(subject, rounds, batch=batch, config_key=key),
            throughput(subject, pool, rounds, batch=batch, config_key=key),
        ]

    return _attempt(
        measure,
        [
            _missing("latency_ms", "ms", "median", key, batch),
            _missing("throughput_img_s", "images/s", "total", key, batch),
        ],
    )


def _speedup(
    subject: EndToEnd,
    config: Config,
    inputs: Inputs,
    bench: Bench,
    make_against: Make,
    against: str | None,
) -> list[Cost]:
    key = config_key(config, batch=1, boundary="e2e")

    def measure() -> list[Cost]:
        teacher, other = bench.place(make_against)
        ratio = speedup(
            subject,
            teacher,
            cut(inputs, 1),
            effort=bench.effort,
            config_key=key,
            against=against,
            marks=mismatches(config, other),
        )
        return [ratio]

    missing = _missing("speedup", "x", "median", key, 1)
    return _attempt(measure, [missing.model_copy(update={"against": against})])


def _attempt(measure: Callable[[], list[Cost]], missing: list[Cost]) -> list[Cost]:
    try:
        return measure()
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            return missing
        raise


def _missing(metric: str, unit: str, stat: str, key: str, batch: int) -> Cost:
    return Cost(
        metric=metric,
        unit=unit,
        value=None,
        reason=OUT_OF_MEMORY,
        stat=stat,
        boundary="e2e",
        batch=batch,
        config_key=key,
    )
