"""Which colour, marker and line each series of a plot gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kdbench.report.series import Series, SeriesKind
from kdbench.report.style import (
    CONTROL,
    LINES,
    MARKERS,
    START,
    START_MARKERS,
    STUDENTS,
    TEACHER,
    TEACHER_MARKERS,
    LineStyle,
)

_KIND_LINES: dict[SeriesKind, LineStyle] = {
    "teacher": "-",
    "control": "--",
    "start": ":",
    "student": "-",
}


@dataclass(frozen=True)
class Look:
    """How one series is drawn."""

    colour: str
    marker: str
    line: LineStyle
    width: float


def looks_by_family(series: Sequence[Series]) -> list[Look]:
    """Lines tell families apart, colours what a row is."""
    families = sorted({one.family for one in series})
    lines = [LINES[families.index(one.family) % len(LINES)] for one in series]
    return _looks(series, lines)


def looks_by_kind(series: Sequence[Series]) -> list[Look]:
    """Lines tell controls (dashed) and inherited starts (dotted) from teacher and students."""
    return _looks(series, [_KIND_LINES[one.kind] for one in series])


def _looks(series: Sequence[Series], lines: Sequence[LineStyle]) -> list[Look]:
    placed: dict[SeriesKind, int] = {}
    looks = []
    for one, line in zip(series, lines, strict=True):
        place = placed[one.kind] = placed.get(one.kind, -1) + 1
        if one.kind == "teacher":
            looks.append(Look(TEACHER, _nth(TEACHER_MARKERS, place), line, 1.3))
        elif one.kind == "student":
            looks.append(Look(STUDENTS[place % len(STUDENTS)], _turned(place), line, 1.0))
        elif one.kind == "start":
            looks.append(Look(START, _nth(START_MARKERS, place), line, 1.3))
        else:
            looks.append(Look(CONTROL, _nth(MARKERS, place), line, 1.3))
    return looks


def _turned(place: int) -> str:
    """A marker that no earlier series of the same colour has: one further for every round."""
    return _nth(MARKERS, place + place // len(STUDENTS))


def _nth(markers: Sequence[str], place: int) -> str:
    return markers[place % len(markers)]
