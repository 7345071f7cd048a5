"""The verb `run` as a function: plan, train and measure side by side, then costs, then report."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kdbench import registry
from kdbench.costing import add_costs
from kdbench.costs.profiles import BRIEF, Profile, profile_of
from kdbench.engines.jobs import Job, make_jobs
from kdbench.engines.local import Setting, run_jobs
from kdbench.environment import own_command
from kdbench.plan import Plan, planned
from kdbench.record import Record
from kdbench.report.write import write_report
from kdbench.store import Store

WORKERS = 2


class Watcher(Protocol):
    """Told of what happens, so that a screen can show it."""

    def jobs(self, jobs: list[Job]) -> None:
        """All jobs, before the first begins."""

    def event(self, job: Job, event: dict[str, Any]) -> None:
        """Something happened to a job."""

    def cost(self, label: str, done: int, total: int) -> None:
        """Costs of a program are about to be measured."""


@dataclass
class Result:
    """What a run left behind."""

    plan: Plan
    outcomes: list[dict[str, Any]]
    errors: list[tuple[str, int]]
    """Messages of what could not be done, with their exit codes."""
    records: list[Record] = field(default_factory=list)
    """All records of the plan's rows, earlier seeds included."""
    wrote: list[Path] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0, or the first that applies of 2 (usage) and 4 (failed, diverged or not measured)."""
        codes = {code for _, code in self.errors}
        if any(outcome["status"] != "ok" for outcome in self.outcomes) or not self.outcomes:
            codes.add(4)
        return next((code for code in (2, 1, 4) if code in codes), 0)


def cost_profile(plan: Plan, asked: str | None) -> Profile | None:
    """How thoroughly costs are measured; None where they are not.

    Raises:
        UnknownName: there is no such profile.
    """
    name = asked or (plan.suite.costs if plan.suite else BRIEF.name)
    return None if name == "none" else profile_of(name)


def run(
    plan: Plan,
    *,
    out: Path,
    watcher: Watcher,
    device: str = "cpu",
    workers: int = WORKERS,
    retrain: bool = False,
    retry: bool = False,
    costs: str | None = None,
) -> Result:
    """Bring the output folder to what the plan asks for, and write the report.

    Finished work is taken as it is; a training in progress goes on from its last checkpoint.

    Args:
        plan: what is to be there afterwards.
        out: the output folder.
        watcher: told of all that happens.
        device: `cpu` or `cuda`.
        workers: trainings side by side, one torch thread each.
        retrain: make networks again that are published.
        retry: try failed and diverged runs again.
        costs: name of a profile, `none`, or None for the profile of the suite.

    Raises:
        StoreError: the folder is locked, unwritable or full.
    """
    store = Store(out)
    setting = Setting(
        out=out.resolve(),
        device=device,
        retrain=retrain,
        retry=retry,
        command=own_command(),
        pair_files=tuple(str(path) for path in registry.pairs.added.values()),
    )
    profile = cost_profile(plan, costs)
    with store.locked():
        jobs = make_jobs(plan)
        watcher.jobs(jobs)
        report = run_jobs(jobs, setting, workers=workers, listener=watcher.event)
        errors = list(dict.fromkeys((message, code) for _, message, code in report.errors))
        records = planned(store.records(), plan)
        if profile and not any(code == 2 for _, code in errors):
            failures = add_costs(
                store,
                records,
                device=device,
                profile=profile,
                retry=retry,
                progress=watcher.cost,
            )
            errors += [(f"Costs of {failure}", 4) for failure in failures]
        result = Result(plan, report.outcomes, errors)
        result.records = planned(store.records(), plan)
        if result.records:
            result.wrote = write_report(
                result.records,
                out=out / "reports" / plan.what.partition(" ")[2].partition("@")[0],
                artifacts=store.artifacts,
                suite=plan.suite,
            )
    return result
