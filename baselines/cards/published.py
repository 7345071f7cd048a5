"""The published records of suites: their rows and the comparisons that they name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kdbench import registry
from kdbench.errors import StoreError
from kdbench.plan import make_plan, planned
from kdbench.report.comparisons import Outcome, compare, named_comparisons
from kdbench.report.facts import TaskFacts, read_facts
from kdbench.report.rows import Row, group_rows
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
    """The comparisons that are named for the students of some pairs, one a student.

    Where several suites name a student, that with the most comparisons counts: its family of tests
    is the largest. One in which the student was run goes before one in which it was not.
    """
    names = {pair.name for pair in pairs}
    found: dict[str, Outcome] = {}
    for one in sorted(published, key=lambda one: len(one.outcomes)):
        for outcome in one.outcomes:
            student = outcome.comparison.student
            if _pair_of(outcome) in names and (outcome.student or student not in found):
                found[student] = outcome
    return list(found.values())


def _pair_of(outcome: Outcome) -> str:
    return outcome.comparison.student.partition("/")[0].partition("@")[0]


def rows_of(one: Published, pairs: Sequence[Pair]) -> list[Row]:
    """The rows of some pairs, by calls and name."""
    ids = {pair.id for pair in pairs}
    own = [row for row in one.rows if row.identity.pair in ids]
    return sorted(own, key=lambda row: (row.identity.nfe or 0, row.label))
