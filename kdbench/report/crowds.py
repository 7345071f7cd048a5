"""What a plot shows of a task with more students than a reader tells apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from kdbench.report.facts import TaskFacts
from kdbench.report.series import Point, Series, SeriesKind

_BEST = {"control": "best without a teacher", "start": "best start", "student": "best student"}
_READABLE = 6
"""Students that one plot holds beside the other rows of a task."""


def is_crowded(series: Sequence[Series]) -> bool:
    """Whether there are more students than a reader tells apart beside everything else."""
    return sum(one.kind == "student" for one in series) > _READABLE


def best_of_families(series: Sequence[Series], facts: TaskFacts) -> tuple[Series, ...]:
    """Of every family its teachers, and the best control, start and student at each call."""
    groups: dict[tuple[SeriesKind, str], list[Point]] = defaultdict(list)
    for one in series:
        groups[one.kind, one.family] += one.points
    merged = (
        Series(f"{_BEST[kind]}, {family}", kind, family, tuple(points))
        for (kind, family), points in groups.items()
        if kind != "teacher"
    )
    teachers = tuple(one for one in series if one.kind == "teacher")
    return (*teachers, *(replace(one, points=one.best(facts)) for one in merged))
