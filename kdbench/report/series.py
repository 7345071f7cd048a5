"""Rows as the curves and points of a plot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import geometric_mean
from typing import Literal

from kdbench.report.facts import TaskFacts
from kdbench.report.rows import Row

SeriesKind = Literal["teacher", "control", "student"]
_KINDS: dict[str, SeriesKind] = {
    "teacher": "teacher",
    "few-step": "teacher",
    "scratch": "control",
    "inherited": "control",
    "student": "student",
}
_ORDER: tuple[SeriesKind, ...] = ("teacher", "control", "student")
_LONGEST_LABEL = 36
APART = 1.045
"""Smallest ratio of the x of two points in a plot."""


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
    rows: Sequence[Row], facts: TaskFacts, x: Callable[[Row], float | None]
) -> tuple[Series, ...]:
    """Teachers' curves by family, then controls and students by pair.

    A row without a value or without a positive `x` is left out.
    """
    groups: dict[tuple[SeriesKind, str, str], list[Point]] = defaultdict(list)
    for row in rows:
        kind, point = _KINDS.get(row.identity.role), _point(row, facts, x(row))
        if kind is not None and point is not None:
            name = row.identity.family if kind == "teacher" else row.identity.pair
            groups[kind, row.identity.family, name].append(point)
    return tuple(
        Series(_label(kind, name), kind, family, tuple(sorted(points, key=lambda p: (p.x, p.y))))
        for (kind, family, name), points in sorted(
            groups.items(), key=lambda item: (_ORDER.index(item[0][0]), item[0][1:])
        )
    )


def move_apart(series: Sequence[Series]) -> tuple[Series, ...]:
    """The same series with points of nearly equal x side by side, so that none hides another.

    Such points stand `APART` from one another around their geometric mean.
    """
    places = sorted(
        (point.x, s, p) for s, one in enumerate(series) for p, point in enumerate(one.points)
    )
    clusters: list[list[tuple[float, int, int]]] = []
    for place in places:
        if clusters and place[0] < APART * clusters[-1][-1][0]:
            clusters[-1].append(place)
        else:
            clusters.append([place])
    moved = {
        (s, p): geometric_mean([x for x, _, _ in cluster]) * APART ** (i - (len(cluster) - 1) / 2)
        for cluster in clusters
        for i, (_, s, p) in enumerate(cluster)
    }
    return tuple(
        replace(one, points=tuple(replace(q, x=moved[s, p]) for p, q in enumerate(one.points)))
        for s, one in enumerate(series)
    )


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
    text += " (no teacher)" if kind == "control" else ""
    return text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"
