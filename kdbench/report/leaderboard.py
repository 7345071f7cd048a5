"""The leaderboard of one task: every row, grouped by its number of calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from kdbench.report.anchors import may_rank
from kdbench.report.columns import Measured, parameters_cell, score_columns, short_title
from kdbench.report.cost_columns import cost_columns, mark_notes
from kdbench.report.facts import TaskFacts
from kdbench.report.formats import describe_calls, format_estimate, format_half_width
from kdbench.report.leader import find_leader
from kdbench.report.rows import Row
from kdbench.report.table import Cell, Column, Group, Table, number_cell
from kdbench.report.topics import COSTS, QUALITY, TOPICS
from kdbench.report.training_columns import training_columns, use_columns

ROLES = ("teacher", "student", "scratch", "few-step", "inherited", "trivial", "floor")
"""The order of roles within a group."""
_RANKED = ("student", "scratch", "few-step", "inherited")
_IDENTITY = ("role", "row", "method", "nfe", "parameters")


@dataclass(frozen=True)
class Leaderboard:
    """One table with what is said below it."""

    table: Table
    quality: Table
    """The columns of identity and quality."""
    topics: tuple[tuple[str, Table], ...]
    """Heading and columns of what is beside quality: teacher, diversity, memorisation."""
    costs: tuple[tuple[str, Table], ...]
    """Heading and columns of what was measured of speed, of other costs and of training."""
    used: Table | None
    """The columns of identity and what the trainings used; None where nothing was trained."""
    notes: tuple[str, ...]


def make_leaderboard(rows: Sequence[Row], facts: TaskFacts) -> Leaderboard:
    """Teachers first, then each number of calls with its controls, then trivial and floor."""
    scores = score_columns(rows, facts)
    costs = [*cost_columns(rows), *training_columns(rows)]
    uses = use_columns(rows)
    columns = [*_identity_columns(), *scores, *costs, *uses, _seeds_column()]
    table = Table(
        columns=tuple(measured.column for measured in columns),
        groups=tuple(
            Group(
                title,
                _draw_group(group, columns, leader=_leader(group, rows, facts), main=facts.main),
            )
            for title, group in _group(rows, facts)
        ),
    )
    return Leaderboard(
        table=table,
        quality=table.select({*_IDENTITY, "seeds", *_keys(scores, QUALITY)}),
        topics=tuple(
            (topic, table.select({"role", "row", "nfe", *keys}))
            for topic in TOPICS
            if (keys := _keys(scores, topic))
        ),
        costs=tuple(
            (topic, shown)
            for topic in COSTS
            if (shown := _select(table, [one for one in costs if one.topic == topic]))
        ),
        used=_select(table, uses),
        notes=(*_notes(rows, [*scores, *costs, *uses], facts), *mark_notes(table.marks)),
    )


def _keys(scores: Sequence[Measured], topic: str) -> set[str]:
    """The columns of one topic; the main metric, which is sorted first, is always quality."""
    main = scores[0].column.key if scores else ""
    topics = {m.column.key: QUALITY if m.column.key == main else m.topic for m in scores}
    return {key for key, own in topics.items() if own == topic}


def _select(table: Table, columns: Sequence[Measured]) -> Table | None:
    if not columns:
        return None
    return table.select({"role", "row", "nfe", *(measured.column.key for measured in columns)})


def _identity_columns() -> list[Measured]:
    return [
        Measured(Column("role", "role"), lambda row: Cell(row.identity.role), ""),
        Measured(Column("row", "pair/arm"), _label_cell, ""),
        Measured(Column("method", "method"), lambda row: Cell(row.identity.method or "none"), ""),
        Measured(
            Column("nfe", "calls (NFE)", "number"),
            lambda row: number_cell(row.identity.nfe, reason="not recorded"),
            "",
        ),
        Measured(Column("parameters", "parameters", "number"), parameters_cell, ""),
    ]


def _seeds_column() -> Measured:
    return Measured(Column("seeds", "seeds"), lambda row: Cell(row.seeds), "")


def _label_cell(row: Row) -> Cell:
    reference = ("reference teacher of its family",) if row.identity.reference else ()
    return Cell(row.label, note="; ".join((*reference, *row.marks)) or None)


def _leader(group: Sequence[Row], rows: Sequence[Row], facts: TaskFacts) -> Row | None:
    """The row of a group that may be set in bold."""
    ranked = [row for row in group if row.identity.role in _RANKED]
    leader = find_leader(ranked, facts)
    return leader if leader is not None and may_rank(leader, rows, facts) else None


def _draw_group(
    group: Sequence[Row], columns: Sequence[Measured], *, leader: Row | None, main: str
) -> tuple[tuple[Cell, ...], ...]:
    return tuple(
        tuple(
            replace(measured.cell(row), strong=row is leader and measured.column.key == main)
            for measured in columns
        )
        for row in group
    )


def _group(rows: Sequence[Row], facts: TaskFacts) -> list[tuple[str, list[Row]]]:
    teachers = [row for row in rows if row.identity.role == "teacher"]
    marks = [row for row in rows if row.identity.role in ("trivial", "floor")]
    others = [row for row in rows if row.identity.role in _RANKED]
    calls = sorted({row.identity.nfe for row in others if row.identity.nfe is not None})
    groups = [("Teachers", sorted(teachers, key=_by_family))]
    for nfe in calls:
        group = [row for row in others if row.identity.nfe == nfe]
        groups.append((describe_calls(nfe), sorted(group, key=lambda row: _by_role(row, facts))))
    unknown = [row for row in others if row.identity.nfe is None]
    groups.append(("Number of calls not recorded", unknown))
    groups.append(("Marks", sorted(marks, key=lambda row: _by_role(row, facts))))
    return [(title, group) for title, group in groups if group]


def _by_family(row: Row) -> tuple[str, bool, int, str]:
    identity = row.identity
    return identity.family, not identity.reference, -(identity.nfe or 0), row.label


def _by_role(row: Row, facts: TaskFacts) -> tuple[int, bool, float, str]:
    value = row.estimate(facts.main).value
    rank = 0.0 if value is None else facts.rank(value)
    return ROLES.index(row.identity.role), value is None, rank, row.label


def _notes(rows: Sequence[Row], columns: Sequence[Measured], facts: TaskFacts) -> tuple[str, ...]:
    floors = [row for row in rows if row.identity.role == "floor"]
    return (
        "Scores are of the held-out split: means over training seeds with 95 % Student t "
        "intervals; a row with a single value, or with the same value for every seed, shows the "
        "interval of sampling that was measured with it.",
        "Intervals over seeds are conditional on the one held-out reference set: they do not "
        f"cover the choice of its images.{_describe_sampling(rows, facts)}",
        "Within a group rows are sorted by role and mean, which is no ranking. Bold: separated "
        "from every other row with as many calls (paired t tests by seed, Holm), where the teacher "
        "leads the anchor by more than the margin on validation; otherwise nothing is bold.",
        "Seeds: finished of all. Of a row with an unfinished seed nothing is claimed.",
        *_teacher_notes(rows),
        *(f"Floor ({row.label}): {format_estimate(row.estimate(facts.main))}." for row in floors),
        *(measured.note for measured in columns if measured.note),
    )


def _describe_sampling(rows: Sequence[Row], facts: TaskFacts) -> str:
    """How wide the main metric's own interval of one run typically is."""
    widths = [width for row in rows if (width := row.sampling_half_width(facts.main)) is not None]
    if not widths:
        return ""
    return (
        f" One run's own interval of {short_title(facts.main)}, from the sampling of generated and "
        f"reference images, is about ± {format_half_width(median(widths))} (median over rows)."
    )


def _teacher_notes(rows: Sequence[Row]) -> list[str]:
    """How many teachers stand behind the students, for each teacher that is named."""
    teachers = {teacher for row in rows for teacher in row.teachers}
    counts = Counter(name for name, _ in teachers)
    if not counts:
        return []
    named = ", ".join(f"{count} of {name}" for name, count in sorted(counts.items()))
    return [f"Conditional on the teachers used ({named}): nothing is said of other teachers."]
