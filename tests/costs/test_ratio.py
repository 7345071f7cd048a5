"""Speed-ups whose true value is known."""

from __future__ import annotations

import numpy as np
import pytest
from cost_subjects import Recorder, Sleeper, Squares, Worker, subject

from kdbench.costs.boundary import cut, inputs_for
from kdbench.costs.ratio import block_bootstrap, speedup
from kdbench.costs.timing import Effort
from kdbench.record import Cost

POOL = cut(inputs_for(Squares(), (8,)), 1)
SHORT = Effort(warmup_min_s=0.1, warmup_max_s=0.3, measure_max_s=1.0)


def ratio(student: object, teacher: object, effort: Effort = SHORT) -> Cost:
    """The speed-up of one generator on another."""
    return speedup(
        subject(student), subject(teacher), POOL,
        effort=effort, config_key="k", against="teacher/ddim-18", marks=["mismatch:dtype"],
    )  # fmt: skip


def test_twice_the_work_is_twice_as_slow() -> None:
    cost = ratio(Worker(20), Worker(40))
    assert cost.value == pytest.approx(2, rel=0.15)
    assert cost.interval is not None
    assert cost.interval.low <= cost.value <= cost.interval.high  # type: ignore[operator]
    assert cost.against == "teacher/ddim-18"
    assert cost.marks[0] == "mismatch:dtype"


def test_a_slower_student_has_a_speedup_below_one() -> None:
    cost = ratio(Sleeper(8), Sleeper(2))
    assert cost.value is not None
    assert 0.2 < cost.value < 0.4
    assert "starved" in cost.marks


def test_halves_of_a_pair_last_about_as_long_and_their_order_alternates() -> None:
    calls: list[str] = []

    class Named(Sleeper):
        def __init__(self, ms: float, name: str) -> None:
            super().__init__(ms)
            self.name = name

        def __call__(self, inputs: object) -> object:  # type: ignore[override]
            calls.append(self.name)
            return super().__call__(inputs)  # type: ignore[arg-type]

    effort = Effort(0, 0.05, 0.05, rounds_min=4, measure_min_s=0, measure_max_s=0.15)
    cost = ratio(Named(3, "s"), Named(12, "t"), effort)
    assert cost.n is not None
    assert cost.n % 2 == 0
    timed = "".join(calls)
    timed = timed[timed.index("t") :].lstrip("t")  # both warm-ups
    halves = timed.replace("ts", "t s").replace("st", "s t").split()
    students = [len(half) for half in halves if half[0] == "s"]
    assert {round(n / min(students)) for n in students} == {1, 2}  # "ss" where pairs adjoin
    assert 2 <= min(students) <= 5
    assert cost.value == pytest.approx(4, rel=0.2)


def test_both_get_the_same_inputs() -> None:
    student, teacher = Recorder(), Recorder()
    effort = Effort(0, 0.01, 0.01, rounds_min=4, measure_min_s=0, measure_max_s=0.05)
    ratio(student, teacher, effort)
    timed = {int(inputs.index[0]) for inputs in POOL.timed[:4]}
    assert timed <= set(student.seen)
    assert timed <= set(teacher.seen)


def test_bootstrap_is_wider_for_values_that_hang_together() -> None:
    rng = np.random.default_rng(1)
    alone = rng.normal(2, 0.1, 100)
    together = np.repeat(alone[::5], 5)
    narrow, wide = block_bootstrap(alone), block_bootstrap(together)
    assert narrow is not None
    assert wide is not None
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    assert block_bootstrap(alone) == narrow


def test_bootstrap_needs_two_blocks() -> None:
    assert block_bootstrap(np.ones(9)) is None
    assert block_bootstrap(np.ones(10)) is not None
