"""The shipped descriptions are whole: what they cite exists, and every suite can be planned."""

from __future__ import annotations

import json
from pathlib import Path

import kdbench_baselines
import pytest

from kdbench import registry
from kdbench.plan import make_plan
from kdbench.spec import FROM_SCRATCH
from kdbench.weights import find_weights

BASELINES = Path(kdbench_baselines.__file__).parent


@pytest.mark.parametrize("name", list(registry.pairs))
def test_what_a_pair_cites_exists(name: str) -> None:
    pair = registry.pairs.load(name)
    for weights in pair.weights:
        assert find_weights(weights).is_file()
    if pair.tuning.record:
        rows = json.loads((BASELINES / "tuning" / pair.tuning.record).read_text())
        assert rows
        assert all(row["n"] and "held_out" not in row for row in rows)


@pytest.mark.parametrize("name", list(registry.suites))
def test_every_suite_can_be_planned_and_compares_students(name: str) -> None:
    plan = make_plan(name)
    roles = {f"{run.pair}/{run.arm}": run.role for run in plan.runs}
    assert plan.suite is not None
    assert plan.suite.comparisons
    for comparison in plan.suite.comparisons:
        assert roles[comparison.student] in ("student", *FROM_SCRATCH)
        assert roles[comparison.teacher] == "teacher"


@pytest.mark.parametrize("name", list(registry.suites))
def test_every_student_of_a_suite_stands_beside_its_controls(name: str) -> None:
    plan = make_plan(name)
    rows = {f"{run.pair}/{run.arm}" for run in plan.runs}
    for pair in {run.pair for run in plan.runs}:
        assert set(registry.pairs.load(pair).controls) <= rows, pair


def test_embedded_compares_every_pair_that_has_a_teacher() -> None:
    plan = make_plan("embedded")
    assert plan.suite is not None
    compared = {comparison.student.partition("/")[0] for comparison in plan.suite.comparisons}
    taught = {run.pair for run in plan.runs if registry.pairs.load(run.pair).teacher}
    assert taught - compared == {"digits-progressive-8"}  # a halving on the way to 4 calls


def test_quick_has_its_families_and_rows() -> None:
    plan = make_plan("quick")
    rows = {(run.pair, run.arm) for run in plan.runs}
    families = {registry.pairs.load(pair).family for pair, _ in rows}
    assert {"diffusion", "gan"} <= families
    assert len(rows) >= 12
    assert plan.seeds == (0, 1, 2)
