"""One figure at a time of one generator, in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from cost_subjects import Convolver, Decoded, Hoarder, Recorder, Sleeper, Squares
from torch import Tensor

from kdbench.costs.figures import THROUGHPUT_BATCHES, Bench, Found
from kdbench.costs.job import Job
from kdbench.errors import NothingMeasured
from kdbench.generators.base import Inputs
from kdbench.record import Cost

FAST = {
    "warmup_min_s": 0,
    "warmup_max_s": 0.02,
    "rounds_min": 20,
    "measure_min_s": 0.01,
    "measure_max_s": 0.2,
    "block_s": 0.05,
}
PHASES: list[str] = []


@contextmanager
def phase() -> Iterator[None]:
    PHASES.append("begin")
    yield
    PHASES.append("end")


def measure(generator: object, figure: str, *, against: object = None, **fields: Any) -> Found:
    """What a process would hand over."""
    PHASES.clear()
    job = Job.model_validate(
        {"figure": figure, "build": {}, "machine": "h:1", "out": "", "effort": FAST, **fields}
    )
    made: Any = partial(make, generator)
    other: Any = None if against is None else partial(make, against)
    return Bench(job, made, other, phase).measure()


def make(generator: object) -> object:
    return generator, Squares()


def by_boundary(found: Found) -> dict[str | None, Cost]:
    return {cost.boundary: cost for cost in found.costs}


def test_latency_has_a_cost_a_series_and_a_phase_a_boundary() -> None:
    boundaries = ("e2e", "pipe", "core")
    found = measure(Convolver(calls=4, nfe=4), "latency", boundaries=boundaries, keep=(0,))
    costs = by_boundary(found)
    assert tuple(costs) == boundaries == tuple(found.series)
    assert PHASES == ["begin", "end"] * 3
    assert all(cost.value == pytest.approx(_median(found.series[b])) for b, cost in costs.items())
    assert costs["core"].value < costs["pipe"].value  # type: ignore[operator]
    assert len({cost.config_key for cost in found.costs}) == 3
    assert found.elapsed_ns > sum(map(sum, found.series.values()))


def _median(series: list[float]) -> float:
    return float(torch.tensor(series).double().quantile(0.5)) / 1e6


def test_images_are_those_of_their_inputs_and_of_the_headline_alone() -> None:
    boundaries = ("e2e", "pipe")
    found = measure(Recorder(), "latency", boundaries=boundaries, keep=(0, 3), batch=2)
    inputs = Squares().inputs(40, split="held-out", replicate=0)
    assert {(0, 8), (0, 9), (0, 14), (0, 15)} <= set(found.shown)
    assert len(found.shown) in (4, 6)  # the last round's may be among them
    for (_, number), image in found.shown.items():
        assert torch.equal(image, Squares().finish(inputs.latents[number]))


def test_inputs_are_those_of_the_replicate_that_the_parent_drew() -> None:
    first, other = (
        measure(Recorder(), "latency", keep=(0,), replicate=replicate) for replicate in (5, 6)
    )
    drawn = measure(Recorder(), "counts", show=tuple(first.shown)).shown
    assert {replicate for replicate, _ in first.shown} == {5}
    assert all(torch.equal(image, drawn[key]) for key, image in first.shown.items())
    assert not torch.equal(first.shown[5, 4], other.shown[6, 4])


def test_what_a_generator_has_no_boundary_for_has_its_reason() -> None:
    costs = by_boundary(measure(Sleeper(1), "latency", boundaries=("e2e", "core")))
    assert costs["e2e"].value is not None
    assert costs["core"].value is None
    assert "no network" in (costs["core"].reason or "")


def test_what_comes_after_the_network_does_not_touch_the_core() -> None:
    costs = by_boundary(
        measure(Decoded(calls=4, decode_ms=8), "latency", boundaries=("e2e", "core"))
    )
    assert costs["e2e"].value > 8  # type: ignore[operator]
    assert costs["core"].value < 4  # type: ignore[operator]
    assert costs["core"].details["p90"] < 4  # type: ignore[operator]


def test_ratio_is_of_student_and_teacher_pair_by_pair() -> None:
    found = measure(
        Sleeper(2), "ratio", against=Sleeper(6), against_label="teacher/full", variant="fp32"
    )
    (cost,) = found.costs
    assert cost.value == pytest.approx(3, rel=0.3)
    assert (cost.against, cost.boundary, cost.batch) == ("teacher/full", "e2e", 1)
    assert len(found.series["ratio"]) == cost.n
    assert PHASES == ["begin", "end"]
    latency = by_boundary(measure(Sleeper(2), "latency"))["e2e"]
    assert latency.config_key == cost.config_key


def test_a_teacher_in_other_conditions_is_a_mismatch() -> None:
    half = Convolver(calls=1, nfe=1)
    half.network = half.network.to(torch.float64)
    student = Convolver(calls=1, nfe=1)

    class Wide(Recorder):
        network = half.network

    (cost,) = measure(student, "ratio", against=Wide(), against_label="t/a").costs
    assert cost.marks[0] == "mismatch:dtype"


def test_throughput_takes_turns_over_eight_batches_and_keeps_the_last() -> None:
    recorder = Recorder()
    found = measure(recorder, "throughput", batch=4, keep=(2, 7))
    (cost,) = found.costs
    assert (cost.metric, cost.batch, cost.boundary) == ("throughput_img_s", 4, "e2e")
    timed = [4 * i for i in range(1, THROUGHPUT_BATCHES)]
    assert set(recorder.seen) == {0, *timed}
    last = recorder.seen[-1]
    assert set(found.shown) == {(0, last + 2), (0, last + 3)}


def test_memory_is_of_the_batch_asked_for() -> None:
    (cost,) = measure(Recorder(), "memory", batch=8).costs
    assert (cost.metric, cost.batch) == ("peak_memory_mib", 8)
    assert cost.value


def test_counts_draw_the_inputs_asked_for_without_a_clock() -> None:
    found = measure(Convolver(calls=2, nfe=2), "counts", show=((0, 3), (0, 17)))
    assert {cost.metric for cost in found.costs} == {"parameters", "macs", "nfe"}
    assert set(found.shown) == {(0, 3), (0, 17)}
    assert PHASES == []
    assert measure(Convolver(calls=2, nfe=2), "counts").shown == {}


def test_counts_stay_where_images_cannot_be_drawn() -> None:
    class OneAtATime(Convolver):
        def __call__(self, inputs: Inputs) -> Tensor:
            if len(inputs) > 1:
                raise RuntimeError("exported at batch 1")
            return super().__call__(inputs)

    found = measure(OneAtATime(calls=2, nfe=2), "counts", show=((0, 3), (0, 17)))
    assert {cost.metric: cost.value for cost in found.costs}["nfe"] == 2
    assert found.shown == {}


def test_a_program_of_few_images_is_not_asked_for_more() -> None:
    one = Recorder()
    one.at_once = 1  # type: ignore[attr-defined]
    with pytest.raises(NothingMeasured, match="takes 1 at a time"):
        measure(one, "memory", batch=8)
    assert set(measure(one, "counts", show=((0, 1), (0, 2))).shown) == {(0, 1), (0, 2)}


def test_energy_that_cannot_be_read_has_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdbench.costs.figures.energy_meter", lambda *_: (None, "no counter"))
    (cost,) = measure(Recorder(), "energy").costs
    assert (cost.metric, cost.value, cost.reason) == ("energy_j_per_image", None, "no counter")


@pytest.mark.parametrize("figure", ["latency", "throughput", "memory"])
def test_memory_that_runs_out_is_an_error_of_the_figure_and_other_errors_too(figure: str) -> None:
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        measure(Hoarder(limit=4), figure, batch=8)
    assert measure(Hoarder(limit=4), figure, batch=4).costs[0].value is not None
