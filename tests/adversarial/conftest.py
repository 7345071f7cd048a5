"""Lets the tests here, and the processes that they start, import `cheats`, and measures those."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kdbench.costs.effort import Effort
from kdbench.costs.figures import Bench
from kdbench.costs.job import Job
from kdbench.costs.profiles import Profile
from kdbench.costs.run import Outcome, measure_figure
from kdbench.costs.session import Program, Session
from kdbench.record import Cost

HERE = Path(__file__).parent
COSTS = HERE.with_name("costs")
sys.path[:0] = [str(HERE), str(COSTS)]

EFFORT = Effort(
    warmup_min_s=0.05, warmup_max_s=0.1, measure_min_s=0.3, measure_max_s=0.5, block_s=0.3
)
PROFILE = Profile(
    name="brief", summary="", effort=EFFORT, processes=1, boundaries=("e2e",),
    memory_batches=(), timeout_s=60, about_s=1,
)  # fmt: skip

Costs = Callable[..., dict[str, Cost]]
Figure = Callable[..., Outcome]


def spec(name: str, args: dict[str, Any], task: str | None = None) -> dict[str, Any]:
    """What `probing.py` makes a generator of this file's folder of."""
    return {"module": "cheats", "name": name, "args": args} | ({"task": task} if task else {})


@pytest.fixture(scope="session")
def figure() -> Figure:
    """`figure(name, figure="latency", batch=1, task=None, **arguments)`, from a fresh process."""

    def measure(
        name: str,
        *,
        figure: str = "latency",
        batch: int = 1,
        task: str | None = None,
        **arguments: Any,
    ) -> Outcome:
        job = {
            "figure": figure,
            "build": spec(name, arguments, task),
            "against": spec("Honest", {}),
            "machine": "h:1",
            "batch": batch,
            "effort": EFFORT.model_dump(),
            "keep": (0,),
        }
        return _probing()(job, timeout_s=60)

    return measure


@pytest.fixture(scope="session")
def costs() -> Costs:
    """`costs(name, batches=(), against=None, fresh=False, **arguments)`: a session's, by metric.

    In this process, which is quicker, unless `fresh`.
    """

    def measure(
        name: str,
        *,
        batches: tuple[int, ...] = (),
        against: str | None = None,
        fresh: bool = False,
        **arguments: Any,
    ) -> dict[str, Cost]:
        program = Program(
            build=spec(name, arguments),
            machine="h:1",
            against=spec(against, {}) if against else None,
            against_label=against,
        )
        profile = PROFILE.model_copy(update={"batches": batches})
        session = Session(program, profile, measure=_probing() if fresh else _here)
        return {cost.metric: cost for cost in session.costs()}

    return measure


@pytest.fixture(scope="session")
def measure_here() -> Callable[..., Outcome]:
    """`measure_here(name, figure, batch=1, task=None, **arguments)`, in this process."""

    def measure(
        name: str, figure: str, *, batch: int = 1, task: str | None = None, **arguments: Any
    ) -> Outcome:
        job = {"figure": figure, "build": spec(name, arguments, task), "machine": "h:1"}
        return _here(
            {
                **job,
                "against": spec("Honest", {}),
                "batch": batch,
                "effort": EFFORT,
                "show": ((0, 0),),
            }
        )

    return measure


def _here(job: dict[str, Any], **_: object) -> Outcome:
    from probing import build

    full = Job.model_validate({**job, "out": ""})
    make, against = partial(build, full.build), full.against
    beside = None if against is None else partial(build, against)
    made = Bench(full, make, beside, nullcontext).measure()
    images = {number: image.numpy() for number, image in made.shown.items()}
    return Outcome("ok", costs=made.costs, series=made.series, images=images)


def _probing() -> Callable[..., Outcome]:
    return partial(measure_figure, command=[sys.executable, str(COSTS / "probing.py")])
