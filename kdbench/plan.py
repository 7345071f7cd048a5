"""From a suite, a task or a pair to the list of runs: what will be made, and what not and why.

Nothing is imported that a plan only names, so this is quick and needs no torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdbench import registry
from kdbench.errors import BadSpec, UnknownName
from kdbench.record import Record
from kdbench.spec import Pair, Run, Suite


@dataclass(frozen=True)
class Skipped:
    """A row that was asked for and will not be run."""

    task: str
    pair: str
    arm: str
    seed: int
    reason: str


@dataclass(frozen=True)
class Plan:
    """What a command is going to do, before it does it."""

    what: str
    """`suite quick@1`, `task digits@1` or `pair digits-luhman@1`."""
    suite: Suite | None
    runs: tuple[Run, ...]
    skipped: tuple[Skipped, ...]
    expected_seconds: float
    """CPU seconds of training and sampling, costs and unrun pairs not included."""
    unrun: dict[str, str]
    """Pairs, prerequisites included, that nobody has run as they are, and why."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """All tasks of the runs, `name@version`."""
        return tuple(dict.fromkeys(run.task for run in self.runs))

    @property
    def seeds(self) -> tuple[int, ...]:
        """All seeds of the runs."""
        return tuple(sorted({run.seed for run in self.runs}))

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "what": self.what,
            "runs": [run.model_dump(mode="json") for run in self.runs],
            "skipped": [vars(skipped) for skipped in self.skipped],
            "expected_cpu_seconds": self.expected_seconds,
            "unrun": self.unrun,
        }


def make_plan(
    name: str, *, seeds: tuple[int, ...] | None = None, metrics: tuple[str, ...] = ()
) -> Plan:
    """Plan a suite, a task or a pair, resolved in this order, or a pair's or suite's TOML file.

    Args:
        name: of what is planned.
        seeds: instead of the suite's own.
        metrics: beyond those of the tasks and of the suite.

    Raises:
        UnknownName: nothing has this name.
        BadSpec: a description is wrong, or prerequisites go in a circle.
    """
    suite, pairs, what = _resolve(name)
    chosen = seeds or (suite.seeds if suite else (0, 1, 2))
    rows: dict[tuple[str, str], Pair] = {}
    for pair in pairs:
        for arm in pair.arms:
            rows[pair.name, arm] = pair
        for control in pair.controls:
            other, _, arm = control.partition("/")
            found = _control(pair, other, arm)
            rows[found.name, arm] = found
    _check_comparisons(suite, rows)
    order = _ordered({pair.name: pair for pair in rows.values()})
    runs, skipped = [], []
    for position in sorted(rows, key=lambda row: order.index(row[0])):
        pair, arm = rows[position], position[1]
        for seed in chosen:
            reason = _why_not(pair, arm, seed, chosen)
            if reason:
                skipped.append(Skipped(pair.task, pair.id, arm, seed, reason))
            else:
                runs.append(_run(pair, arm, seed, suite, metrics))
    trained = {(run.pair, run.seed): registry.pairs.load(run.pair) for run in runs}
    expected = sum(pair.expected_seconds for pair in trained.values() if not pair.unrun)
    unrun = {name: why for name in order if (why := registry.pairs.load(name).unrun)}
    return Plan(what, suite, tuple(runs), tuple(skipped), expected, unrun)


def _resolve(name: str) -> tuple[Suite | None, list[Pair], str]:
    if name.endswith(".toml"):
        pair = registry.pairs.add(Path(name))
        return None, [pair], f"pair {pair.id}"
    stem = name.partition("@")[0]
    if stem in registry.suites:
        suite = registry.suites.load(name)
        return suite, [registry.pairs.load(p) for p in suite.pairs], f"suite {suite.id}"
    tasks = list(registry.tasks)
    if name in tasks or stem in {task.partition("@")[0] for task in tasks}:
        task = registry.tasks.resolve(name)
        pairs = [p for p in map(registry.pairs.load, registry.pairs) if p.task == task]
        return None, pairs, f"task {task}"
    if stem in registry.pairs:
        pair = registry.pairs.load(name)
        return None, [pair], f"pair {pair.id}"
    known = [*registry.suites, *(task.partition("@")[0] for task in tasks), *registry.pairs]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise UnknownName(
        f"There is no suite, task or pair {name!r}.{hint} See `kdbench list suites`, "
        "`kdbench list tasks` and `kdbench list pairs`."
    )


def _control(pair: Pair, other: str, arm: str) -> Pair:
    control = registry.pairs.load(other)
    if arm not in control.arms:
        raise BadSpec(f"The pair {pair.name} names the control {other}/{arm}, which has no arm so.")
    return control


def _check_comparisons(suite: Suite | None, rows: dict[tuple[str, str], Pair]) -> None:
    for comparison in suite.comparisons if suite else ():
        for row in (comparison.student, comparison.few_step, comparison.teacher):
            if row is not None and tuple(row.split("/")) not in rows:
                raise BadSpec(f"A comparison of the suite names {row}, which the suite has not.")


def _ordered(pairs: dict[str, Pair]) -> list[str]:
    """Names of pairs and their prerequisites, each after what it needs."""
    order: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise BadSpec(f"Prerequisites go in a circle: {' → '.join((*above, name))}.")
        if name not in order:
            pair = pairs.get(name) or registry.pairs.load(name)
            for other in pair.prerequisites:
                visit(other, (*above, name))
            order.append(name)

    for name in pairs:
        visit(name, ())
    return order


def _why_not(pair: Pair, arm: str, seed: int, seeds: tuple[int, ...]) -> str | None:
    if pair.arms[arm].role == "floor" and seed != min(seeds):
        return "real images do not depend on the seed"
    return None


def _run(pair: Pair, arm: str, seed: int, suite: Suite | None, metrics: tuple[str, ...]) -> Run:
    needs = list(pair.prerequisites)
    if (beside := compared_with(pair)) and beside[0] != pair.name:
        needs.append(beside[0])
    return Run(
        suite=suite.id if suite else None,
        task=pair.task,
        pair=pair.name,
        arm=arm,
        role=pair.arms[arm].role,
        seed=seed,
        needs=tuple(dict.fromkeys(needs)),
        metrics=tuple(dict.fromkeys((*(suite.metrics if suite else ()), *metrics))),
    )


def compared_with(pair: Pair) -> tuple[str, str] | None:
    """The (pair, arm) of the teacher whose images paired metrics compare with.

    It is the reference arm of `beside`, else of the first teacher of the chain of teachers, else
    of the pair itself.
    """
    name: str | None = pair.beside or pair.teacher or pair.name
    passed = {pair.name}
    while name is not None:
        other = registry.pairs.load(name)
        for arm, spec in other.arms.items():
            if spec.reference:
                return other.name, arm
        name = None if other.name in passed else other.beside or other.teacher
        passed.add(other.name)
    return None


def planned(records: Iterable[Record], plan: Plan) -> list[Record]:
    """The records of a plan's rows: its own seeds, and others that are already there."""
    rows = {(run.task, registry.pairs.load(run.pair).id, run.arm) for run in plan.runs}
    return [r for r in records if (r.identity.task, r.identity.pair, r.identity.arm) in rows]
