"""Plots of one family, and what the plots of all families show where there are many students."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from string import ascii_lowercase

import pytest
from legends import assert_legend_is_whole_and_beside_the_axes
from report_records import PLANS, Plan, make_record

from kdbench.report.crowds import best_of_families, is_crowded
from kdbench.report.facts import TaskFacts
from kdbench.report.family_plots import families_to_draw, plot_family
from kdbench.report.looks import looks_by_family, looks_by_kind
from kdbench.report.places import stand_in_bands
from kdbench.report.plots import plot_quality_latency, plot_quality_nfe, save
from kdbench.report.rows import Row, group_rows
from kdbench.report.series import Series, make_series
from kdbench.report.style import CONTROL, STUDENTS, TEACHER

START = Plan("edm-start@1", "euler-2", "inherited", 2, 5.0, 0.3, method="edm@1")


def many(students: int, *, family: str = "diffusion") -> tuple[Row, ...]:
    """The suite without its GANs, a start, and so many students at 1, 2 and 4 calls."""
    own = [plan for plan in PLANS if plan.family in (family, "floor")]
    one = replace(PLANS[-4], family=family)
    new = [
        replace(one, pair=f"method-{letter}@1", arm=f"calls-{calls}", nfe=calls)
        for letter in ascii_lowercase[:students]
        for calls in (1, 2, 4)
    ]
    plans = [plan for plan in (*own, START, *new) if plan.role != "student" or plan in new]
    return group_rows(make_record(plan, seed) for plan in plans for seed in plan.seeds)


def series_of(rows: tuple[Row, ...], facts: TaskFacts) -> tuple[Series, ...]:
    return make_series(rows, facts, lambda row: row.identity.nfe)


def test_families_are_drawn_where_one_plot_does_not_say_all(
    rows: tuple[Row, ...], facts: TaskFacts
) -> None:
    assert families_to_draw(rows, facts) == ("diffusion", "gan")
    assert families_to_draw(many(6), facts) == ()
    assert families_to_draw(many(7), facts) == ("diffusion",)
    assert families_to_draw(many(0), facts) == ()


def test_a_family_stands_with_the_anchors_of_its_students(
    rows: tuple[Row, ...], facts: TaskFacts
) -> None:
    figure = plot_family(rows, facts, "diffusion")
    assert figure is not None
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "teacher, edm-teacher",
        "edm-scratch (no teacher)",
        "gan-scratch (no teacher)",  # the best at one call without a teacher, of another family
        "luhman",
        "progressive",
        "sid",
        "hollow: not all seeds finished",
        "floor: real against real",
    ]
    assert plot_family(rows, facts, "no such family") is None


def test_one_scale_for_all_families_of_a_task(rows: tuple[Row, ...], facts: TaskFacts) -> None:
    """The GANs alone would have a linear axis."""
    limits = set()
    for family in ("diffusion", "gan"):
        figure = plot_family(rows, facts, family)
        assert figure is not None
        assert figure.axes[0].get_yscale() == "log"
        limits.add(figure.axes[0].get_ylim())
    assert len({round(top, 6) for _, top in limits}) == 1


def test_equal_calls_stand_side_by_side_in_bands_that_do_not_touch(facts: TaskFacts) -> None:
    moved, bands = stand_in_bands(series_of(many(16), facts))
    assert [band.calls for band in bands] == [1, 2, 4, 15, 31]
    for left, right in pairwise(bands):
        assert right.centre - right.width / 2 >= left.centre + left.width / 2 + 1
    xs = sorted((point.x, point.nfe) for one in moved for point in one.points)
    assert all(b[0] - a[0] >= 1 for a, b in pairwise(xs))
    for x, nfe in xs:
        (band,) = (band for band in bands if band.calls == nfe)
        assert abs(x - band.centre) < band.width / 2
    alone = {band.calls: band.centre for band in bands}
    assert alone[31] - alone[15] == pytest.approx(3.1, abs=0.05)  # log₂(31 / 15) octaves


def test_looks_tell_sixteen_students_apart(facts: TaskFacts) -> None:
    series = series_of(many(16), facts)
    looks = looks_by_kind(series)
    by_kind: dict[str, list[tuple[str, str]]] = {}
    for one, look in zip(series, looks, strict=True):
        by_kind.setdefault(one.kind, []).append((look.colour, look.marker))
    assert len(set(by_kind["student"])) == 16
    assert {colour for colour, _ in by_kind["student"]} == set(STUDENTS)
    lines = {one.kind: look.line for one, look in zip(series, looks, strict=True)}
    assert lines == {"teacher": "-", "control": "--", "start": ":", "student": "-"}
    colours = {kind: {colour for colour, _ in own} for kind, own in by_kind.items()}
    assert colours["teacher"] == {TEACHER}
    assert colours["control"] == {CONTROL}
    assert colours["start"].isdisjoint({TEACHER, CONTROL, *STUDENTS})
    assert {look.line for look in looks_by_family(series)} == {"-"}


def test_legend_of_many_is_whole_and_beside_the_axes(facts: TaskFacts) -> None:
    figure = plot_family(many(18), facts, "diffusion")
    assert figure is not None
    assert_legend_is_whole_and_beside_the_axes(figure)


def test_markers_of_many_stand_clear(facts: TaskFacts) -> None:
    figure = plot_family(many(18), facts, "diffusion")
    assert figure is not None
    save(figure, "png")
    axes = figure.axes[0]
    points = [c.lines[0].get_xydata()[0] for c in axes.containers]  # type: ignore[attr-defined]
    xs = sorted(axes.transData.transform(point)[0] for point in points)
    assert min(b - a for a, b in pairwise(xs)) >= 0.9 * 6.5 * figure.dpi / 72


def test_a_crowd_is_shown_by_its_best(facts: TaskFacts) -> None:
    series = series_of(many(7), facts)
    assert is_crowded(series)
    best = best_of_families(series, facts)
    assert [one.label for one in best] == [
        "teacher, edm-teacher",
        "best without a teacher, diffusion",
        "best start, diffusion",
        "best student, diffusion",
    ]
    students = [p for one in series if one.kind == "student" for p in one.points]
    for point in best[-1].points:
        assert point.y == min(p.y for p in students if p.nfe == point.nfe)
    assert [point.nfe for point in best[-1].points] == [1, 2, 4]
    for plot in (plot_quality_nfe, plot_quality_latency):
        figure = plot(many(7), facts)
        assert figure is not None
        labels = [text.get_text() for text in figure.legends[0].get_texts()]
        assert "best student, diffusion" in labels
        assert not any(label.startswith("method-") for label in labels)


def test_files_of_a_family_are_the_same_for_the_same_rows(facts: TaskFacts) -> None:
    first, second = (plot_family(many(8), facts, "diffusion") for _ in range(2))
    assert first is not None
    assert second is not None
    assert save(first, "pdf") == save(second, "pdf")
