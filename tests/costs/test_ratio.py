"""Speed-ups whose true value is known."""

from __future__ import annotations

import numpy as np
import pytest
from cost_subjects import Recorder, Sleeper, Squares, Worker, subject

from kdbench.costs import ratio
from kdbench.costs.boundary import EndToEnd, cut, inputs_for
from kdbench.costs.ratio import block_bootstrap, speedup
from kdbench.costs.timing import Effort
from kdbench.generators.base import Inputs
from kdbench.record import Cost

POOL = cut(inputs_for(Squares(), (8,)), 1)
SHORT = Effort(warmup_min_s=0.1, warmup_max_s=0.3, measure_max_s=1.0)


def measure(student: object, teacher: object, effort: Effort = SHORT) -> Cost:
    """The speed-up of one generator on another."""
    return speedup(
        subject(student), subject(teacher), POOL,
        effort=effort, config_key="k", against="teacher/ddim-18", marks=["mismatch:dtype"],
    )  # fmt: skip


def test_twice_the_work_is_twice_as_slow() -> None:
    cost = measure(Worker(20), Worker(40))
    assert cost.details["cpu_speedup"] == pytest.approx(2, rel=0.2)
    assert cost.value == pytest.approx(2, rel=0.4)  # wide: others may be using this machine
    assert cost.interval is not None
    assert cost.interval.low <= cost.value <= cost.interval.high  # type: ignore[operator]
    assert cost.against == "teacher/ddim-18"
    assert cost.marks[0] == "mismatch:dtype"


def test_a_slower_student_has_a_speedup_below_one() -> None:
    cost = measure(Sleeper(8), Sleeper(2))
    assert cost.value is not None
    assert 0.2 < cost.value < 0.4
    assert "starved" in cost.marks


@pytest.mark.parametrize(
    ("teacher_cpu_ms", "marks"),
    [(24, ["warmup_unsettled"]), (18, ["starved", "uneven_share", "warmup_unsettled"])],
)
def test_halves_of_a_pair_last_as_long_and_their_order_alternates(
    monkeypatch: pytest.MonkeyPatch, teacher_cpu_ms: int, marks: list[str]
) -> None:
    student, teacher = subject(Recorder()), subject(Recorder())
    calls: list[str] = []

    def time_call(timed: EndToEnd, _: Inputs) -> tuple[int, int]:
        calls.append("t" if timed is teacher else "s")
        if timed is teacher:
            return 24_000_000, teacher_cpu_ms * 999_999
        return 6_000_000, 6_000_000

    def warm_up(timed: EndToEnd, *_: object) -> tuple[list[int], bool]:
        return [99_000_000, time_call(timed, POOL.warm[0])[0], 50_000_000], timed is student

    monkeypatch.setattr(ratio, "time_call", time_call)
    monkeypatch.setattr(ratio, "warm_up", warm_up)
    cost = ratio.speedup(
        student,
        teacher,
        POOL,
        effort=Effort(rounds_min=7, measure_min_s=0, measure_max_s=60),
        config_key="k",
        against="t/a",
        marks=[],
    )
    abba, baab = "sssst" + "tssss", "tssss" + "sssst"
    assert "".join(calls[2:]) == abba + baab + abba + baab
    assert (cost.value, cost.n, cost.marks) == (4, 8, marks)


def test_both_get_the_same_inputs() -> None:
    student, teacher = Recorder(), Recorder()
    effort = Effort(0, 0.01, 0.01, rounds_min=4, measure_min_s=0, measure_max_s=0.05)
    measure(student, teacher, effort)
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
