"""What a benchmark in someone's tests measures: a registered program, or a generator at hand."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from kdbench.costs.boundary import BOUNDARIES
from kdbench.costs.config import device_of
from kdbench.costs.disturbance import Disturbance
from kdbench.costs.figures import Bench, Found
from kdbench.costs.job import Figure, Job
from kdbench.costs.profiles import Profile, profile_of
from kdbench.costs.run import Outcome, measure_figure
from kdbench.costs.session import Program, Session
from kdbench.costs.variant import parse_variant
from kdbench.costs.watch import watched
from kdbench.environment import describe_machine
from kdbench.errors import BadSpec, NothingMeasured, UnknownName
from kdbench.generators.base import Generator
from kdbench.generators.build import build_generator, load_task
from kdbench.programs import Finder
from kdbench.record import Cost
from kdbench.tasks.base import Task

LATENCY_ALONE = {"batches": (), "memory_batches": (), "cold_starts": 0, "energy": False}
"""What a profile loses in a test: figures that were not asked for, and can take minutes."""


@dataclass(frozen=True, eq=False)
class Timed:
    """What was measured."""

    costs: list[Cost]
    """The latency asked for comes first."""
    rounds_s: list[float]
    """Seconds of each of its rounds."""
    facts: dict[str, Any]
    """What must stand beside the rounds, as plain data."""


@dataclass(frozen=True, eq=False)
class Asked:
    """One measurement, as a test asks for it.

    Raises:
        BadSpec: subject, task and `against` do not go together, or a name is unknown.
    """

    subject: str | Generator
    """`pair/arm`, an exported program's file, or the generator itself."""
    task: str | Task | None
    """Of a generator, or of a file."""
    against: str | Generator | None
    """The teacher of a speed-up, as `subject`."""
    variant: str
    batch: int
    """Images a call; a speed-up is of batch 1 and of e2e whatever is asked."""
    profile: str
    boundary: str

    def __post_init__(self) -> None:
        if self.boundary not in BOUNDARIES:
            known = ", ".join(BOUNDARIES)
            raise UnknownName(f"No boundary {self.boundary!r}; there are {known}.")
        parse_variant(self.variant)
        if isinstance(self.subject, str):
            if not isinstance(self.against, str | None) or isinstance(self.task, Task):
                raise BadSpec("A subject by name stands beside a teacher and a task by name.")
            return
        if self.task is None or isinstance(self.against, str):
            raise BadSpec("A generator at hand needs its task, and a teacher at hand.")
        for given in (self.subject, self.against):
            if given is not None and not isinstance(given, Generator):
                raise BadSpec(f"{type(given).__name__} is no kdbench.Generator: it needs nfe.")

    def draw_once(self) -> None:
        """Draw one batch in this process without a clock: that it runs, and what it returns."""
        generator, task = self._made()
        subject = BOUNDARIES[self.boundary](generator, task, device_of(generator))
        given = subject.prepare(task.inputs(self.batch, split="held-out", replicate=0))
        with torch.inference_mode():
            subject.check(subject(given), self.batch)

    def measure(self) -> Timed:
        """Measure in fresh processes what has a name, and in this one what has not.

        Raises:
            NothingMeasured: there is no time; the message says why.
        """
        profile = profile_of(self.profile)
        if isinstance(self.subject, str):
            costs, rounds_ns = self._named(self.subject, profile)
        else:
            costs, rounds_ns = self._here(profile)
        if costs[0].value is None:
            raise NothingMeasured(f"{self._label}: latency was not measured: {costs[0].reason}")
        return Timed(costs, [ns / 1e9 for ns in rounds_ns], self._facts(costs))

    @property
    def _label(self) -> str:
        return self.subject if isinstance(self.subject, str) else type(self.subject).__name__

    def _made(self) -> tuple[Generator, Task]:
        if isinstance(self.subject, str):
            assert not isinstance(self.task, Task)
            return build_generator(Finder().find(self.subject, task=self.task).build)
        task = load_task(self.task) if isinstance(self.task, str) else self.task
        assert task is not None
        return self.subject, task

    def _named(self, name: str, profile: Profile) -> tuple[list[Cost], list[float]]:
        assert not isinstance(self.task, Task)
        assert isinstance(self.against, str | None)
        finder = Finder()
        program = finder.find(name, task=self.task)
        teacher = finder.find_against(program, self.against or "none")
        session = Session(
            Program(
                build=program.build,
                machine=describe_machine()["machine"],
                against=teacher.build if teacher else None,
                against_label=teacher.label if teacher else None,
                variant=self.variant,
            ),
            profile.model_copy(update={**LATENCY_ALONE, "boundaries": (self.boundary,)}),
            measure=partial(_at_batch, self.batch),
        )
        costs = session.costs()
        return costs, [ns for o in session.rounds for ns in o.series.get(self.boundary, [])]

    def _here(self, profile: Profile) -> tuple[list[Cost], list[float]]:
        with _precision_restored():
            latency = self._figure("latency", self.batch, profile)
            ratio = [] if self.against is None else self._figure("ratio", 1, profile).costs
        costs = [*latency.costs, *ratio]
        return costs, latency.series.get(self.boundary, [])

    def _figure(self, figure: Figure, batch: int, profile: Profile) -> Found:
        """A figure of this process, as a fresh one would measure it."""
        generator, task = self._made()
        job = Job(
            figure=figure,
            build={},
            variant=self.variant,
            batch=batch,
            boundaries=(self.boundary,),
            effort=profile.effort,
            replicate=secrets.randbelow(2**31),  # inputs that no earlier test has seen
            out="",
            threads=torch.get_num_threads(),
            machine=describe_machine()["machine"],
            against_label=None if self.against is None else type(self.against).__name__,
        )
        teacher = self.against
        assert not isinstance(teacher, str)
        bench = Bench(
            job,
            make=lambda: (generator, task),
            make_against=None if teacher is None else lambda: (teacher, task),
            phase=nullcontext,
        )
        on_cuda = device_of(generator).type == "cuda"
        found, disturbance = watched(bench.measure, threads=job.threads, on_cuda=on_cuda)
        found.costs = [_with(cost, disturbance) for cost in found.costs]
        return found

    def _facts(self, costs: list[Cost]) -> dict[str, Any]:
        first = costs[0]
        ratio = next((cost for cost in costs if cost.metric == "speedup"), None)
        return {
            "subject": self._label,
            "variant": parse_variant(self.variant).name,
            "profile": self.profile,
            "boundary": first.boundary,
            "batch": first.batch,
            "median_ms": first.value,
            "interval": first.interval.model_dump(mode="json") if first.interval else None,
            "marks": first.marks,
            "config_key": first.config_key,
            "speedup": ratio.model_dump(mode="json") if ratio else None,
        }


def _with(cost: Cost, disturbance: Disturbance) -> Cost:
    """The cost with what happened around it, and with the mark of this process."""
    if cost.value is None:
        return cost
    return Cost.model_validate(
        {
            **cost.model_dump(),
            "marks": [*cost.marks, *disturbance.marks, "in_process"],
            "details": {**cost.details, **disturbance.details},
        }
    )


def _at_batch(batch: int, job: Mapping[str, Any], **options: Any) -> Outcome:
    """A figure in a fresh process, latencies at the batch that was asked for."""
    at = batch if job["figure"] == "latency" else job["batch"]
    return measure_figure({**job, "batch": at}, **options)


@contextmanager
def _precision_restored() -> Iterator[None]:
    """Variants set whether a process rounds to TF32; that of a test is not ours to change."""
    products, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = cudnn
