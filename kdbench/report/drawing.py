"""How rows are drawn on a pair of axes: markers, intervals, lines, floor, ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from kdbench.report.facts import TaskFacts
from kdbench.report.formats import format_number
from kdbench.report.looks import Look
from kdbench.report.rows import Row
from kdbench.report.series import Point, Series
from kdbench.report.style import CONTROL, FLOOR
from kdbench.statistics import Estimated

_SPREAD_FOR_LOG = 20
"""A y axis is logarithmic above the margin where values exceed this many margins."""
_ROOM = 1.3
"""Factor between the outermost points and the ends of a logarithmic axis."""
_BESIDE = 1.06
"""Smallest ratio of the x of a point and of the left end of the axis: its marker stands clear."""
MARKED = "*"
"""What stands beside a point whose x is to be doubted."""
_CLOSEST_TICKS = 1.22
"""Smallest ratio of two labelled numbers of calls."""


def draw_series(
    axes: Axes,
    series: Sequence[Series],
    facts: TaskFacts,
    *,
    looks: Sequence[Look],
    numbered: bool = False,
) -> list[Artist]:
    """Draw all series; returns the entries of the legend.

    Args:
        axes: with its x axis scaled.
        series: teachers, controls, students.
        facts: of the task, for the line through the best rows.
        looks: one a series.
        numbered: write the number of calls beside the points of a line.
    """
    handles: list[Artist] = []
    for one, look in zip(series, looks, strict=True):
        several = len({point.nfe for point in one.points}) > 1
        for point in one.points:
            calls = str(point.nfe) if several and numbered else ""
            _draw_point(axes, point, look, text=calls + (MARKED if point.marked else ""))
        best = one.best(facts)
        axes.plot(
            [point.x for point in best],
            [point.y for point in best],
            color=look.colour,
            linestyle=look.line,
            linewidth=look.width,
        )
        handles.append(_legend_entry(one.label, look, line=several))
    if any(not point.complete for one in series for point in one.points):
        handles.append(_hollow_entry())
    return handles


def _draw_point(axes: Axes, point: Point, look: Look, *, text: str) -> None:
    axes.errorbar(
        point.x,
        point.y,
        yerr=[[point.y - point.low], [point.high - point.y]],
        color=look.colour,
        marker=look.marker,
        markerfacecolor=look.colour if point.complete else "white",
        markeredgecolor="white" if point.complete else look.colour,
        markeredgewidth=0.6 if point.complete else 1.3,
        elinewidth=1.1,
        capsize=2.5,
        zorder=3,
    )
    axes.annotate(
        text,
        (point.x, point.y),
        xytext=(5, 5),
        textcoords="offset points",
        fontsize=8,
        color=look.colour,
    )


def _legend_entry(label: str, look: Look, *, line: bool) -> Line2D:
    return Line2D(
        [],
        [],
        color=look.colour,
        marker=look.marker,
        linestyle=look.line if line else "",
        linewidth=look.width,
        label=label,
    )


def _hollow_entry() -> Line2D:
    return Line2D(
        [],
        [],
        color=CONTROL,
        marker="o",
        linestyle="",
        markerfacecolor="white",
        label="hollow: not all seeds finished",
    )


def word_entry(text: str) -> Line2D:
    """A line of words in the legend."""
    return Line2D([], [], linestyle="", label=text)


def find_floor(rows: Sequence[Row], facts: TaskFacts) -> Estimated | None:
    """The main metric of real images against real images, where it was measured."""
    floors = (row.estimate(facts.main) for row in rows if row.identity.role == "floor")
    return next((floor for floor in floors if floor.value is not None), None)


def draw_floor(axes: Axes, floor: Estimated) -> Artist:
    """A band over the interval of the floor; returns its legend entry."""
    if floor.low is not None and floor.high is not None:
        axes.axhspan(floor.low, floor.high, color=FLOOR, zorder=0)
    if floor.value is not None:
        axes.axhline(floor.value, color=CONTROL, linewidth=0.8, zorder=1)
    return Patch(facecolor=FLOOR, edgecolor=CONTROL, label="floor: real against real")


def scale_y(
    axes: Axes, series: Sequence[Series], floor: Estimated | None, facts: TaskFacts
) -> None:
    """Linear; for wide spreads logarithmic, with a linear part around 0 where it is needed.

    Unbiased distances may be 0 or negative, so a logarithmic axis alone would lose rows.
    """
    points = [point for one in series for point in one.points]
    if facts.higher_is_better or facts.margin <= 0:
        return
    if max(point.y for point in points) <= _SPREAD_FOR_LOG * facts.margin:
        return
    marks = [] if floor is None else [y for y in (floor.value, floor.low) if y is not None]
    bottom = min([*marks, *(point.low for point in points)])
    top = max(point.high for point in points) * _ROOM
    if bottom > 0:
        axes.set_yscale("log")
        axes.set_ylim(bottom / _ROOM, top)
    else:
        axes.set_yscale("symlog", linthresh=facts.margin, linscale=0.6)
        axes.set_ylim(max(bottom, -facts.margin), top)
    _tick_y(axes, bottom=bottom if bottom > 0 else facts.margin, top=top)


def describe_scale(axes: Axes, facts: TaskFacts) -> str:
    """What a reader must know of the y axis, on a line of its own; empty where it is linear."""
    return {
        "log": "\n(log scale)",
        "symlog": f"\n(linear below {facts.margin:g}, logarithmic above)",
    }.get(axes.get_yscale(), "")


def _tick_y(axes: Axes, *, bottom: float, top: float) -> None:
    """0, and 1, 2 and 5 of every decade."""
    decades = range(math.floor(math.log10(bottom)), math.ceil(math.log10(top)) + 1)
    axes.yaxis.set_major_locator(
        FixedLocator([0, *(m * 10.0**k for k in decades for m in (1, 2, 5))])
    )
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_number(value)))


def tick_calls(axes: Axes, series: Sequence[Series]) -> None:
    """Label the numbers of calls that occur, the smaller of two that would touch."""
    ticks: list[int] = []
    for calls in sorted({point.nfe for one in series for point in one.points}):
        if not ticks or calls >= _CLOSEST_TICKS * ticks[-1]:
            ticks.append(calls)
    _tick_x(axes, [float(tick) for tick in ticks])


def tick_latency(axes: Axes, series: Sequence[Series]) -> None:
    """Label 1, 2 and 5 of every decade, from below the fastest row."""
    xs = [point.x for one in series for point in one.points]
    decades = range(math.floor(math.log10(min(xs))) - 1, math.ceil(math.log10(max(xs))) + 1)
    steps = [m * 10.0**k for k in decades for m in (1, 2, 5)]
    _tick_x(axes, steps)
    left = max(step for step in steps if step * _BESIDE < min(xs))
    axes.set_xlim(left, max(xs) * _ROOM)


def _tick_x(axes: Axes, ticks: list[float]) -> None:
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_number(value)))
