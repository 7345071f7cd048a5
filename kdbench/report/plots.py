"""Quality against latency and against the number of calls, as PNG and PDF."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal

import matplotlib
from matplotlib.figure import Figure

from kdbench.report.columns import title_of
from kdbench.report.cost_choice import choose_cost, estimate_cost
from kdbench.report.drawing import (
    describe_scale,
    draw_floor,
    draw_series,
    find_floor,
    scale_y,
    tick_calls,
    tick_latency,
)
from kdbench.report.facts import TaskFacts
from kdbench.report.rows import Row
from kdbench.report.series import CALLS_APART, LATENCIES_APART, Series, make_series, move_apart
from kdbench.report.style import DPI, HEIGHT_INCHES, STYLE, WIDTH_INCHES


def plot_quality_nfe(rows: Sequence[Row], facts: TaskFacts) -> Figure | None:
    """The main metric against network evaluations an image; None where nothing can be drawn."""
    series = make_series(rows, facts, lambda row: row.identity.nfe)
    if not series:
        return None
    return _draw(rows, series, facts, label="network evaluations per image (log scale)", calls=True)


def plot_quality_latency(rows: Sequence[Row], facts: TaskFacts) -> Figure | None:
    """The main metric against latency at batch 1; None where nothing can be drawn."""
    choice = choose_cost([r for row in rows for r in row.finished], "latency_ms", batch=1)
    if choice is None:
        return None
    series = make_series(rows, facts, lambda row: estimate_cost(row, choice).value)
    if not series:
        return None
    boundary = f", {choice.boundary}" if choice.boundary else ""
    return _draw(
        rows,
        series,
        facts,
        label=f"latency in ms at batch 1{boundary} (log scale), numbers are calls",
        calls=False,
    )


def save(figure: Figure, form: Literal["png", "pdf"]) -> bytes:
    """The figure as a file without dates or versions: the same bytes for the same figure."""
    buffer = io.BytesIO()
    dates = {"CreationDate": None, "Producer": None, "Creator": None}
    with matplotlib.rc_context(STYLE):
        figure.savefig(
            buffer, format=form, dpi=DPI, metadata={"Software": None} if form == "png" else dates
        )
    return buffer.getvalue()


def _draw(
    rows: Sequence[Row], series: Sequence[Series], facts: TaskFacts, *, label: str, calls: bool
) -> Figure:
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH_INCHES, HEIGHT_INCHES), dpi=DPI, layout="constrained")
        axes = figure.add_subplot()
        axes.set_xscale("log")
        axes.set_xlabel(label)
        apart = CALLS_APART if calls else LATENCIES_APART
        handles = draw_series(axes, move_apart(series, apart=apart), facts, numbered=not calls)
        floor = find_floor(rows, facts)
        if floor is not None:
            handles.append(draw_floor(axes, floor))
        scale_y(axes, series, floor, facts)
        axes.set_ylabel(_y_label(rows, facts) + describe_scale(axes, facts))
        if calls:
            tick_calls(axes, series)
        else:
            tick_latency(axes, series)
        figure.legend(handles=handles, loc="outside right upper")
    return figure


def _y_label(rows: Sequence[Row], facts: TaskFacts) -> str:
    scores = [score for row in rows for score in row.scores(facts.main).values()]
    direction = "higher" if facts.higher_is_better else "lower"
    return f"{title_of(scores[0])}, {direction} is better"
