"""The jobs of a plan: all arms of one pair and seed, in an order that respects what they need."""

from __future__ import annotations

from dataclasses import dataclass

from kdbench import registry
from kdbench.plan import Plan
from kdbench.spec import Run


@dataclass(frozen=True)
class Job:
    """One unit of work for a worker; `runs` is empty where only the network is needed."""

    pair: str
    seed: int
    runs: tuple[Run, ...]
    needs: frozenset[tuple[str, int]]
    expected_seconds: float

    @property
    def id(self) -> tuple[str, int]:
        """Pair and seed."""
        return self.pair, self.seed

    @property
    def label(self) -> str:
        """As progress lines name it."""
        return f"{self.pair} seed {self.seed}"


def make_jobs(plan: Plan) -> list[Job]:
    """Group a plan's runs into jobs and add those that only make a needed network."""
    runs: dict[tuple[str, int], list[Run]] = {}
    for run in plan.runs:
        runs.setdefault((run.pair, run.seed), []).append(run)
    waiting = list(runs)
    jobs: dict[tuple[str, int], Job] = {}
    while waiting:
        name, seed = waiting.pop()
        if (name, seed) in jobs:
            continue
        pair = registry.pairs.load(name)
        own = tuple(runs.get((name, seed), ()))
        needs = {need for run in own for need in run.needs} or set(pair.prerequisites)
        jobs[name, seed] = Job(
            name, seed, own, frozenset((need, seed) for need in needs), pair.expected_seconds
        )
        waiting.extend((need, seed) for need in needs)
    return _longest_chain_first(jobs)


def _longest_chain_first(jobs: dict[tuple[str, int], Job]) -> list[Job]:
    """Jobs by the seconds that depend on their end, the most first."""
    after: dict[tuple[str, int], list[Job]] = {}
    for job in jobs.values():
        for need in job.needs:
            after.setdefault(need, []).append(job)

    def remaining(job: Job) -> float:
        return job.expected_seconds + max(map(remaining, after.get(job.id, [])), default=0.0)

    return sorted(jobs.values(), key=lambda job: (-remaining(job), job.id))
