"""What the published records say of a method: values with intervals, and named comparisons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdbench_baselines.cards.ours import resolved_params
from kdbench_baselines.cards.verdicts import verdict_table

from kdbench import registry
from kdbench.errors import StoreError
from kdbench.plan import make_plan, planned
from kdbench.report.columns import parameters_cell, title_of
from kdbench.report.comparisons import Outcome, compare, named_comparisons
from kdbench.report.conditions import conditions_of, most_common
from kdbench.report.facts import TaskFacts, read_facts
from kdbench.report.rows import Row, group_rows
from kdbench.report.table import Cell, Column, Group, Table, estimate_cell, number_cell, to_markdown
from kdbench.spec import Pair
from kdbench.store import Store


@dataclass(frozen=True)
class Published:
    """One task of one published suite."""

    suite: str
    facts: TaskFacts
    rows: tuple[Row, ...]
    outcomes: tuple[Outcome, ...]


def published_folders(root: Path) -> tuple[Path, ...]:
    """The folders below `root` that are called after a suite."""
    suites = set(registry.suites)
    return tuple(sorted(path for path in root.glob("*/") if path.name in suites))


def read_published(folder: Path) -> tuple[Published, ...]:
    """What a folder publishes of the suite that it is called after, task by task.

    Its records are in it, or beside it where several suites share them.

    Raises:
        UnknownName: no suite is called so.
        StoreError: there are no records.
    """
    suite = registry.suites.load(folder.name)
    stores = [place for place in (folder, folder.parent) if (place / "records").is_dir()]
    if not stores:
        raise StoreError(f"{folder} has no records, nor has the folder that it is in.")
    records = planned(Store(stores[0]).records(), make_plan(suite.name))
    rows = group_rows(records)
    found = []
    for facts in read_facts(records):
        own = tuple(row for row in rows if row.identity.task == facts.task)
        outcomes = compare(own, named_comparisons(own, suite), facts)
        found.append(Published(suite.id, facts, own, outcomes))
    return tuple(found)


def outcomes_of(published: Sequence[Published], pairs: Sequence[Pair]) -> list[Outcome]:
    """The comparisons that are named for the students of some pairs."""
    names = {pair.name for pair in pairs}
    return [o for one in published for o in one.outcomes if _pair_of(o) in names]


def _pair_of(outcome: Outcome) -> str:
    return outcome.comparison.student.partition("/")[0].partition("@")[0]


def rows_of(one: Published, pairs: Sequence[Pair]) -> list[Row]:
    """The rows of some pairs, by calls and name."""
    ids = {pair.id for pair in pairs}
    own = [row for row in one.rows if row.identity.pair in ids]
    return sorted(own, key=lambda row: (row.identity.nfe or 0, row.label))


def write_measured(published: Sequence[Published], pairs: Sequence[Pair]) -> list[str]:
    """Values of every row, then the verdicts; for every suite and task that has them."""
    parts: list[str] = []
    for one in published:
        rows = rows_of(one, pairs)
        if rows:
            parts += [f"**Measured**, {one.suite}, {one.facts.task}:", _values(one, rows, pairs)]
            parts += list(_conditions(one, rows))
        outcomes = outcomes_of([one], pairs)
        if outcomes:
            parts += [
                f"**Named comparisons**, {one.suite}, {one.facts.task}:",
                verdict_table(outcomes),
            ]
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
