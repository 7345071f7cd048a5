"""How thoroughly costs are measured, by name."""

from __future__ import annotations

from kdbench.costs.effort import Effort
from kdbench.errors import UnknownName
from kdbench.spec import Spec


class Profile(Spec):
    """What is measured of a program, in how many processes, for how long."""

    name: str
    summary: str
    effort: Effort
    processes: int
    """Fresh processes a latency and a ratio, each."""
    boundaries: tuple[str, ...]
    """Of latency; the first is the headline."""
    batches: tuple[int, ...] = ()
    """Batches of throughput, each in a process of its own."""
    sweep: bool = False
    """Whether batches end where throughput gains too little, or memory ends."""
    memory_batches: tuple[int, ...] = (64,)
    cold_starts: int = 0
    energy: bool = False
    reruns: int = 0
    """How often a latency or ratio that is marked for noise is measured again."""
    timeout_s: float = 300.0
    """Seconds a process; beyond them it is killed, which is its result."""
    about_s: int
    """Seconds that a small program takes on a quiet machine."""


GLANCE = Profile(
    name="glance",
    summary="a second a figure at most: that it runs, and roughly how fast",
    effort=Effort(warmup_max_s=1, measure_min_s=0.2, measure_max_s=1, block_s=0.2),
    processes=1,
    boundaries=("e2e",),
    about_s=13,
)
BRIEF = Profile(
    name="brief",
    summary="some seconds a figure, one process each: about 1 % on a quiet machine",
    effort=Effort(warmup_max_s=2, measure_min_s=0.5, measure_max_s=2, block_s=0.5),
    processes=1,
    boundaries=("e2e", "pipe", "core"),
    batches=(64,),
    reruns=1,
    about_s=25,
)
FULL = Profile(
    name="full",
    summary="three processes a figure, a sweep over batches, cold starts and energy: to publish",
    effort=Effort(warmup_max_s=10),
    processes=3,
    boundaries=("e2e", "pipe", "core"),
    batches=tuple(2**power for power in range(11)),
    sweep=True,
    memory_batches=(1, 64),
    cold_starts=5,
    energy=True,
    reruns=1,
    timeout_s=900.0,
    about_s=240,
)
STRICT = FULL.model_copy(
    update={
        "name": "strict",
        "summary": "as full, ten processes a figure and up to ten minutes each: to settle a claim",
        "effort": FULL.effort.model_copy(update={"measure_max_s": 600.0, "rounds_max": 10_000}),
        "processes": 10,
        "timeout_s": 3600.0,
        "about_s": 1800,
    }
)

PROFILES = {profile.name: profile for profile in (GLANCE, BRIEF, FULL, STRICT)}
"""From the briefest to the most thorough."""


def profile_of(name: str) -> Profile:
    """The profile of this name.

    Raises:
        UnknownName: there is none.
    """
    if name not in PROFILES:
        raise UnknownName(f"No cost profile {name!r}; there are {', '.join(PROFILES)}.")
    return PROFILES[name]
