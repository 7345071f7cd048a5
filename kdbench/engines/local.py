"""The local engine: worker processes on this machine, one torch thread each."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from kdbench.engines.jobs import Job

Listener = Callable[[Job, dict[str, Any]], None]
"""Told of every event of a job: `progress`, `done`, `error`, `started`."""


@dataclass
class Report:
    """What the engine has to say when all jobs have ended."""

    outcomes: list[dict[str, Any]] = field(default_factory=list)
    errors: list[tuple[str, str, int]] = field(default_factory=list)
    """Job label, message and exit code of what could not be done at all."""


@dataclass(frozen=True)
class Setting:
    """What every worker is told once."""

    out: Path
    device: str
    retrain: bool
    retry: bool
    command: str
    pair_files: tuple[str, ...] = ()

    def line(self) -> str:
        """As one JSON line."""
        value = {**self.__dict__, "out": str(self.out), "pair_files": list(self.pair_files)}
        return json.dumps(value) + "\n"


class _Worker:
    """One child process and the job it has."""

    def __init__(self, setting: Setting) -> None:
        self.job: Job | None = None
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives with the worker
        single = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "kdbench.engines.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            bufsize=0,  # a buffered line would be invisible to the selector
            env={**os.environ, **single},
            start_new_session=True,  # Ctrl-C reaches the parent alone
        )
        self._send(setting.line())

    def give(self, job: Job) -> None:
        self.job = job
        runs = [run.model_dump(mode="json") for run in job.runs]
        self._send(json.dumps({"pair": job.pair, "seed": job.seed, "runs": runs}) + "\n")

    def _send(self, line: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the end of its output tells the same, with a reason

    def last_words(self) -> str:
        """How the process ended: its exit status and the last line that it printed."""
        code = self.process.wait()
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
        return f"the worker {how}" + (f": {lines[-1]}" if lines else "")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()


def run_jobs(jobs: list[Job], setting: Setting, *, workers: int, listener: Listener) -> Report:
    """Run jobs side by side, each after what it needs; a worker that dies fails its job alone.

    A needed job that failed does not hold back the others: they find out by themselves, and
    record why.
    """
    crew = _Crew(jobs, setting, listener)
    try:
        while crew.waiting or crew.busy:
            crew.assign(workers)
            crew.hear()
    finally:
        crew.stop()
    return crew.report


class _Crew:
    """The workers and what is left to do."""

    def __init__(self, jobs: list[Job], setting: Setting, listener: Listener) -> None:
        self.waiting = list(jobs)
        self.report = Report()
        self._ended: set[tuple[str, int]] = set()
        self._setting = setting
        self._listener = listener
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()

    @property
    def busy(self) -> bool:
        """Whether any job is being worked on."""
        return any(worker.job for worker in self._workers)

    def assign(self, limit: int) -> None:
        """Give every free worker the first job whose needs are met; hire up to `limit`."""
        for job in [j for j in self.waiting if j.needs <= self._ended]:
            worker = next((w for w in self._workers if w.job is None), None)
            if worker is None:
                if len(self._workers) == limit:
                    return
                worker = self._hire()
            self.waiting.remove(job)
            self._listener(job, {"event": "started"})
            worker.give(job)

    def _hire(self) -> _Worker:
        worker = _Worker(self._setting)
        assert worker.process.stdout is not None
        self._selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
        self._workers.append(worker)
        return worker

    def hear(self) -> None:
        """Take in what workers say, or that they have died."""
        for key, _ in self._selector.select(timeout=1.0):
            worker: _Worker = key.data
            line = key.fileobj.readline()  # type: ignore[union-attr]
            if line:
                self._take(worker, json.loads(line))
            else:
                self._lose(worker)

    def _take(self, worker: _Worker, event: dict[str, Any]) -> None:
        job = worker.job
        if job is None:
            return
        self._listener(job, event)
        if event["event"] == "done":
            self.report.outcomes.extend(event["outcomes"])
        elif event["event"] == "error":
            self.report.errors.append((job.label, event["message"], event["exit_code"]))
        else:
            return
        self._ended.add(job.id)
        worker.job = None

    def _lose(self, worker: _Worker) -> None:
        """A worker is gone; its job failed, and the next job gets a new one."""
        reason = worker.last_words()
        if worker.job is not None:
            message = f"{worker.job.label}: {reason}. Run again to go on from its last checkpoint."
            self._take(worker, {"event": "error", "message": message, "exit_code": 4})
        assert worker.process.stdout is not None
        self._selector.unregister(worker.process.stdout)
        self._workers.remove(worker)
        worker.log.close()

    def stop(self) -> None:
        """End all workers; a training in progress keeps its last checkpoint."""
        for worker in self._workers:
            worker.stop()
        self._selector.close()
