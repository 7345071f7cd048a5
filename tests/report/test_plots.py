"""What is drawn, on which scales, and that equal records give equal files."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise

import matplotlib.image
import numpy as np
import pytest
from legends import assert_legend_is_whole_and_beside_the_axes
from matplotlib.figure import Figure
from report_records import PLANS, Plan, make_cost, make_record, make_score

from kdbench.record import Record
from kdbench.report.facts import TaskFacts
from kdbench.report.places import CALLS_APART, move_apart
from kdbench.report.plots import plot_quality_latency, plot_quality_nfe, save
from kdbench.report.rows import Row, group_rows
from kdbench.report.series import make_series
from kdbench.report.style import DPI, HEIGHT_INCHES, STYLE, WIDTH_INCHES


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def rows_at(kids: dict[str, float], *, half: float = 0.01) -> tuple[Row, ...]:
    """One-seed students at 1 call with these main metrics."""
    return group_rows(
        make_record(
            Plan(f"{name}@1", "x", "student", 1, 0, 0, latency_ms=1.0),
            0,
            scores=[make_score("kid@1", kid, half=half)],
        )
        for name, kid in kids.items()
    )


def test_series_are_teachers_controls_and_students(rows: tuple[Row, ...], facts: TaskFacts) -> None:
    series = make_series(rows, facts, lambda row: row.identity.nfe)
    assert [(one.kind, one.label) for one in series] == [
        ("teacher", "teacher, edm-teacher"),
        ("teacher", "teacher, gan-teacher"),
        ("control", "edm-scratch (no teacher)"),
        ("control", "gan-scratch (no teacher)"),
        ("student", "luhman"),
        ("student", "progressive"),
        ("student", "sid"),
        ("student", "gan-kd"),
    ]
    assert [point.nfe for point in series[0].points] == [1, 2, 4, 15, 31]
    assert [point.complete for point in series[5].points] == [False, True]


def test_a_line_goes_through_the_best_row_of_each_number_of_calls(facts: TaskFacts) -> None:
    plans = (PLANS[0], replace(PLANS[0], arm="other", kid=0.9))
    rows = group_rows(make_record(plan, 0) for plan in plans)
    (series,) = make_series(rows, facts, lambda row: row.identity.nfe)
    assert len(series.points) == 2
    assert [point.y for point in series.best(facts)] == [min(p.y for p in series.points)]


def test_points_of_equal_x_are_moved_apart_and_no_further(
    rows: tuple[Row, ...], facts: TaskFacts
) -> None:
    series = make_series(rows, facts, lambda row: row.identity.nfe)
    moved = move_apart(series, apart=CALLS_APART)
    xs = sorted(point.x for one in moved for point in one.points)
    assert all(b / a > CALLS_APART - 1e-9 for a, b in pairwise(xs))
    for before, after in zip(series, moved, strict=True):
        for old, new in zip(before.points, after.points, strict=True):
            assert new.x == pytest.approx(old.x, rel=0.22)
            assert replace(new, x=old.x) == old
    (lone,) = (p for p in moved[0].points if p.nfe == 15)
    assert lone.x == pytest.approx(15)


def test_legend_names_every_series_the_floor_and_hollow_markers(
    rows: tuple[Row, ...], facts: TaskFacts
) -> None:
    for plot in (plot_quality_nfe, plot_quality_latency):
        figure = plot(rows, facts)
        assert figure is not None
        labels = legend_of(figure)
        assert len(labels) == 10
        assert "floor: real against real" in labels
        assert "hollow: not all seeds finished" in labels
        assert "KID, lower is better" in figure.axes[0].get_ylabel()


def test_legend_and_axes_do_not_overlap_and_fit(rows: tuple[Row, ...], facts: TaskFacts) -> None:
    figure = plot_quality_latency(rows, facts)
    assert figure is not None
    assert_legend_is_whole_and_beside_the_axes(figure)


def test_scales_follow_the_values(facts: TaskFacts) -> None:
    near = plot_quality_nfe(rows_at({"a": 0.3, "b": 0.5}), facts)
    wide = plot_quality_nfe(rows_at({"a": 0.3, "b": 13.0}), facts)
    below = plot_quality_nfe(rows_at({"a": -0.004, "b": 13.0}), facts)
    assert near is not None
    assert wide is not None
    assert below is not None
    scales = [figure.axes[0].get_yscale() for figure in (near, wide, below)]
    assert scales == ["linear", "log", "symlog"]
    assert below.axes[0].get_ylim()[0] < -0.004
    upward = plot_quality_nfe(rows_at({"a": 0.3, "b": 13.0}), replace(facts, higher_is_better=True))
    assert upward is not None
    assert upward.axes[0].get_yscale() == "linear"


def test_every_point_lies_within_the_axes(rows: tuple[Row, ...], facts: TaskFacts) -> None:
    for plot in (plot_quality_nfe, plot_quality_latency):
        figure = plot(rows, facts)
        assert figure is not None
        axes = figure.axes[0]
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        for container in axes.containers:
            x, y = container.lines[0].get_xydata()[0]  # type: ignore[attr-defined]
            assert left < x < right
            assert bottom < y < top


def test_nothing_to_draw_is_no_figure(facts: TaskFacts) -> None:
    failed = group_rows([make_record(PLANS[0], 0, status="failed", reason="out of disk")])
    assert plot_quality_nfe(failed, facts) is None
    assert plot_quality_latency(failed, facts) is None
    untimed = group_rows([make_record(PLANS[0], 0, costs=[])])
    assert plot_quality_nfe(untimed, facts) is not None
    assert plot_quality_latency(untimed, facts) is None


@pytest.mark.parametrize("name", ["a$b$c_{x}", "_hidden", "long-" * 30])
def test_names_are_drawn_as_they_are(name: str, facts: TaskFacts) -> None:
    figure = plot_quality_nfe(rows_at({name: 0.3}), facts)
    assert figure is not None
    assert name.lstrip("_")[:20] in legend_of(figure)[0]
    assert len(legend_of(figure)[0]) <= 36
    assert save(figure, "png")


def test_files_are_the_same_for_the_same_rows(rows: tuple[Row, ...], facts: TaskFacts) -> None:
    first, second = (plot_quality_nfe(rows, facts) for _ in range(2))
    assert first is not None
    assert second is not None
    png, pdf = save(first, "png"), save(first, "pdf")
    assert png == save(second, "png")
    assert pdf == save(second, "pdf")
    for words in (b"CreationDate", b"Matplotlib"):
        assert words not in png + pdf
    image = matplotlib.image.imread(io.BytesIO(png))
    assert image.shape[:2] == (int(HEIGHT_INCHES * DPI), int(WIDTH_INCHES * DPI))
    assert np.unique(image[..., :3].reshape(-1, 3), axis=0).shape[0] > 100


def test_students_named_after_their_calls_are_one_series(facts: TaskFacts) -> None:
    def student(name: str, nfe: int, **changes: str) -> Plan:
        plan = Plan(f"{name}@1", "x", "student", nfe, 0.3, 0, method="progressive@1")
        return replace(plan, **changes)  # type: ignore[arg-type]

    plans = [
        *(student(f"pd-{calls}", calls) for calls in (1, 2, 4)),
        student("pd-8", 8, method="other@1"),
        student("pd-16", 4),
        student("alone-2", 2),
    ]
    rows = group_rows(make_record(plan, 0) for plan in plans)
    series = make_series(rows, facts, lambda row: row.identity.nfe)
    assert [(one.label, [point.nfe for point in one.points]) for one in series] == [
        ("alone-2", [2]),
        ("pd", [1, 2, 4]),
        ("pd-16", [4]),
        ("pd-8", [8]),
    ]


def test_equal_values_at_one_call_stand_clear_of_each_other(facts: TaskFacts) -> None:
    figure = plot_quality_nfe(
        [*rows_at({"a": 0.3, "b": 0.3}), *group_rows([make_record(PLANS[0], 0)])], facts
    )
    assert figure is not None
    save(figure, "png")
    axes = figure.axes[0]
    xs = [axes.transData.transform(c.lines[0].get_xydata()[0])[0] for c in axes.containers]  # type: ignore[attr-defined]
    size = STYLE["lines.markersize"] * DPI / 72
    assert abs(xs[-1] - xs[-2]) >= size


def test_the_y_label_tells_its_scale(facts: TaskFacts) -> None:
    for kids, told in (
        ({"a": 0.3, "b": 0.5}, "better"),
        ({"a": 0.3, "b": 13.0}, "(log scale)"),
        ({"a": -0.004, "b": 13.0}, "(linear below 0.05, logarithmic above)"),
    ):
        figure = plot_quality_nfe(rows_at(kids), facts)
        assert figure is not None
        assert figure.axes[0].get_ylabel().endswith(told)


def timed(name: str, ms: float, *marks: str) -> Record:
    cost = make_cost("latency_ms", ms, batch=1, unit="ms", marks=list(marks))
    plan = Plan(f"{name}@1", "x", "student", 1, 0, 0)
    return make_record(plan, 0, scores=[make_score("kid@1", 0.3 + ms, half=0.01)], costs=[cost])


def test_a_marked_latency_has_a_star_and_the_legend_says_why(facts: TaskFacts) -> None:
    rows = group_rows([timed("a", 1.0), timed("b", 2.0, "noisy", "drift")])
    figure = plot_quality_latency(rows, facts)
    assert figure is not None
    assert legend_of(figure)[-1] == "* latency marked drift, noisy"
    assert [text.get_text() for text in figure.axes[0].texts] == ["", "*"]
    unmarked = plot_quality_latency(rows[:1], facts)
    assert unmarked is not None
    assert legend_of(unmarked) == ["a"]


def test_what_was_not_the_same_program_is_not_in_the_plot_of_latency(facts: TaskFacts) -> None:
    rows = group_rows([timed("a", 1.0), timed("b", 0.1, "output_differs", "noisy")])
    figure = plot_quality_latency(rows, facts)
    assert figure is not None
    assert legend_of(figure) == ["a", "left out: 1 row marked\n   output_differs"]
    assert plot_quality_latency(rows[1:], facts) is None
    other = plot_quality_nfe(rows, facts)
    assert other is not None
    assert legend_of(other) == ["a", "b"]


def test_points_moved_apart_stay_within_the_axis(facts: TaskFacts) -> None:
    figure = plot_quality_latency(group_rows(timed(name, 0.1001) for name in "abcd"), facts)
    assert figure is not None
    axes = figure.axes[0]
    xs = [c.lines[0].get_xydata()[0][0] for c in axes.containers]  # type: ignore[attr-defined]
    assert min(xs) < 0.1
    assert axes.get_xlim()[0] < min(xs)
