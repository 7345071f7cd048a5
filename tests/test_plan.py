"""From a name to runs: what is pulled in, in which order, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kdbench import registry
from kdbench.engines.jobs import make_jobs
from kdbench.errors import BadSpec, KdbenchError, UnknownName
from kdbench.plan import compared_with, make_plan, planned
from kdbench.spec import Run
from kdbench.store import Store

WritePair = Callable[..., Path]


@pytest.fixture
def add_suite(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """`add_suite(pairs, rest)`: register the suite `mine`, which is forgotten afterwards."""

    def add(pairs: list[str], rest: str = "") -> None:
        path = tmp_path / "mine.toml"
        path.write_text(f'name = "mine"\nsummary = "s"\npairs = {pairs}\n{rest}')
        registry.suites.add(path)

    yield add
    registry.suites.added.clear()


def rows(runs: tuple[Run, ...]) -> set[tuple[str, str]]:
    return {(run.pair, run.arm) for run in runs}


# ---------------------------------------------------------------- what is planned


def test_smoke_has_all_arms_of_its_pairs_at_three_seeds() -> None:
    plan = make_plan("smoke")
    assert plan.what.startswith("suite smoke@")
    assert plan.suite is not None
    expected = {(name, arm) for name in plan.suite.pairs for arm in registry.pairs.load(name).arms}
    assert rows(plan.runs) == expected
    assert ("toy-progressive-2", "student") in expected
    assert plan.seeds == (0, 1, 2)
    floor = [run for run in plan.runs if run.role == "floor"]
    assert {(run.pair, run.seed) for run in floor} == {("toy-real", 0)}
    assert {(s.pair, s.seed) for s in plan.skipped} == {("toy-real@1", 1), ("toy-real@1", 2)}
    assert {s.reason for s in plan.skipped} == {"real images do not depend on the seed"}
    assert len(plan.runs) == 3 * (len(expected) - 1) + 1
    assert len({(r.pair, r.arm, r.seed) for r in plan.runs}) == len(plan.runs)


def test_a_pair_pulls_in_its_controls_and_nothing_else() -> None:
    plan = make_plan("toy-progressive-2", seeds=(4,))
    assert rows(plan.runs) == {
        ("toy-progressive-2", "student"),
        ("toy-edm", "heun-15"),
        ("toy-edm", "euler-2"),
        ("toy-denoiser", "euler-2"),
    }
    assert {run.seed for run in plan.runs} == {4}
    assert {run.role for run in plan.runs} == {"student", "teacher", "few-step", "scratch"}


def test_a_task_is_all_of_its_pairs() -> None:
    plan = make_plan("toy")
    mine = {name for name in registry.pairs if registry.pairs.load(name).task == "toy@1"}
    assert {run.pair for run in plan.runs} == mine
    assert plan.what == "task toy@1"
    assert make_plan("toy@1").runs == plan.runs


def test_metrics_that_are_asked_for_come_behind_the_suites(
    add_suite: Callable[..., None],
) -> None:
    add_suite(["toy-noise"], 'metrics = ["vendi@1", "psnr@1"]\n')
    plan = make_plan("mine", metrics=("coverage@1", "vendi@1"))
    assert {run.metrics for run in plan.runs} == {("vendi@1", "psnr@1", "coverage@1")}
    assert {run.metrics for run in make_plan("mine").runs} == {("vendi@1", "psnr@1")}
    assert {run.metrics for run in make_plan("toy-noise", metrics=("a@1",)).runs} == {("a@1",)}


def test_a_plan_knows_its_tasks() -> None:
    assert make_plan("smoke").tasks == ("toy@1",)


def test_versions_may_be_named() -> None:
    assert make_plan("toy-luhman@1").runs == make_plan("toy-luhman").runs
    with pytest.raises(UnknownName, match="version 1: drop the @2"):
        make_plan("toy-luhman@2")


def test_the_same_name_gives_the_same_plan() -> None:
    assert make_plan("smoke") == make_plan("smoke")


def test_every_run_comes_after_what_it_needs() -> None:
    plan = make_plan("smoke")
    first = {run.pair: i for i, run in reversed(list(enumerate(plan.runs)))}
    for i, run in enumerate(plan.runs):
        for need in run.needs:
            assert first[need] < i, (need, run.pair)


def test_expected_seconds_count_every_training_once(add_pair: Callable[..., Path]) -> None:
    add_pair("one", "expected_seconds = 7\n", '[arms.more]\nrole = "few-step"\n')
    assert make_plan("one", seeds=(0, 1, 2)).expected_seconds == 21


def test_a_file_of_the_users_own_is_planned(
    write_pair: WritePair, tmp_path: Path, add_pair: Callable[..., Path], trained: str
) -> None:
    path = write_pair(tmp_path, "mine", 'teacher = "toy-edm"\n' + trained)
    plan = make_plan(str(path), seeds=(0,))
    assert plan.what == "pair mine@1"
    assert rows(plan.runs) == {("mine", "student")}
    assert plan.runs[0].needs == ("toy-edm",)


def test_a_teacher_may_be_named_with_its_version(add_pair: Callable[..., Path]) -> None:
    add_pair("one", 'teacher = "toy-edm@1"\ncontrols = ["toy-edm@1/heun-15", "toy-edm/euler-2"]\n')
    plan = make_plan("one", seeds=(0,))
    assert len(plan.runs) == 3
    jobs = make_jobs(plan)
    assert len(jobs) == 2, [job.id for job in jobs]


def test_a_control_may_be_named_with_its_version(add_pair: Callable[..., Path]) -> None:
    add_pair("one", 'controls = ["toy-edm@1/heun-15"]\n')
    plan = make_plan("one", seeds=(0,))
    assert rows(plan.runs) == {("one", "student"), ("toy-edm", "heun-15")}


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("field", ["teacher", "start"])
def test_a_circle_of_prerequisites_is_refused(field: str, add_pair: Callable[..., Path]) -> None:
    add_pair("one", 'teacher = "two"\n')
    add_pair("two", f'{field} = "three"\n')
    add_pair("three", 'start = "one"\n')
    with pytest.raises(BadSpec, match="Prerequisites go in a circle") as caught:
        make_plan("one")
    assert "one → two → three → one" in str(caught.value)


def test_a_pair_that_needs_itself_is_refused(add_pair: Callable[..., Path]) -> None:
    add_pair("one", 'teacher = "one"\n')
    with pytest.raises(BadSpec, match="circle: one → one"):
        make_plan("one")


def test_a_circle_of_comparisons_ends(write_pair: WritePair, tmp_path: Path, trained: str) -> None:
    for name, other in (("one", "two"), ("two", "one")):
        write_pair(tmp_path, name, f'beside = "{other}"\n' + trained)
    script = (
        "from pathlib import Path; from kdbench import registry; from kdbench.plan import *\n"
        f"for path in Path({str(tmp_path)!r}).glob('*.toml'): registry.pairs.add(path)\n"
        "print(compared_with(registry.pairs.load('one')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=10
    )
    assert done.stdout == "None\n" or "BadSpec" in done.stderr


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ('controls = ["toy-edm/heun-99"]\n', ["one", "toy-edm/heun-99"]),
        ('controls = ["toy-edm"]\n', ["one", "toy-edm/"]),
        ('controls = ["toy-emd/heun-15"]\n', ["toy-emd", "Did you mean 'toy-edm'"]),
        ('teacher = "toy-emd"\n', ["toy-emd", "Did you mean 'toy-edm'"]),
    ],
)
def test_controls_and_teachers_that_are_not_there_are_named(
    fields: str, words: list[str], add_pair: Callable[..., Path]
) -> None:
    add_pair("one", fields)
    with pytest.raises(KdbenchError) as caught:
        make_plan("one")
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert caught.value.exit_code == 2


def test_an_unknown_name_says_where_to_look() -> None:
    with pytest.raises(UnknownName, match="no suite, task or pair 'smoek'") as caught:
        make_plan("smoek")
    assert "kdbench list suites" in str(caught.value)
    assert "'smoke'" in str(caught.value)


@pytest.mark.parametrize("missing", ["student", "few_step", "teacher"])
def test_a_comparison_of_an_absent_row_is_refused(
    missing: str, add_suite: Callable[..., None]
) -> None:
    named = {
        "student": "toy-luhman/student",
        "few_step": "toy-edm/euler-1",
        "teacher": "toy-edm/heun-15",
    }
    lines = "\n".join(f'{key} = "{row}"' for key, row in named.items())
    add_suite(["toy-luhman"], f"[[comparisons]]\n{lines}\n")
    assert make_plan("mine").suite is not None
    named[missing] = "toy-noise/noise"
    lines = "\n".join(f'{key} = "{row}"' for key, row in named.items())
    add_suite(["toy-luhman"], f"[[comparisons]]\n{lines}\n")
    with pytest.raises(BadSpec, match="names toy-noise/noise, which the suite has not"):
        make_plan("mine")


def test_a_suite_of_an_unknown_pair_is_refused(add_suite: Callable[..., None]) -> None:
    add_suite(["toy-luhmann"])
    with pytest.raises(UnknownName, match="Did you mean 'toy-luhman'"):
        make_plan("mine")


# ---------------------------------------------------------------- compared with


def test_paired_metrics_compare_with_the_first_teacher(add_pair: Callable[..., Path]) -> None:
    luhman = registry.pairs.load("toy-luhman")
    assert compared_with(luhman) == ("toy-edm", "heun-15")
    assert compared_with(registry.pairs.load("toy-edm")) == ("toy-edm", "heun-15")
    assert compared_with(registry.pairs.load("toy-noise")) is None
    add_pair("middle", 'teacher = "toy-edm"\n')
    add_pair("last", 'teacher = "middle"\n')
    assert compared_with(registry.pairs.load("last")) == ("toy-edm", "heun-15")


# ---------------------------------------------------------------- jobs


def test_jobs_hold_the_arms_of_a_pair_and_seed_and_what_they_need() -> None:
    plan = make_plan("smoke")
    jobs = {job.id: job for job in make_jobs(plan)}
    assert sorted(run.label for job in jobs.values() for run in job.runs) == sorted(
        run.label for run in plan.runs
    )
    for (pair, seed), job in jobs.items():
        assert {(run.pair, run.seed) for run in job.runs} <= {(pair, seed)}
        assert all(need in jobs for need in job.needs)
        assert all(need[1] == seed for need in job.needs)
    assert jobs["toy-progressive-2", 1].needs == {("toy-edm", 1), ("toy-denoiser", 1)}
    assert jobs["toy-denoiser", 0].needs == {("toy-edm", 0)}
    assert jobs["toy-edm", 0].needs == frozenset()
    assert len(jobs["toy-edm", 2].runs) == 3


def test_the_longest_chain_comes_first(add_pair: Callable[..., Path]) -> None:
    add_pair("root", "expected_seconds = 1\n")
    add_pair("middle", 'expected_seconds = 2\nteacher = "root"\n')
    add_pair("leaf", 'expected_seconds = 5\nteacher = "middle"\n')
    add_pair("alone", 'expected_seconds = 7\ncontrols = ["leaf/student"]\n')
    order = [job.pair for job in make_jobs(make_plan("alone", seeds=(0,)))]
    assert order == ["root", "alone", "middle", "leaf"]


def test_a_needed_network_without_a_row_is_a_job_of_its_own(add_pair: Callable[..., Path]) -> None:
    add_pair("root")
    add_pair("middle", 'teacher = "root"\n')
    add_pair("leaf", 'teacher = "middle"\n')
    jobs = {job.pair: job for job in make_jobs(make_plan("leaf", seeds=(3,)))}
    assert set(jobs) == {"root", "middle", "leaf"}
    assert jobs["root"].runs == jobs["middle"].runs == ()
    assert jobs["middle"].needs == {("root", 3)}
    assert len(jobs["leaf"].runs) == 1


def test_records_of_other_rows_are_not_of_the_plan(toy_run: Any) -> None:
    records = Store(toy_run.out).records()
    assert len(planned(records, make_plan("toy-progressive-2"))) == len(records) == 4
    shared = planned(records, make_plan("toy-luhman", seeds=(2,)))
    assert [(r.identity.pair, r.identity.arm) for r in shared] == [("toy-edm@1", "heun-15")]
    assert planned(records, make_plan("toy-noise")) == []
