"""Quality against latency and against the number of calls, as PNG and PDF."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import Literal

import matplotlib
from matplotlib.figure import Figure

from kdbench.report.columns import title_of
from kdbench.report.cost_cells import scope_of
from kdbench.report.cost_choice import CostChoice, Marked, estimate_cost
from kdbench.report.crowds import best_of_families, is_crowded
from kdbench.report.drawing import (
    MARKED,
    describe_scale,
    draw_floor,
    draw_series,
    find_floor,
    scale_y,
    tick_calls,
    tick_latency,
    word_entry,
)
from kdbench.report.facts import TaskFacts
from kdbench.report.looks import looks_by_family
from kdbench.report.places import CALLS_APART, LATENCIES_APART, move_apart
from kdbench.report.rows import Row
from kdbench.report.series import Series, make_series
from kdbench.report.speed_up import forbidding_marks, times_of
from kdbench.report.style import DPI, HEIGHT_INCHES, STYLE, WIDTH_INCHES

_LEGEND_WIDTH = 36
"""Characters of a line of words."""


def plot_quality_nfe(rows: Sequence[Row], facts: TaskFacts) -> Figure | None:
    """The main metric against network evaluations an image; None where nothing can be drawn."""
    series = make_series(rows, facts, lambda row: row.identity.nfe)
    if not series:
        return None
    return _draw(rows, series, facts, label="network evaluations per image (log scale)", calls=True)


def plot_quality_latency(rows: Sequence[Row], facts: TaskFacts) -> Figure | None:
    """The main metric against latency at batch 1; None where nothing can be drawn.

    A latency with a mark has a star; a row of which nothing is said of speed is left out. The
    legend tells both.
    """
    choice = scope_of(rows).usual
    if choice is None:
        return None
    timed = {row.label: _latency(row, choice) for row in rows}
    series = make_series(
        rows,
        facts,
        lambda row: timed[row.label].value,
        marked=lambda row: bool(timed[row.label].marks),
    )
    if not series:
        return None
    boundary = f", {choice.boundary}" if choice.boundary else ""
    return _draw(
        rows,
        series,
        facts,
        label=f"latency in ms at batch 1{boundary} (log scale), numbers are calls",
        calls=False,
        words=_marks_in_words([timed[row.label] for row in rows]),
    )


def _latency(row: Row, choice: CostChoice) -> Marked:
    forbidding = forbidding_marks(times_of(row))
    if forbidding:
        return Marked(None, reason=", ".join(forbidding), marks=forbidding)
    return estimate_cost(row, choice)


def _marks_in_words(latencies: Sequence[Marked]) -> list[str]:
    """Lines of the legend: what the stars say, and which rows are not there."""
    doubted = sorted({mark for one in latencies if one.value is not None for mark in one.marks})
    forbidden = [one.reason or "" for one in latencies if one.value is None and one.marks]
    lines = [f"{MARKED} latency marked {', '.join(doubted)}"] if doubted else []
    lines += [
        f"left out: {_count(forbidden.count(why))} marked {why}" for why in sorted(set(forbidden))
    ]
    return [textwrap.fill(line, _LEGEND_WIDTH, subsequent_indent="   ") for line in lines]


def _count(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows} rows"


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
    rows: Sequence[Row],
    series: Sequence[Series],
    facts: TaskFacts,
    *,
    label: str,
    calls: bool,
    words: Sequence[str] = (),
) -> Figure:
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH_INCHES, HEIGHT_INCHES), dpi=DPI, layout="constrained")
        axes = figure.add_subplot()
        axes.set_xscale("log")
        axes.set_xlabel(label)
        if is_crowded(series):
            series = best_of_families(series, facts)
        apart = CALLS_APART if calls else LATENCIES_APART
        moved = move_apart(series, apart=apart)
        handles = draw_series(axes, moved, facts, looks=looks_by_family(moved), numbered=not calls)
        floor = find_floor(rows, facts)
        if floor is not None:
            handles.append(draw_floor(axes, floor))
        handles += map(word_entry, words)
        scale_y(axes, series, floor, facts)
        axes.set_ylabel(y_label(rows, facts) + describe_scale(axes, facts))
        if calls:
            tick_calls(axes, series)
        else:
            tick_latency(axes, moved)
        figure.legend(handles=handles, loc="outside right upper")
    return figure


def y_label(rows: Sequence[Row], facts: TaskFacts) -> str:
    """The main metric and its direction."""
    scores = [score for row in rows for score in row.scores(facts.main).values()]
    direction = "higher" if facts.higher_is_better else "lower"
    return f"{title_of(scores[0])}, {direction} is better"
