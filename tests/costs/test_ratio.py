"""Speed-ups whose true value is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cost_subjects import Recorder, Sleeper, Squares, Worker, pool, subject

from kdbench.costs import ratio
from kdbench.costs.blocks import block_bootstrap
from kdbench.costs.boundary import EndToEnd, Prepared
from kdbench.costs.effort import Effort
from kdbench.costs.ratio import Pairs, speedup
from kdbench.costs.timing import Call
from kdbench.generators.base import Inputs

POOL = pool()
SHORT = Effort(warmup_min_s=0.1, warmup_max_s=0.3, measure_max_s=1.0)


def measure(student: object, teacher: object, effort: Effort = SHORT) -> Pairs:
    """The speed-up of one generator on another."""
    return speedup(
        subject(student), subject(teacher), (POOL, POOL),
        effort=effort, config_key="k", against="teacher/ddim-18", marks=["mismatch:dtype"],
    )  # fmt: skip


def test_twice_the_work_is_twice_as_slow() -> None:
    effort = Effort(warmup_max_s=0.3, rounds_min=10, rounds_max=30, measure_min_s=0.5)
    cost = measure(Worker(20), Worker(40), effort).cost
    assert cost.details["cpu_speedup"] == pytest.approx(2, rel=0.2)
    assert cost.value == pytest.approx(2, rel=0.4)  # wide: others may be using this machine
    assert cost.interval is not None
    assert cost.interval.low <= cost.value <= cost.interval.high  # type: ignore[operator]
    assert cost.against == "teacher/ddim-18"
    assert cost.marks[0] == "mismatch:dtype"


def test_a_slower_student_has_a_speedup_below_one() -> None:
    cost = measure(Sleeper(8), Sleeper(2)).cost
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
    student, teacher = Recorder(), Recorder()
    calls: list[str] = []

    def time_call(timed: EndToEnd, given: Prepared, _: int) -> Call:
        calls.append("t" if timed.generator is teacher else "s")
        wall_ms, cpu_ms = (24, teacher_cpu_ms) if timed.generator is teacher else (6, 6)
        return Call(wall_ms * 1_000_000, cpu_ms * 999_999, None, timed(given))

    def warm_up(timed: EndToEnd, *_: object) -> tuple[list[int], bool]:
        wall_ns = 24_000_000 if timed.generator is teacher else 6_000_000
        return [99_000_000, wall_ns, 50_000_000], timed.generator is student

    monkeypatch.setattr(ratio, "time_call", time_call)
    monkeypatch.setattr(ratio, "warm_up", warm_up)
    effort = Effort(rounds_min=7, measure_min_s=0, measure_max_s=60)
    cost = measure(student, teacher, effort).cost
    abba, baab = "sssst" + "tssss", "tssss" + "sssst"
    assert "".join(calls) == abba + baab + abba + baab
    assert (cost.value, cost.n, cost.marks) == (4, 8, ["mismatch:dtype", *marks])


def test_both_get_the_same_inputs_and_the_last_images_of_the_student_are_kept() -> None:
    student, teacher = Recorder(), Recorder()
    effort = Effort(warmup_max_s=0.01, rounds_min=4, measure_min_s=0, measure_max_s=0.05)
    pairs = measure(student, teacher, effort)
    timed = {int(inputs.index[0]) for inputs in POOL.timed}  # type: ignore[union-attr]
    assert timed <= set(student.seen)
    assert timed <= set(teacher.seen)
    ((place, images),) = pairs.kept
    given = POOL.timed[place]
    assert isinstance(given, Inputs)
    assert student.seen[-1] == int(given.index[0])
    assert torch.equal(images, Squares().finish(given.latents))


def test_the_value_is_the_median_of_the_pairs_that_are_handed_over() -> None:
    pairs = measure(Sleeper(1), Sleeper(2))
    assert pairs.cost.value == np.median(pairs.ratios)
    assert pairs.cost.n == len(pairs.ratios) >= 6
    assert pairs.cost.value == pytest.approx(2, rel=0.3)
    spent_ms = pairs.cost.n * (pairs.cost.details["student_ms"] + 20)  # type: ignore[operator]
    assert pairs.elapsed_ns / 1e6 > spent_ms  # halves last 20 ms or more


def test_bootstrap_is_wider_for_values_that_hang_together() -> None:
    rng = np.random.default_rng(1)
    alone = rng.normal(2, 0.1, 100)
    together = np.repeat(alone[::5], 5)
    narrow, wide = block_bootstrap([alone]), block_bootstrap([together])
    assert narrow is not None
    assert wide is not None
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    assert block_bootstrap([alone]) == narrow


def test_bootstrap_needs_two_blocks() -> None:
    assert block_bootstrap([np.ones(9)]) is None
    assert block_bootstrap([np.ones(10)]) is not None


def test_bootstrap_over_processes_is_as_wide_as_they_are_apart() -> None:
    near, far = np.full(20, 2.0), np.full(20, 3.0)
    found = block_bootstrap([near, far, far])
    assert found is not None
    assert (found.low, found.high) == (2, 3)
    assert block_bootstrap([near, np.ones(9)]) is None
    assert block_bootstrap([]) is None
