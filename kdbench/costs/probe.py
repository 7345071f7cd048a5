"""The measuring process: one JSON job on standard input, one JSON result in a file.

Run as `python -m kdbench.costs.probe`, always fresh; `kdbench.costs.run` is the other side.
Standard output is nobody's: a generator may print what it likes.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdbench.costs.job import Job
from kdbench.spec import canonical_json
from kdbench.store import write_atomically

if TYPE_CHECKING:
    from kdbench.generators.base import Generator
    from kdbench.record import Cost
    from kdbench.tasks.base import Task

    Build = Callable[[dict[str, Any]], tuple[Generator, Task]]

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""What the libraries below torch read, once, when they are loaded."""


def main(build: Build | None = None) -> None:
    """Read the job, measure, and write the result to the job's `out` in one step.

    The result is `{"status", "reason", "costs", "process"}`; status is `ok`, or `oom` where a
    part or all of it did not fit into memory. Any other failure leaves no file: it ends the
    process with its traceback on standard error.

    Args:
        build: makes a generator and its task of `build` and of `against`;
            `kdbench.generators.build.build_generator` if not given.
    """
    job = Job.model_validate_json(sys.stdin.read())
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(job.threads)))
    write_atomically(Path(job.out), canonical_json(_measure(job, build)).encode())


def _measure(job: Job, build: Build | None) -> dict[str, Any]:
    import torch

    from kdbench.costs.measure import OUT_OF_MEMORY, is_out_of_memory

    torch.set_num_threads(job.threads)
    start, load = time.perf_counter(), _load()
    costs: list[Cost] = []
    reason = None
    try:
        costs = _probe(job, build)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        reason = f"{OUT_OF_MEMORY} at batch 1"
    short = [f"{c.metric} at batch {c.batch}" for c in costs if c.reason == OUT_OF_MEMORY]
    if short:
        reason = f"{OUT_OF_MEMORY}: {', '.join(short)}"
    return {
        "status": "oom" if reason else "ok",
        "reason": reason,
        "costs": [cost.model_dump(mode="json") for cost in costs],
        "process": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "cpus": os.cpu_count(),
            "seconds": time.perf_counter() - start,
            "load_before": load,
            "load_after": _load(),
        },
    }


def _probe(job: Job, build: Build | None) -> list[Cost]:
    from kdbench.costs.measure import Bench, probe

    if build is None:
        from kdbench.generators.build import build_generator

        build = build_generator
    return probe(
        partial(build, job.build),
        None if job.against is None else partial(build, job.against),
        bench=Bench(machine=job.machine, threads=job.threads),
        batches=job.batches,
        against=job.against_label,
    )


def _load() -> float | None:
    """Processes that ran or waited, averaged over the last minute."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


if __name__ == "__main__":
    main()
