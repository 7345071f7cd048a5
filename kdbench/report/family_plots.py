"""Quality against the number of calls within one family, where it has many students."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from kdbench.report.anchors import find_anchor
from kdbench.report.crowds import is_crowded
from kdbench.report.drawing import describe_scale, draw_floor, draw_series, find_floor, scale_y
from kdbench.report.facts import TaskFacts
from kdbench.report.looks import looks_by_kind
from kdbench.report.places import Band, stand_in_bands
from kdbench.report.plots import y_label
from kdbench.report.rows import Row
from kdbench.report.series import Series, make_series
from kdbench.report.style import BAND, DPI, ENTRY_INCHES, HEIGHT_INCHES, STYLE, WIDTH_INCHES

_PLACE_INCHES, _LEGEND_INCHES = 0.17, 3.4
"""Width of one place, and what labels and legend need."""
_EDGE = 1.0
"""Places beside the outermost points."""


def families_to_draw(rows: Sequence[Row], facts: TaskFacts) -> tuple[str, ...]:
    """The families that need a plot of their own, in the order of names.

    All that have students, where there are several of them or more students than the plot of all
    families can hold; otherwise none.
    """
    series = _series(rows, facts)
    families = sorted({one.family for one in series if one.kind == "student"})
    return tuple(families) if len(families) > 1 or is_crowded(series) else ()


def plot_family(rows: Sequence[Row], facts: TaskFacts, family: str) -> Figure | None:
    """A family's teachers, students, controls and starts; None where nothing can be drawn.

    Its students' anchors stand there too, of whatever family they are.

    Args:
        rows: all of the task.
        facts: of the task.
        family: whose rows are drawn.
    """
    own = [row for row in rows if row.identity.family == family]
    students = [row for row in own if row.identity.role == "student"]
    anchors = (find_anchor(student, rows, facts).row for student in students)
    others = {row.label: row for row in anchors if row is not None and row not in own}
    series = _series([*own, *(others[label] for label in sorted(others))], facts)
    return _draw(rows, series, facts) if series else None


def _series(rows: Sequence[Row], facts: TaskFacts) -> tuple[Series, ...]:
    return make_series(rows, facts, lambda row: row.identity.nfe)


def _draw(rows: Sequence[Row], series: Sequence[Series], facts: TaskFacts) -> Figure:
    moved, bands = stand_in_bands(series)
    with matplotlib.rc_context(STYLE):
        figure = Figure(_size(series, bands), dpi=DPI, layout="constrained")
        axes = figure.add_subplot()
        _scale_x(axes, bands)
        handles = draw_series(axes, moved, facts, looks=looks_by_kind(moved))
        floor = find_floor(rows, facts)
        if floor is not None:
            handles.append(draw_floor(axes, floor))
        scale_y(axes, _series(rows, facts), floor, facts)  # one scale for all of a task's families
        axes.set_ylabel(y_label(rows, facts) + describe_scale(axes, facts))
        figure.legend(handles=handles, loc="outside right upper")
    return figure


def _size(series: Sequence[Series], bands: Sequence[Band]) -> tuple[float, float]:
    """Inches that hold all places and all entries of the legend."""
    places = bands[-1].centre - bands[0].centre + (bands[0].width + bands[-1].width) / 2
    width = max(WIDTH_INCHES, _LEGEND_INCHES + _PLACE_INCHES * places)
    return width, max(HEIGHT_INCHES, ENTRY_INCHES * (len(series) + 4))


def _scale_x(axes: Axes, bands: Sequence[Band]) -> None:
    """A shade behind every number of calls, which is written below it."""
    for band in bands:
        left = band.centre - band.width / 2
        axes.axvspan(left, left + band.width, color=BAND, zorder=-1, linewidth=0)
    first, last = bands[0], bands[-1]
    axes.set_xlim(
        first.centre - first.width / 2 - _EDGE,
        last.centre + last.width / 2 + _EDGE,
    )
    axes.xaxis.set_major_locator(FixedLocator([band.centre for band in bands]))
    axes.xaxis.set_major_formatter(FixedFormatter([str(band.calls) for band in bands]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.grid(False)
    axes.set_xlabel("network evaluations per image, equal ones side by side")
