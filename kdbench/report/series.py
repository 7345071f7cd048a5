"""Rows as the curves and points of a plot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kdbench.report.facts import TaskFacts
from kdbench.report.rows import Row

SeriesKind = Literal["teacher", "control", "start", "student"]
_KINDS: dict[str, SeriesKind] = {
    "teacher": "teacher",
    "few-step": "teacher",
    "scratch": "control",
    "inherited": "start",
    "student": "student",
}
_ORDER: tuple[SeriesKind, ...] = ("teacher", "control", "start", "student")
_SAID = {"control": " (no teacher)", "start": " (start)"}
_LONGEST_LABEL = 36


@dataclass(frozen=True)
class Point:
    """One row in a plot."""

    x: float
    y: float
    low: float
    """Lower end of the interval; `y` where there is none."""
    high: float
    nfe: int
    complete: bool
    """Whether every seed finished."""
    marked: bool = False
    """Whether `x` is to be doubted."""


@dataclass(frozen=True)
class Series:
    """Rows that belong to one legend entry, by ascending x."""

    label: str
    kind: SeriesKind
    family: str
    points: tuple[Point, ...]

    def best(self, facts: TaskFacts) -> tuple[Point, ...]:
        """The best point of every number of calls: what the line goes through."""
        best: dict[int, Point] = {}
        for point in self.points:
            known = best.get(point.nfe)
            if known is None or facts.rank(point.y) < facts.rank(known.y):
                best[point.nfe] = point
        return tuple(sorted(best.values(), key=lambda point: point.x))


def make_series(
    rows: Sequence[Row],
    facts: TaskFacts,
    x: Callable[[Row], float | None],
    *,
    marked: Callable[[Row], bool] = lambda _: False,
) -> tuple[Series, ...]:
    """Teachers' curves, then controls, inherited starts and students, all by pair.

    Students of one method and family whose pairs are called after their number of calls
    (`name-4`, `name-2`, …) are one series. A row without a value or without a positive `x` is
    left out.

    Args:
        rows: of one task.
        facts: of that task.
        x: where a row stands.
        marked: whether that place is to be doubted.
    """
    groups: dict[tuple[SeriesKind, str, str], list[Point]] = defaultdict(list)
    shared = _shared_names(rows)
    for row in rows:
        kind, point = _KINDS.get(row.identity.role), _point(row, facts, x(row))
        point = replace(point, marked=marked(row)) if point else None
        if kind is not None and point is not None:
            pair = shared.get(row.label, row.identity.pair)
            groups[kind, row.identity.family, pair].append(point)
    return tuple(
        Series(_label(kind, name), kind, family, tuple(sorted(points, key=lambda p: (p.x, p.y))))
        for (kind, family, name), points in sorted(
            groups.items(), key=lambda item: (_ORDER.index(item[0][0]), item[0][1:])
        )
    )


def _shared_names(rows: Sequence[Row]) -> dict[str, str]:
    """The name without the number of calls, for each student's label that shares it."""
    stems: dict[tuple[str, str | None, str], list[Row]] = defaultdict(list)
    for row in rows:
        identity = row.identity
        name = identity.pair.partition("@")[0]
        stem = name.removesuffix(f"-{identity.nfe}")
        if identity.role == "student" and stem != name:
            stems[identity.family, identity.method, stem].append(row)
    return {
        row.label: stem
        for (_, _, stem), members in stems.items()
        if len({row.identity.pair for row in members}) > 1
        for row in members
    }


def _point(row: Row, facts: TaskFacts, x: float | None) -> Point | None:
    estimate, nfe = row.estimate(facts.main), row.identity.nfe
    if estimate.value is None or not x or x <= 0 or not nfe:
        return None
    low = estimate.value if estimate.low is None else estimate.low
    high = estimate.value if estimate.high is None else estimate.high
    return Point(x, estimate.value, low, high, nfe, row.complete)


def _label(kind: SeriesKind, name: str) -> str:
    name = name.partition("@")[0].lstrip("_")
    text = f"teacher, {name}" if kind == "teacher" else name
    text += _SAID.get(kind, "")
    return text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"
