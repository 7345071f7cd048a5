"""What a person sees while kdbench works: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from kdbench.engines.jobs import Job

PLAIN_SECONDS = 15.0
"""Between two plain lines of one job."""


class Screen:
    """Shows jobs and costs; use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[tuple[str, int], Any] = {}
        self._said: dict[tuple[str, int], float] = {}
        self._total: Any = None
        self._costs: Any = None
        self._ended = 0
        self._count = 0

    def __enter__(self) -> Self:
        self._bars.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.__exit__(kind, error, trace)

    def jobs(self, jobs: list[Job]) -> None:
        """All jobs, before the first begins."""
        self._count = len(jobs)
        self._total = self._bars.add_task("all jobs", total=len(jobs))

    def event(self, job: Job, event: dict[str, Any]) -> None:
        """Something happened to a job."""
        kind = event["event"]
        if kind == "started":
            self._tasks[job.id] = self._bars.add_task(f"{job.label}: starting", total=None)
        elif kind == "progress":
            self._show(job, event)
        else:
            self._ended += 1
            self._bars.advance(self._total)
            self._bars.remove_task(self._tasks.pop(job.id))
            self._line(f"[{self._ended}/{self._count}] {job.label}: {_outcome(event)}")

    def _show(self, job: Job, event: dict[str, Any]) -> None:
        text = f"{job.label}: {event['stage']}"
        self._bars.update(
            self._tasks[job.id],
            description=text,
            completed=event["done"],
            total=event["total"],
        )
        now = time.monotonic()
        if now - self._said.setdefault(job.id, now) > PLAIN_SECONDS:
            self._said[job.id] = now
            if not self._console.is_terminal:
                self._line(f"{text} {event['done']}/{event['total']}")

    def cost(self, label: str, done: int, total: int) -> None:
        """Costs of a program are about to be measured."""
        if self._costs is None:
            self._line("Measuring costs, one program at a time, nothing beside it.")
            self._costs = self._bars.add_task("costs", total=total)
        self._bars.update(self._costs, description=f"costs {label}", completed=done)

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)


def _outcome(event: dict[str, Any]) -> str:
    if event["event"] == "error":
        return "failed"
    outcomes = event["outcomes"]
    if not outcomes:
        return "network ready"
    if all(outcome["did"] == "nothing" for outcome in outcomes):
        return "already done"
    bad = [outcome for outcome in outcomes if outcome["status"] != "ok"]
    if bad:
        return f"{bad[0]['status']}: {bad[0]['reason']}"
    return f"{len(outcomes)} row(s) measured"
