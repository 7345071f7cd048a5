"""One figure of one generator, in the process that was started for it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle

import torch
from torch import Tensor

from kdbench.costs.boundary import (
    BOUNDARIES,
    WARM,
    Boundary,
    EndToEnd,
    Pool,
    Prepared,
    inputs_for,
    pool_of,
)
from kdbench.costs.cold_start import first_images
from kdbench.costs.config import Config, config_key, config_of, device_of, mismatches, network_of
from kdbench.costs.counts import counts
from kdbench.costs.energy import energy, energy_meter, no_energy
from kdbench.costs.job import Figure, Job
from kdbench.costs.latency import latency
from kdbench.costs.memory import peak_memory
from kdbench.costs.missing import missing
from kdbench.costs.nvml import Unreadable
from kdbench.costs.plausible import ceiling
from kdbench.costs.ratio import speedup
from kdbench.costs.sampling import count_sampling
from kdbench.costs.throughput import throughput
from kdbench.costs.timing import measuring, time_rounds
from kdbench.costs.variant import Variant, parse_variant
from kdbench.costs.variants import apply
from kdbench.errors import KdbenchError, NothingMeasured
from kdbench.generators.base import Generator, Inputs, sample
from kdbench.record import Cost
from kdbench.tasks.base import Task

Make = Callable[[], tuple[Generator, Task]]
"""Builds a generator, ready to be called, and its task."""

CHECKED_AT_ONCE = 7
"""Images a call where they are drawn without a clock: a batch that is never timed."""
THROUGHPUT_BATCHES = 9
"""Distinct batches that take turns in a block: one to warm up, eight to time."""


@dataclass(eq=False)
class Found:
    """What a process hands to its parent."""

    costs: list[Cost] = field(default_factory=list)
    series: dict[str, list[float]] = field(default_factory=dict)
    """Rounds in nanoseconds of each boundary, or ratios pair by pair."""
    shown: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    """Images by replicate and number of their input."""
    elapsed_ns: int = 0
    """Of all phases, by the clock that rounds are timed with."""

    def show(self, kept: tuple[tuple[int, Tensor], ...], job: Job, warm: int) -> None:
        """Add images of batches, each at its place after the `warm` first batches of a pool.

        Of a large batch only some, at places that no generator knows.
        """
        for place, images in kept:
            first = (warm + place) * job.batch
            chosen = {number % job.batch for number in job.keep}
            self.shown |= {(job.replicate, first + i): images[i] for i in chosen}


@dataclass(frozen=True, eq=False)
class Bench:
    """A job with what it needs: generators are made here, one at a time."""

    job: Job
    make: Make
    make_against: Make | None
    phase: Callable[[], AbstractContextManager[None]]
    """Around everything that is timed: the parent's clock runs meanwhile."""
    import_s: float = 0.0
    """Seconds that the imports of this process took."""

    def measure(self) -> Found:
        """The figure that the job asks for."""
        measures: dict[Figure, Callable[[], Found]] = {
            "latency": self._latency,
            "ratio": self._ratio,
            "throughput": self._throughput,
            "memory": self._memory,
            "counts": self._counts,
            "cold-start": self._cold_start,
            "energy": self._energy,
        }
        return measures[self.job.figure]()

    def place(self, make: Make) -> Callable[[str], tuple[Boundary, Config]]:
        """Build a generator in the job's variant; give it at a boundary, with its conditions."""
        given, task = make()
        device, variant = device_of(given), parse_variant(self.job.variant)
        generator = apply(given, variant, device)
        config = config_of(
            generator, task, machine=self.job.machine, threads=self.job.threads, variant=variant
        )

        del given  # a varied generator is a copy: two networks on a device are one too many
        if device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()
        most = getattr(generator, "at_once", self.job.batch)
        if most < self.job.batch:
            raise NothingMeasured(f"the program takes {most} at a time")

        def at(boundary: str) -> tuple[Boundary, Config]:
            return BOUNDARIES[boundary](generator, task, device, self.job.threads), config

        return at

    def _latency(self) -> Found:
        found, at = Found(), self.place(self.make)
        for boundary in self.job.boundaries:
            try:
                subject, config = at(boundary)
                pool = self._pool(subject)
            except NothingMeasured as error:
                found.costs.append(
                    missing("latency_ms", str(error), boundary=boundary, batch=self.job.batch)
                )
                continue
            key = config_key(config, batch=self.job.batch, boundary=boundary)
            keep = self.job.keep if boundary == "e2e" else ()
            with self.phase():
                rounds = time_rounds(subject, pool, self.job.batch, self.job.effort, keep)
            found.costs.append(latency(subject, rounds, batch=self.job.batch, config_key=key))
            found.series[boundary] = rounds.wall_ns.tolist()
            found.elapsed_ns += rounds.elapsed_ns
            found.show(rounds.kept, self.job, WARM)
        return found

    def _ratio(self) -> Found:
        assert self.make_against is not None
        student, config = self.place(self.make)("e2e")
        teacher, other = self.place(self.make_against)("e2e")
        pools = self._pool(student), self._pool(teacher)
        with self.phase():
            pairs = speedup(
                student,
                teacher,
                pools,
                effort=self.job.effort,
                config_key=config_key(config, batch=1, boundary="e2e"),
                against=self.job.against_label,
                marks=mismatches(config, other),
            )
        found = Found([pairs.cost], {"ratio": pairs.ratios.tolist()}, elapsed_ns=pairs.elapsed_ns)
        found.show(pairs.kept, self.job, WARM)
        return found

    def _throughput(self) -> Found:
        subject, config = self.place(self.make)("e2e")
        batch = self.job.batch
        inputs = self._inputs(subject.task, THROUGHPUT_BATCHES * batch)
        parts = [
            subject.prepare(inputs.take(slice(i * batch, (i + 1) * batch)))
            for i in range(THROUGHPUT_BATCHES)
        ]
        pool = Pool((parts[0],), tuple(parts[1:]))
        key = config_key(config, batch=batch, boundary="e2e")
        with self.phase():
            block = throughput(subject, pool, self.job.effort, batch=batch, config_key=key)
        found = Found([block.cost], elapsed_ns=block.elapsed_ns)
        found.show(block.kept, self.job, len(pool.warm))
        return found

    def _memory(self) -> Found:
        subject, config = self.place(self.make)("e2e")
        batch = self.job.batch
        inputs = self._inputs(subject.task, batch)
        key = config_key(config, batch=batch, boundary="e2e")
        given = subject.prepare(inputs)
        return Found([peak_memory(subject, given, batch=batch, config_key=key)])

    def _counts(self) -> Found:
        """Counts, the device's rates, and images of the inputs asked for, if they can be drawn."""
        found, subject = Found(), self._at_e2e(self.make)
        one = self._inputs(subject.task, 1)
        found.costs = counts(subject, one, weights=self.job.build.get("weights"))
        rates = ceiling(subject.device, _dtype(subject.generator), self.job.threads)
        details = {"peak_macs_s": rates.macs_per_s, "peak_bytes_s": rates.bytes_per_s}
        if self.make_against is not None:
            teacher = count_sampling(self._at_e2e(self.make_against), one)
            details["teacher_macs"] = float(teacher.macs.total)
        macs = next(cost for cost in found.costs if cost.metric == "macs")
        macs.details |= details
        try:
            found.shown = self._draw()
        except (KdbenchError, MemoryError, RuntimeError) as error:
            print(f"No images without a clock: {error}", file=sys.stderr)  # they stay unchecked
        return found

    def _draw(self) -> dict[tuple[int, int], Tensor]:
        """Images of the inputs asked for, as they are where quality is measured.

        That is in float32, without a clock, and in other batches than those that are timed.
        """
        made, task = self.make()
        generator = apply(made, Variant(), device_of(made))
        found: dict[tuple[int, int], Tensor] = {}
        for replicate in sorted({replicate for replicate, _ in self.job.show}):
            numbers = [number for other, number in self.job.show if other == replicate]
            inputs = task.inputs(max(numbers) + 1, split="held-out", replicate=replicate)
            chunk = getattr(generator, "at_once", CHECKED_AT_ONCE)
            chosen = inputs.take(torch.tensor(numbers))
            images = task.finish(sample(generator, chosen, chunk=min(chunk, CHECKED_AT_ONCE)))
            found |= {(replicate, number): images[i] for i, number in enumerate(numbers)}
        return found

    def _at_e2e(self, make: Make) -> EndToEnd:
        subject, _ = self.place(make)("e2e")
        assert isinstance(subject, EndToEnd)
        return subject

    def _cold_start(self) -> Found:
        place = partial(self.place, self.make)
        found = first_images(
            place,
            batch=self.job.batch,
            replicate=self.job.replicate,
            import_s=self.import_s,
        )
        return Found([found])

    def _energy(self) -> Found:
        subject, config = self.place(self.make)("e2e")
        batch, on_cuda = self.job.batch, subject.device.type == "cuda"
        key = config_key(config, batch=batch, boundary="e2e")
        which = str(torch.cuda.get_device_properties().uuid) if on_cuda else 0
        meter, reason = energy_meter(subject.device.type, which)
        if meter is None:
            return Found([no_energy(str(reason), batch=batch, config_key=key)])
        given = cycle([subject.copy(one) for one in self._pool(subject).timed])
        try:
            with measuring():
                call = partial(_call_next, subject, given)
                cost = energy(call, batch, subject.synchronise, meter, config_key=key)
                subject.check(subject(next(given)), batch)
        except (Unreadable, OSError) as error:  # a counter can be lost on the way
            cost = no_energy(str(error), batch=batch, config_key=key)
        return Found([cost])

    def _pool(self, subject: Boundary) -> Pool:
        inputs = inputs_for(subject.task, self.job.batch, replicate=self.job.replicate)
        return pool_of(subject, inputs, self.job.batch)

    def _inputs(self, task: Task, n: int) -> Inputs:
        return task.inputs(n, split="held-out", replicate=self.job.replicate)


def _call_next(subject: Boundary, given: Iterator[Prepared]) -> None:
    subject(next(given))


def _dtype(generator: Generator) -> torch.dtype:
    """The type of the network's parameters; float32 where there are none."""
    network = network_of(generator)
    weight = None if network is None else next(network.parameters(), None)
    return torch.float32 if weight is None else weight.dtype
