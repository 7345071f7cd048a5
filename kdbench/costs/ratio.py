"""How many times faster a student is than its teacher, from interleaved calls in one process.

On a shared machine the speed of both moves together, so the ratio of neighbouring calls holds
where the two times do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from math import ceil
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from kdbench.costs.boundary import EndToEnd, Pool
from kdbench.costs.marks import cpu_share, share_marks, spread_marks
from kdbench.costs.order import LEVEL
from kdbench.costs.timing import Effort, measuring, time_call, warm_up
from kdbench.generators.base import Inputs
from kdbench.record import Cost, Interval
from kdbench.seeds import seed

BLOCK = 5
"""Pairs a block of the bootstrap: neighbours share the state of the machine."""
RESAMPLES = 2000
HALF_NS = 20_000_000
"""Shortest half of a pair: several time slices of a shared core (3 to 10 ms), which would otherwise
fall into step with the pairs and hit one half only."""
UNEVEN = 1.1
"""Quotient of the ratios of wall and of CPU time, either way: beyond it, what else ran has met one
of the two more often."""


@dataclass(frozen=True, eq=False)
class _Half:
    """One half of every pair: a generator, its inputs in turn, and how often it is called.

    Both halves last about as long, so that what else runs meets them equally often.
    """

    subject: EndToEnd
    inputs: Iterator[Inputs]
    repeats: int

    def time(self) -> tuple[float, float]:
        """Wall and CPU nanoseconds of a call, averaged over the repeats."""
        times = [time_call(self.subject, next(self.inputs)) for _ in range(self.repeats)]
        wall, cpu = np.mean(times, axis=0)
        return float(wall), float(cpu)


def speedup(
    student: EndToEnd,
    teacher: EndToEnd,
    pool: Pool,
    *,
    effort: Effort,
    config_key: str,
    against: str | None,
    marks: list[str],
) -> Cost:
    """Teacher's time over student's at batch 1: the median over pairs of neighbouring calls.

    Two pairs come in the order student, teacher, teacher, student, the next two in its mirror
    image, so that a drift of the machine cancels.

    `cpu_speedup` in the details is the same of CPU time: less true on a quiet machine, and all that
    can be said on one that others use too.

    Args:
        student: called first in every other group of two pairs.
        teacher: what the speed-up is against.
        pool: inputs of one image each.
        effort: `rounds` are pairs.
        config_key: of the student at batch 1.
        against: label of the teacher's row.
        marks: what is known to differ between the two.
    """
    with measuring():
        warm = [warm_up(subject, pool, effort) for subject in (student, teacher)]
        halves = _halves((student, teacher), pool, [durations for durations, _ in warm])
        students, teachers = _time_pairs(*halves, effort)
    unsettled = [] if all(settled for _, settled in warm) else ["warmup_unsettled"]
    ratios, cpu_ratios = (teachers / students).T
    value, cpu_value = float(np.median(ratios)), float(np.median(cpu_ratios))
    shares = [cpu_share(t[:, 0], t[:, 1], student.cpu_threads) for t in (students, teachers)]
    uneven = student.cpu_threads is not None and not 1 / UNEVEN < value / cpu_value < UNEVEN
    return Cost(
        metric="speedup",
        unit="x",
        value=value,
        stat="median",
        boundary="e2e",
        batch=1,
        interval=block_bootstrap(ratios),
        n=len(ratios),
        config_key=config_key,
        against=against,
        marks=[
            *marks,
            *spread_marks(ratios),
            *share_marks(min(shares), student.cpu_threads),
            *(["uneven_share"] if uneven else []),
            *unsettled,
        ],
        details={
            "student_ms": float(np.median(students[:, 0])) / 1e6,
            "teacher_ms": float(np.median(teachers[:, 0])) / 1e6,
            "student_cpu_share": shares[0],
            "teacher_cpu_share": shares[1],
            "cpu_speedup": cpu_value,
        },
    )


def block_bootstrap(values: NDArray[np.float64]) -> Interval | None:
    """The 95 % percentile interval of the median, over moving blocks of neighbouring values.

    Künsch, "The jackknife and the bootstrap for general stationary observations", 1989. The
    draws are seeded, so equal values give equal intervals. None below two blocks.
    """
    n = len(values)
    if n < 2 * BLOCK:
        return None
    rng = np.random.default_rng(seed("block-bootstrap", n))
    starts = rng.integers(0, n - BLOCK + 1, size=(RESAMPLES, ceil(n / BLOCK), 1))
    drawn = (starts + np.arange(BLOCK)).reshape(RESAMPLES, -1)[:, :n]
    medians = np.median(values[drawn], axis=1)
    low, high = np.quantile(medians, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(
        level=LEVEL, low=float(low), high=float(high), source="timing", method="block-bootstrap"
    )


def _halves(
    subjects: tuple[EndToEnd, EndToEnd], pool: Pool, warmups: list[list[int]]
) -> tuple[_Half, _Half]:
    calls = [min(durations) for durations in warmups]  # the one that nothing interrupted
    length = max(HALF_NS, *calls)
    student, teacher = (
        _Half(subject, cycle(pool.timed), round(length / call))
        for subject, call in zip(subjects, calls, strict=True)
    )
    return student, teacher


def _time_pairs(
    student: _Half, teacher: _Half, effort: Effort
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wall and CPU nanoseconds (pairs, 2) of student and teacher, taken in order ABBA, BAAB."""
    students: list[tuple[float, float]] = []
    teachers: list[tuple[float, float]] = []
    start = perf_counter_ns()
    orders = cycle((True, False, False, True))  # whether the student is first, pair by pair
    for student_first in orders:
        if student_first:
            students.append(student.time())
            teachers.append(teacher.time())
        else:
            teachers.append(teacher.time())
            students.append(student.time())
        ratios = [t[0] / s[0] for s, t in zip(students, teachers, strict=True)]
        whole = len(ratios) % 2 == 0
        if whole and effort.is_enough(ratios, (perf_counter_ns() - start) / 1e9):
            break
    return np.array(students), np.array(teachers)
