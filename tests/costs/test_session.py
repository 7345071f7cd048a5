"""What a session asks of its processes, and what it makes of what they give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdbench.costs.effort import Effort
from kdbench.costs.missing import FIGURES, missing
from kdbench.costs.profiles import Profile
from kdbench.costs.run import Outcome
from kdbench.costs.session import KEPT_ROUNDS, SLOW_CALLS, Program, Session
from kdbench.record import Cost

IMAGE = np.zeros((1, 8, 8), np.uint8)
ALONE = Program(build={"name": "x"}, machine="h:1", threads=2)
BESIDE = Program(
    build={"name": "x"}, machine="h:1", against={"name": "t"}, against_label="teacher/full"
)
BARE = Profile(
    name="bare", summary="", effort=Effort(), processes=1, boundaries=("e2e", "core"),
    memory_batches=(1, 8), about_s=1,
)  # fmt: skip
FAILED = Outcome("failed", "KeyError: 'x'")
OOM = Outcome("oom", "out of memory")


def profile(**fields: Any) -> Profile:
    return BARE.model_copy(update=fields)


def cost(metric: str, value: float, **fields: Any) -> Cost:
    return missing(metric, "").model_copy(update={"value": value, "reason": None, **fields})


@dataclass
class Processes:
    """Give what they are told to, and note what they were asked."""

    told: dict[str, Callable[[dict[str, Any]], Outcome | None]] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, job: dict[str, Any], **more: Any) -> Outcome:
        self.asked.append({**job, **more})
        special = self.told.get(job["figure"], lambda _: None)(job)
        return special or self.usual(job)

    def usual(self, job: dict[str, Any]) -> Outcome:
        figure, batch = job["figure"], job["batch"]
        metric = FIGURES[figure][0]
        if figure == "latency":
            costs = [cost(metric, 2.0, boundary=b, batch=1, n=30) for b in job["boundaries"]]
            return Outcome("ok", costs=costs, images={4: IMAGE, 9: IMAGE})
        if figure == "counts":
            costs = [cost(name, 1.0) for name in FIGURES[figure]]
            return Outcome("ok", costs=costs, images=dict.fromkeys(job["show"], IMAGE))
        found = cost(metric, 10.0 * batch, batch=batch, boundary="e2e", n=3)
        found.against = job["against_label"]
        images = {} if figure in ("memory", "cold-start", "energy") else {batch: IMAGE}
        return Outcome("ok", costs=[found], series={figure: [2.0] * 20}, images=images)

    def figures(self) -> list[str]:
        return [f"{job['figure']}@{job['batch']}" for job in self.asked]


def session(
    processes: Processes, profile: Profile = BARE, program: Program = ALONE
) -> dict[tuple[str, Any, Any], Cost]:
    """All costs by metric, boundary and batch; none twice."""
    costs = Session(program, profile, measure=processes).costs()
    named = {(c.metric, c.boundary, c.batch): c for c in costs}
    assert len(named) == len(costs)
    return named


def test_a_figure_is_a_process_and_counts_come_last() -> None:
    processes = Processes()
    full = profile(batches=(1, 8), cold_starts=2, energy=True)
    costs = session(processes, full, BESIDE)
    assert processes.figures() == [
        "latency@1", "ratio@1", "throughput@1", "throughput@8", "memory@1", "memory@8",
        "cold-start@1", "cold-start@1", "energy@1", "energy@8", "counts@1",
    ]  # fmt: skip
    assert {metric for metric, *_ in costs} == {m for names in FIGURES.values() for m in names}
    assert all(cost.value is not None for cost in costs.values())


def test_every_process_is_told_the_conditions_and_some_the_teacher() -> None:
    processes = Processes()
    session(processes, program=BESIDE)
    for job in processes.asked:
        beside = job["figure"] in ("ratio", "counts")
        assert job["against"] == ({"name": "t"} if beside else None)
        assert job["against_label"] == ("teacher/full" if beside else None)
        assert (job["machine"], job["variant"]) == ("h:1", "fp32")
        slow = 0 if job["figure"] == "latency" else SLOW_CALLS * 2e-3
        assert job["timeout_s"] == BARE.timeout_s + slow
    alone = Processes()
    session(alone)
    assert "ratio@1" not in alone.figures()
    assert {job["threads"] for job in alone.asked} == {2}


def test_images_of_timed_rounds_are_drawn_again_and_compared() -> None:
    processes = Processes()
    costs = session(processes, program=BESIDE)
    assert processes.asked[-1]["show"] == (1, 4, 9)
    headline = costs["latency_ms", "e2e", 1]
    assert (headline.details["images_checked"], headline.marks) == (2, [])
    assert "images_checked" not in costs["latency_ms", "core", 1].details


def test_other_images_than_without_a_clock_are_marked() -> None:
    other = Processes({"counts": lambda job: Outcome(
        "ok", costs=[cost(m, 1.0) for m in FIGURES["counts"]],
        images={n: IMAGE + 255 * (n == 9) for n in job["show"]},
    )})  # fmt: skip
    costs = session(other, program=BESIDE)
    assert costs["latency_ms", "e2e", 1].marks == ["output_differs"]
    assert costs["speedup", "e2e", 1].marks == []


def test_images_that_cannot_be_drawn_again_are_unchecked() -> None:
    costs = session(Processes({"counts": lambda _: FAILED}))
    assert costs["latency_ms", "e2e", 1].marks == ["output_unchecked"]
    for metric in FIGURES["counts"]:
        assert costs[metric, "e2e", 1].reason == "failed: KeyError: 'x'"


def test_a_process_that_hands_over_no_images_is_unchecked() -> None:
    bare = Processes({"latency": lambda job: Outcome(
        "ok", costs=[cost("latency_ms", 2.0, boundary=b, batch=1) for b in job["boundaries"]]
    )})  # fmt: skip
    assert session(bare)["latency_ms", "e2e", 1].marks == ["output_unchecked"]


def test_rounds_whose_images_are_kept_are_drawn_anew_for_every_process() -> None:
    processes = Processes()
    session(processes, profile(processes=8))
    kept = [job["keep"] for job in processes.asked if job["figure"] == "latency"]
    assert all(len(set(rounds)) == KEPT_ROUNDS for rounds in kept)
    assert len(set(kept)) > 1  # 560 choices


def test_a_program_that_cannot_be_timed_has_its_reason_and_nothing_else_is_tried() -> None:
    processes = Processes({"latency": lambda _: Outcome("timeout", "no figure after 9 s")})
    costs = session(processes, program=BESIDE)
    assert processes.figures() == ["latency@1"]
    assert {cost.reason for cost in costs.values()} == {"timeout: no figure after 9 s"}
    assert costs["latency_ms", "e2e", 1].value is None


@pytest.mark.parametrize(
    ("figure", "key"),
    [
        ("ratio", ("speedup", "e2e", 1)),
        ("throughput", ("throughput_img_s", "e2e", 8)),
        ("memory", ("peak_memory_mib", "e2e", 8)),
        ("cold-start", ("cold_start_s", "e2e", 1)),
        ("energy", ("energy_j_per_image", "e2e", 8)),
    ],
)
@pytest.mark.parametrize(
    ("outcome", "reason"), [(FAILED, "failed: KeyError: 'x'"), (OOM, "out of memory")]
)
def test_a_figure_that_fails_stays_as_its_reason_and_the_rest_is_measured(
    figure: str, key: tuple[str, str, int], outcome: Outcome, reason: str
) -> None:
    full = profile(batches=(8,), cold_starts=2, energy=True, memory_batches=(8,))
    costs = session(Processes({figure: lambda _: outcome}), full, BESIDE)
    assert (costs[key].value, costs[key].reason) == (None, reason)
    assert sum(cost.value is None for cost in costs.values()) == 1
    assert costs["speedup", "e2e", 1].against == "teacher/full"


def test_processes_are_merged_and_one_that_fails_voids_the_figure() -> None:
    values = iter([2.0, 3.0, 2.2])

    def slower(_: object) -> Outcome:
        return Outcome(
            "ok", costs=[cost("latency_ms", next(values), boundary="e2e", batch=1, n=30)]
        )

    three = profile(processes=3, boundaries=("e2e",))
    merged = session(Processes({"latency": slower}), three)["latency_ms", "e2e", 1]
    assert (merged.value, merged.n, merged.details["processes"]) == (2.2, 90, 3)
    assert "proc_spread" in merged.marks
    outcomes = iter([None, FAILED, None])
    void = session(Processes({"latency": lambda _: next(outcomes)}), three)
    assert void["latency_ms", "e2e", 1].reason == "failed: KeyError: 'x'"


@pytest.mark.parametrize(
    ("first", "second", "asked", "marks"),
    [
        ([], None, 1, []),
        (["noisy"], [], 2, []),
        (["noisy"], ["noisy"], 2, ["noisy"]),
        (["replayed"], ["replayed"], 2, ["replayed"]),
        (["output_differs"], None, 1, ["output_differs"]),
    ],
)
def test_noise_is_measured_once_more_and_then_stays(
    first: list[str], second: list[str] | None, asked: int, marks: list[str]
) -> None:
    attempts = iter([first, second])

    def latency(_: object) -> Outcome:
        found = cost("latency_ms", 2.0, boundary="e2e", batch=1, marks=next(attempts))
        return Outcome("ok", costs=[found], images={4: IMAGE})

    processes = Processes({"latency": latency})
    costs = session(processes, profile(reruns=1, boundaries=("e2e",)))
    assert processes.figures().count("latency@1") == asked
    assert costs["latency_ms", "e2e", 1].marks == marks


def test_processes_that_disagree_are_measured_once_more() -> None:
    values = iter([2.0, 3.0, 2.0, 2.0])

    def latency(_: object) -> Outcome:
        found = cost("latency_ms", next(values), boundary="e2e", batch=1)
        return Outcome("ok", costs=[found], images={4: IMAGE})

    two = profile(processes=2, reruns=1, boundaries=("e2e",))
    merged = session(Processes({"latency": latency}), two)["latency_ms", "e2e", 1]
    assert (merged.value, merged.marks) == (2.0, [])


def test_a_hang_is_waited_for_once() -> None:
    processes = Processes({"ratio": lambda _: Outcome("timeout", "no figure after 9 s")})
    session(processes, profile(processes=3, reruns=1), BESIDE)
    assert processes.figures().count("ratio@1") == 1


def test_a_sweep_ends_where_two_doublings_gain_too_little() -> None:
    rates = {1: 100.0, 2: 99.0, 4: 195.0, 8: 196.0, 16: 197.0, 32: 400.0}

    def rate(job: dict[str, Any]) -> Outcome:
        batch = job["batch"]
        return Outcome("ok", costs=[cost("throughput_img_s", rates[batch], batch=batch)])

    processes = Processes({"throughput": rate})
    session(processes, profile(batches=tuple(rates), sweep=True))
    assert [f for f in processes.figures() if "through" in f] == [
        "throughput@1", "throughput@2", "throughput@4", "throughput@8", "throughput@16",
    ]  # fmt: skip
    processes = Processes({"throughput": rate})
    session(processes, profile(batches=tuple(rates)))
    assert sum("through" in f for f in processes.figures()) == 6


def test_a_sweep_reaches_the_batch_that_rows_are_compared_at() -> None:
    level = Processes({"throughput": lambda job: Outcome(
        "ok", costs=[cost("throughput_img_s", 100.0, batch=job["batch"])]
    )})  # fmt: skip
    session(level, profile(batches=(1, 2, 4, 8, 16), sweep=True))
    assert [f for f in level.figures() if "through" in f][-1] == "throughput@8"


def test_memory_that_ends_a_sweep_is_its_last_result() -> None:
    processes = Processes({"throughput": lambda job: OOM if job["batch"] > 2 else None})
    costs = session(processes, profile(batches=(1, 2, 4, 8), sweep=True))
    assert [c.reason for (metric, *_), c in costs.items() if metric == "throughput_img_s"] == [
        None, None, "out of memory",
    ]  # fmt: skip


def test_a_cold_start_has_a_compiler_s_folder_of_its_own_and_says_what_of_the_file(
    tmp_path: Path,
) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(b"0")
    program = Program(build={"weights": str(weights)}, machine="h:1")
    processes = Processes()
    costs = session(processes, profile(cold_starts=3), program)
    folders = {
        job["environment"]["TORCHINDUCTOR_CACHE_DIR"]
        for job in processes.asked
        if job["figure"] == "cold-start"
    }
    assert len(folders) == 3
    assert not any(Path(folder).exists() for folder in folders)
    assert costs["cold_start_s", "e2e", 1].details["file"] in ("cold_file_attempted", "warm_file")
    without = session(Processes(), profile(cold_starts=1))
    assert without["cold_start_s", "e2e", 1].details["file"] == "no_file"


def test_each_figure_is_told_of_before_it_is_measured() -> None:
    told: list[str] = []
    processes = Processes()

    def measure(job: dict[str, Any], **more: Any) -> Outcome:
        told.append(f"({len(told)})")
        return processes(job, **more)

    Session(ALONE, BARE, measure=measure, tell=told.append).costs()
    assert told == [
        "latency", "(1)", "memory", "(3)", "memory at batch 8", "(5)", "counts", "(7)",
    ]  # fmt: skip
