"""Costs from a fresh process of its own: the parent's side, which never imports torch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from kdbench.costs.job import Job
from kdbench.costs.probe import THREAD_VARIABLES
from kdbench.record import Cost, Status

# -P: a file in the working folder that is named like a library is not imported in its place.
PROBE = (sys.executable, "-P", "-m", "kdbench.costs.probe")
REASON_LENGTH = 300
"""Characters of a reason: an exception's message can be very long."""


class _Result(BaseModel):
    status: Literal["ok", "oom"]
    reason: str | None
    costs: list[Cost]
    process: dict[str, Any]


def measure_costs(
    job: Mapping[str, Any], *, timeout_s: float, command: Sequence[str] = PROBE
) -> tuple[list[Cost], Status, str | None]:
    """Measure one generator in a fresh process and wait for it, using no processor meanwhile.

    The caller sees to it that nothing else runs beside it.

    Args:
        job: the fields of `Job` but `out`.
        timeout_s: seconds after which the process and all its children are killed.
        command: what reads the job; the probe under the same Python if not given.

    Returns:
        The costs; `ok`, `oom`, `timeout` or `failed`; and the reason unless `ok`. With `oom`
        there can be costs: those of the batches that fitted.
    """
    with tempfile.TemporaryDirectory(prefix="kdbench-costs-") as folder:
        full = Job.model_validate({**job, "out": str(Path(folder) / "costs.json")})
        killed_before = _oom_kills()
        try:
            code, errors = _call(command, full, timeout_s)
        except subprocess.TimeoutExpired:
            return [], "timeout", f"no costs after {timeout_s:g} s"
        if code != 0:
            return [], *explain(code, errors, oom_killed=_oom_kills() > killed_before)
        return _read(Path(full.out))


def explain(code: int, errors: str, *, oom_killed: bool) -> tuple[Status, str]:
    r"""Status and reason of a process that ended with `code` and `errors` on standard error.

    >>> explain(1, "Traceback …\nKeyError: 'x'\n", oom_killed=False)
    ('failed', "KeyError: 'x'")
    >>> explain(-9, "", oom_killed=True)
    ('oom', 'the system ended the process for want of memory')
    >>> explain(-11, "", oom_killed=False)
    ('failed', 'the process was ended by SIGSEGV')
    """
    if code == -signal.SIGKILL and oom_killed:
        return "oom", "the system ended the process for want of memory"
    if code < 0:
        return "failed", f"the process was ended by {signal.Signals(-code).name}"
    reason = _error_line(errors) or f"the process ended with code {code}"
    return "failed", reason[:REASON_LENGTH]


def _error_line(errors: str) -> str | None:
    """The line that names the exception of the last traceback; without one, the last line.

    Libraries go on talking after a traceback, and messages go on over several lines.
    """
    lines = [line for line in errors.splitlines() if line.strip()]
    for number in reversed(range(len(lines))):
        if lines[number].startswith("Traceback (most recent call last)"):
            return next((line for line in lines[number + 1 :] if line[0] != " "), lines[-1])
    return lines[-1] if lines else None


def _call(command: Sequence[str], job: Job, timeout_s: float) -> tuple[int, str]:
    """Exit code and standard error of the process; its whole group is gone afterwards."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=_environment(job.threads),
        start_new_session=True,
        text=True,
        errors="replace",
    )
    try:
        _, errors = process.communicate(job.model_dump_json(), timeout=timeout_s)
    finally:
        _kill_group(process)
    return process.returncode, errors


def _environment(threads: int) -> dict[str, str]:
    """The environment with the threads set, and able to import what this process can."""
    return {
        **os.environ,
        **dict.fromkeys(THREAD_VARIABLES, str(threads)),
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }


def _kill_group(process: subprocess.Popen[str]) -> None:
    """Kill what is left of the process and its children, also on an interrupt."""
    try:
        os.killpg(process.pid, signal.SIGKILL)  # a new session: the group has the child's number
    except ProcessLookupError:
        return
    finally:
        process.wait()


def _read(out: Path) -> tuple[list[Cost], Status, str | None]:
    try:
        result = _Result.model_validate_json(out.read_bytes())
    except FileNotFoundError:
        return [], "failed", "the process ended without a result"
    except ValidationError:
        return [], "failed", "the process left a damaged result"
    return result.costs, result.status, result.reason


def _oom_kills() -> int:
    """Processes that the kernel has ended for want of memory since it started; 0 if untold."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
