"""What was measured of a method's pairs: values with intervals, and verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kdbench_baselines.cards.published import Published, outcomes_of, rows_of
from kdbench_baselines.cards.verdicts import verdict_table

from kdbench.keys import resolved_params
from kdbench.report.columns import parameters_cell, title_of
from kdbench.report.conditions import conditions_of, most_common
from kdbench.report.rows import Row
from kdbench.report.table import Cell, Column, Group, Table, estimate_cell, number_cell, to_markdown
from kdbench.spec import Pair


def write_measured(published: Sequence[Published], pairs: Sequence[Pair]) -> list[str]:
    """Values of every row, then the verdicts, for every suite that has them of one task.

    The suite with the most comparisons comes first; rows that others share with it stand once.
    """
    parts: list[str] = []
    shown: list[Row] = []
    for one in sorted(published, key=lambda one: -len(one.outcomes)):
        outcomes = outcomes_of([one], pairs)
        rows = [row for row in rows_of(one, pairs) if row not in shown]
        if rows:
            parts += [f"Measured in {one.suite}:", _values(one, rows, pairs)]
            parts += list(_conditions(one, rows))
        if outcomes:
            parts += [f"Named comparisons in {one.suite}:", verdict_table(outcomes)]
        shown += rows
    return parts or ["Not yet measured: no published record is of these pairs."]


def _values(one: Published, rows: Sequence[Row], pairs: Sequence[Pair]) -> str:
    example = next(iter(s for row in rows for s in row.scores(one.facts.main).values()), None)
    title = title_of(example) if example else one.facts.main
    columns = (
        Column("row", "pair/arm"),
        Column("role", "role"),
        Column("nfe", "calls", "number"),
        Column("parameters", "parameters", "number"),
        Column("main", f"{title} {'↑' if one.facts.higher_is_better else '↓'}", "estimate"),
        Column("seeds", "seeds"),
    )
    by_id = {pair.id: pair for pair in pairs}
    cells = tuple(
        (
            Cell(
                row.label,
                note="; ".join((*row.marks, *_other_settings(row, by_id[row.identity.pair])))
                or None,
            ),
            Cell(row.identity.role),
            number_cell(row.identity.nfe, reason="not recorded"),
            parameters_cell(row),
            estimate_cell(row.estimate(one.facts.main)),
            Cell(row.seeds),
        )
        for row in rows
    )
    return to_markdown(Table(columns, (Group("", cells),)))


def _other_settings(row: Row, pair: Pair) -> list[str]:
    """What a reader must know where the records are of other numbers than the tables above."""
    recorded, now = row.identity.params, resolved_params(pair)
    other = sorted(name for name, value in recorded.items() if now.get(name) != value)
    said = [f"recorded with other values of {', '.join(other)}"] if other else []
    steps = {record.training.steps for record in row.finished if record.training}
    if pair.budget and steps - {pair.budget.steps}:
        said.append(f"recorded after {', '.join(f'{n:,}' for n in sorted(steps))} updates")
    return said


def _conditions(one: Published, rows: Sequence[Row]) -> Iterator[str]:
    scores = [score for row in rows for score in row.scores(one.facts.main).values()]
    usual = most_common(conditions_of(score) for score in scores if score.value is not None)
    if usual is not None:
        yield f"{one.facts.main}: {usual.pooled.describe()}."
