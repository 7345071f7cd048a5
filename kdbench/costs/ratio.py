"""How many times faster a student is than its teacher, from interleaved calls in one process.

On a shared machine the speed of both moves together, so the ratio of neighbouring calls holds
where the two times do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle, islice

# Bound here, before the code of any generator is imported and could replace it.
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from kdbench.costs.blocks import block_bootstrap
from kdbench.costs.boundary import Boundary, Pool, Prepared
from kdbench.costs.effort import Effort
from kdbench.costs.marks import cpu_share, replay_marks, share_marks, spread_marks
from kdbench.costs.timing import measuring, time_call, warm_up
from kdbench.record import Cost

HALF_NS = 20_000_000
"""Shortest half of a pair: several time slices of a shared core (3 to 10 ms), which would otherwise
fall into step with the pairs and hit one half only."""
UNEVEN = 1.1
"""Quotient of the ratios of wall and of CPU time, either way: beyond it, what else ran has met one
of the two more often."""


@dataclass(eq=False)
class _Half:
    """One half of every pair: a generator, its inputs in turn, and how often it is called.

    Both halves last about as long, so that what else runs meets them equally often.
    """

    subject: Boundary
    inputs: Iterator[tuple[int, Prepared]]
    repeats: int
    walls: list[int] = field(default_factory=list)
    """Of all calls, in their order."""
    kept: tuple[tuple[int, Tensor], ...] = ()

    def time(self) -> tuple[float, float]:
        """Wall and CPU nanoseconds of a call, averaged over the repeats."""
        times = []
        for place, given in islice(self.inputs, self.repeats):
            call, last = time_call(self.subject, given, 1), place
            times.append((call.wall_ns, call.cpu_ns))
        self.walls += [wall for wall, _ in times]
        self.kept = ((last, call.output.clone()),)
        wall, cpu = np.mean(times, axis=0)
        return float(wall), float(cpu)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Neighbouring calls of a student and its teacher."""

    cost: Cost
    ratios: NDArray[np.float64]
    """Teacher's time over student's, pair by pair."""
    kept: tuple[tuple[int, Tensor], ...]
    """The student's images of its last call, and the place of their inputs in the pool."""
    elapsed_ns: int
    """Of the warm-up and all pairs together, by the same clock."""


def speedup(
    student: Boundary,
    teacher: Boundary,
    pools: tuple[Pool, Pool],
    *,
    effort: Effort,
    config_key: str,
    against: str | None,
    marks: list[str],
) -> Pairs:
    """Teacher's time over student's at batch 1: the median over pairs of neighbouring calls.

    Two pairs come in the order student, teacher, teacher, student, the next two in its mirror
    image, so that a drift of the machine cancels.

    `cpu_speedup` in the details is the same of CPU time: less true on a quiet machine, and all that
    can be said on one that others use too.

    Args:
        student: called first in every other group of two pairs.
        teacher: what the speed-up is against.
        pools: of inputs of one image each, prepared by student and by teacher.
        effort: `rounds` are pairs.
        config_key: of the student at batch 1.
        against: label of the teacher's row.
        marks: what is known to differ between the two.
    """
    subjects, begun = (student, teacher), perf_counter_ns()
    with measuring():
        warm = [warm_up(s, pool, 1, effort) for s, pool in zip(subjects, pools, strict=True)]
        halves = _halves(subjects, pools, [durations for durations, _ in warm])
        students, teachers = _time_pairs(*halves, effort)
    elapsed = perf_counter_ns() - begun
    unsettled = [] if all(settled for _, settled in warm) else ["warmup_unsettled"]
    ratios, cpu_ratios = (teachers / students).T
    value, cpu_value = float(np.median(ratios)), float(np.median(cpu_ratios))
    shares = [cpu_share(t[:, 0], t[:, 1], student.cpu_threads) for t in (students, teachers)]
    uneven = student.cpu_threads is not None and not 1 / UNEVEN < value / cpu_value < UNEVEN
    cost = Cost(
        metric="speedup",
        unit="x",
        value=value,
        stat="median",
        boundary=student.name,
        batch=1,
        interval=block_bootstrap([ratios]),
        n=len(ratios),
        config_key=config_key,
        against=against,
        marks=[
            *marks,
            *spread_marks(ratios),
            *dict.fromkeys(
                mark for share in sorted(shares) for mark in share_marks(share, student.cpu_threads)
            ),
            *(["uneven_share"] if uneven else []),
            *replay_marks(halves[0].walls, unseen=len(pools[0].timed)),
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
    return Pairs(cost, ratios, halves[0].kept, elapsed)


def _halves(
    subjects: tuple[Boundary, Boundary], pools: tuple[Pool, Pool], warmups: list[list[int]]
) -> tuple[_Half, _Half]:
    calls = [min(durations) for durations in warmups]  # the one that nothing interrupted
    length = max(HALF_NS, *calls)
    student, teacher = (
        _Half(subject, cycle(enumerate(pool.timed)), round(length / call))
        for subject, pool, call in zip(subjects, pools, calls, strict=True)
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
