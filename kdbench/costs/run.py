"""Costs from a fresh process of its own: the parent's side, which never imports torch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from kdbench.costs.job import Job
from kdbench.costs.life_line import LIFE_VARIABLE, LifeLine
from kdbench.costs.phase_clock import PhaseClock
from kdbench.costs.probe import IMAGES, PHASE_VARIABLE, THREAD_VARIABLES
from kdbench.record import Cost, Status

# -P: a file in the working folder that is named like a library is not imported in its place.
PROBE = (sys.executable, "-P", "-m", "kdbench.costs.probe")
REASON_LENGTH = 300
"""Characters of a reason: an exception's message can be very long."""
CLOCK_S, CLOCK_SHARE = 0.1, 0.02
"""By how much two clocks may disagree: a parent may be woken late."""


class _Result(BaseModel):
    status: Literal["ok", "oom", "skipped"]
    reason: str | None
    costs: list[Cost]
    series: dict[str, list[float]]
    elapsed_ns: int
    process: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one measuring process."""

    status: Status
    """`ok`, `oom`, `skipped` (the generator has no such figure), `timeout` or `failed`."""
    reason: str | None = None
    """Why it is not `ok`."""
    costs: list[Cost] = field(default_factory=list)
    series: dict[str, list[float]] = field(default_factory=dict)
    """Rounds in nanoseconds of each boundary, or ratios pair by pair."""
    images: dict[tuple[int, int], NDArray[Any]] = field(default_factory=dict)
    """Images, (C, H, W), by replicate and number of their input."""


def measure_figure(
    job: Mapping[str, Any],
    *,
    timeout_s: float,
    command: Sequence[str] = PROBE,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Measure one figure in a fresh process and wait for it, using no processor meanwhile.

    The caller sees to it that nothing else runs beside it; figures of one user wait for one
    another. Where the clock of the process and that
    of this one disagree about how long timing took, there is no figure.

    Args:
        job: the fields of `Job` but `out`.
        timeout_s: seconds after which the process and all its children are killed.
        command: what reads the job; the probe under the same Python if not given.
        environment: variables beside those of this process.
    """
    with _alone(), tempfile.TemporaryDirectory(prefix="kdbench-costs-") as folder:
        full = Job.model_validate({**job, "out": str(Path(folder) / "costs.json")})
        killed_before = _oom_kills()
        try:
            code, errors, phases_s = _call(command, full, timeout_s, environment or {})
        except subprocess.TimeoutExpired:
            return Outcome("timeout", f"no figure after {timeout_s:g} s")
        if code != 0:
            return Outcome(*explain(code, errors, oom_killed=_oom_kills() > killed_before))
        return _read(Path(full.out), phases_s)


def _alone() -> FileLock:
    """Wait until no other process of this user measures a cost on this machine."""
    return FileLock(Path(tempfile.gettempdir()) / f"kdbench-costs-{os.getuid()}.lock")


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


def _call(
    command: Sequence[str], job: Job, timeout_s: float, environment: Mapping[str, str]
) -> tuple[int, str, float]:
    """Exit code, standard error and seconds of timing; the whole group is gone afterwards.

    What the process reads and says goes through files: a child that it leaves behind may hold a
    pipe open for ever.
    """
    clock, life = PhaseClock(), LifeLine()
    told, said = (Path(job.out).with_name(name) for name in ("job.json", "errors.txt"))
    told.write_text(job.model_dump_json())
    with told.open() as stdin, said.open("w") as stderr:
        process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env={
                **_environment(job.threads),
                **environment,
                PHASE_VARIABLE: str(clock.fd),
                LIFE_VARIABLE: str(life.fd),
            },
            pass_fds=(clock.fd, life.fd),
            start_new_session=True,
        )
    clock.start()
    try:
        code = process.wait(timeout_s)
    finally:
        _kill_group(process)
        life.close()
        seconds = clock.stop()
    return code, said.read_text(errors="replace"), seconds


def _environment(threads: int) -> dict[str, str]:
    """The environment with the threads set, and able to import what this process can."""
    return {
        **os.environ,
        **dict.fromkeys(THREAD_VARIABLES, str(threads)),
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the process and its children, also on an interrupt."""
    try:
        os.killpg(process.pid, signal.SIGKILL)  # a new session: the group has the child's number
    except ProcessLookupError:
        return
    finally:
        process.wait()


def _read(out: Path, phases_s: float) -> Outcome:
    try:
        result = _Result.model_validate_json(out.read_bytes())
        images = _images(out.with_name(IMAGES))
    except FileNotFoundError:
        return Outcome("failed", "the process ended without a result")
    except (ValidationError, ValueError, TypeError, OSError, zipfile.BadZipFile):
        return Outcome("failed", "the process left a damaged result")
    claimed_s = result.elapsed_ns / 1e9
    in_time = result.status == "ok"  # what broke off on the way has no time of its own
    if in_time and abs(claimed_s - phases_s) > CLOCK_S + CLOCK_SHARE * phases_s:
        return Outcome(
            "failed",
            f"clock_disagrees: the process says that timing took {claimed_s:.2f} s, and its "
            f"parent's clock {phases_s:.2f} s",
        )
    return Outcome(result.status, result.reason, result.costs, result.series, images)


def _images(path: Path) -> dict[tuple[int, int], NDArray[Any]]:
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as held:
        numbers = [(replicate, number) for replicate, number in held["index"].tolist()]
        return dict(zip(numbers, held["images"], strict=True))


def _oom_kills() -> int:
    """Processes that the kernel has ended for want of memory since it started; 0 if untold."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
