"""The measuring process: one JSON job on standard input, one JSON result in a file.

Run as `python -m kdbench.costs.probe`, always fresh; `kdbench.costs.run` is the other side.
Standard output is nobody's: a generator may print what it likes.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdbench.costs.job import Job
from kdbench.costs.life_line import end_with_parent
from kdbench.costs.watch import watched
from kdbench.errors import NothingMeasured
from kdbench.spec import canonical_json
from kdbench.store import write_atomically

if TYPE_CHECKING:
    from kdbench.costs.disturbance import Disturbance
    from kdbench.costs.figures import Found
    from kdbench.generators.base import Generator
    from kdbench.record import Cost
    from kdbench.tasks.base import Task

    Build = Callable[[dict[str, Any]], tuple[Generator, Task]]

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""What the libraries below torch read, once, when they are loaded."""
PHASE_VARIABLE = "KDBENCH_PHASE_PIPE"
"""Where the number of the pipe stands that tells the parent when timing begins and ends."""
IMAGES = "images.npz"
"""Beside the result: `index` (n, 2), replicate and number, and `images` (n, C, H, W)."""


def main(build: Build | None = None) -> None:
    """Read the job, measure, and write the result to the job's `out` in one step.

    The result's `status` is `ok`, `oom` where it did not fit into memory, or `skipped` where the
    generator has no such figure. Any other failure leaves no file: it ends the process with its
    traceback on standard error.

    Args:
        build: makes a generator and its task of `build` and of `against`;
            `kdbench.generators.build.build_generator` if not given.
    """
    end_with_parent()
    job = Job.model_validate_json(sys.stdin.read())
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(job.threads)))
    write_atomically(Path(job.out), canonical_json(_measure(job, build)).encode())


def _measure(job: Job, build: Build | None) -> dict[str, Any]:
    start = time.perf_counter()
    import torch

    from kdbench.costs.figures import Found
    from kdbench.costs.memory import is_out_of_memory
    from kdbench.costs.missing import OUT_OF_MEMORY

    if build is None:
        from kdbench.generators.build import build_generator

        build = build_generator
    torch.set_num_threads(job.threads)
    import_s = time.perf_counter() - start
    found, status, reason = Found(), "ok", None
    try:
        found = _figure(job, build, import_s)
    except NothingMeasured as error:
        status, reason = "skipped", str(error)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        status, reason = "oom", OUT_OF_MEMORY
    if found.shown:
        _write_images(Path(job.out).with_name(IMAGES), found)
    return {
        "status": status,
        "reason": reason,
        "costs": [cost.model_dump(mode="json") for cost in found.costs],
        "series": found.series,
        "elapsed_ns": found.elapsed_ns,
        "process": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "cpus": os.cpu_count(),
            "seconds": time.perf_counter() - start,
        },
    }


def _figure(job: Job, build: Build, import_s: float) -> Found:
    from kdbench.costs.figures import Bench

    bench = Bench(
        job,
        make=partial(build, job.build),
        make_against=None if job.against is None else partial(build, job.against),
        phase=_phase,
        import_s=import_s,
    )
    found, disturbance = watched(
        bench.measure, threads=job.threads, on_cuda=job.build.get("device") == "cuda"
    )
    found.costs = [_disturbed(cost, disturbance) for cost in found.costs]
    return found


def _disturbed(cost: Cost, disturbance: Disturbance) -> Cost:
    """A time with what disturbed it; counts and memory as they are."""
    if cost.value is None or cost.stat not in ("median", "total"):
        return cost
    more = {
        "marks": [*cost.marks, *disturbance.marks],
        "details": {**cost.details, **disturbance.details},
    }
    return cost.model_validate({**cost.model_dump(), **more})


@contextmanager
def _phase() -> Iterator[None]:
    """Tell the parent, whose clock no generator can reach, when timing begins and when it ends."""
    pipe = os.environ.get(PHASE_VARIABLE)
    if pipe is None:
        yield
        return
    os.write(int(pipe), b"b")
    try:
        yield
    finally:
        os.write(int(pipe), b"e")


def _write_images(path: Path, found: Found) -> None:
    import numpy as np
    import torch

    index = sorted(found.shown)
    images = torch.stack([found.shown[i] for i in index])
    with path.open("wb") as file:
        np.savez(file, index=np.array(index), images=images.numpy())


if __name__ == "__main__":
    main()
