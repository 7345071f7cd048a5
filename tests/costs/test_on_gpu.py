"""All costs on an NVIDIA GPU: `pytest -m gpu`, with nothing else on the GPU meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from cost_subjects import Squares
from gpu_subjects import WIDE_MIB, Busy, Sidelong, attentive

from kdbench.costs.effort import Effort
from kdbench.costs.energy import energy
from kdbench.costs.figures import Bench
from kdbench.costs.job import Job
from kdbench.costs.missing import OUT_OF_MEMORY
from kdbench.costs.profiles import Profile
from kdbench.costs.run import Outcome, measure_figure
from kdbench.costs.session import SHOWN, Program, Session
from kdbench.generators.build import build_generator
from kdbench.programs import Finder
from kdbench.record import Cost

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

DEVICE = "cuda"
STUDENT, TEACHER = "digits-edm/multistep-4", "digits-edm/heun-35"
MIB = 2**20
EFFORT = Effort(warmup_max_s=1, measure_min_s=0.2, measure_max_s=1, block_s=0.5)
PROFILE = Profile(
    name="gpu", summary="", effort=EFFORT, processes=1, boundaries=("e2e", "pipe", "core"),
    batches=(8,), memory_batches=(8,), about_s=1,
)  # fmt: skip
PROBING = [sys.executable, str(Path(__file__).with_name("probing.py"))]

Costs = dict[tuple[str, str | None, int | None], Cost]
"""By metric, boundary and batch."""
EVERYTHING = {
    *(("latency_ms", boundary, 1) for boundary in PROFILE.boundaries),
    ("speedup", "e2e", 1), ("throughput_img_s", "e2e", 8), ("peak_memory_mib", "e2e", 8),
    ("parameters", None, None), ("macs", "e2e", 1), ("nfe", None, None),
}  # fmt: skip


def measured(
    build: dict[str, Any],
    profile: Profile,
    measure: Callable[..., Outcome],
    *,
    against: dict[str, Any] | None = None,
    variant: str = "fp32",
) -> Costs:
    """All that a session measures of a program."""
    program = Program(
        build=build, machine="h:1", against=against, against_label=TEACHER, variant=variant
    )
    costs = Session(program, profile, measure=measure).costs()
    return {(cost.metric, cost.boundary, cost.batch): cost for cost in costs}


def build(name: str, device: str = DEVICE) -> dict[str, Any]:
    """What a fresh process makes a published U-Net and its sampler of."""
    return Finder(device=device).find(name).build


def here(job: dict[str, Any], **_: object) -> Outcome:
    """A figure in this process, which spares the start of another one."""
    full = Job.model_validate({"machine": "h:1", "effort": EFFORT, **job, "out": ""})
    against = None if full.against is None else partial(build_generator, full.against)
    found = Bench(full, partial(build_generator, full.build), against, nullcontext).measure()
    images = {key: image.numpy() for key, image in found.shown.items()}
    return Outcome("ok", costs=found.costs, series=found.series, images=images)


def figure(generator: object, figure: str, **fields: Any) -> list[Cost]:
    """A figure of a generator at hand."""
    told = {"figure": figure, "build": {}, "machine": "h:1", "out": "", "effort": EFFORT}
    job = Job.model_validate({**told, **fields})
    made: Any = lambda: (generator, Squares())  # noqa: E731 (a lambda can be Any)
    return Bench(job, made, None, nullcontext).measure().costs


@pytest.fixture(autouse=True)
def precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variants set for the whole process whether convolutions round to TF32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)


@pytest.fixture(scope="module")
def fresh() -> Costs:
    """Each figure from a process of its own."""
    return measured(build(STUDENT), PROFILE, measure_figure, against=build(TEACHER))


@pytest.fixture(scope="module")
def in_variant() -> Callable[[str], Costs]:
    """`in_variant(name)`: all costs, from this process."""
    student, teacher = build(STUDENT), build(TEACHER)
    return lambda name: measured(student, PROFILE, here, against=teacher, variant=name)


def psnr_db(cost: Cost) -> float:
    """How far timed images are from those that fp32 draws without a clock."""
    assert cost.details["images_max_step"] is not None
    found = cost.details["images_psnr_db"]
    return float("inf") if found is None else float(found)


# ---------------------------------------------------------------- a U-Net, in fresh processes


def test_every_figure_has_a_value(fresh: Costs) -> None:
    assert set(fresh) == EVERYTHING
    assert {key: cost.reason for key, cost in fresh.items() if cost.value is None} == {}
    assert {cost.details["images_checked"] is not None for cost in shown(fresh)} == {True}
    assert {mark for cost in shown(fresh) for mark in cost.marks} & {
        "output_differs", "output_unchecked", "implausible",
    } == set()  # fmt: skip


def shown(costs: Costs) -> list[Cost]:
    """Those whose calls hand over images."""
    return [cost for (name, at, _), cost in costs.items() if name in SHOWN and at == "e2e"]


def test_time_of_the_device_is_within_that_of_the_wall(fresh: Costs) -> None:
    for boundary in PROFILE.boundaries:
        cost = fresh["latency_ms", boundary, 1]
        device_ms, host_bound = cost.details["device_ms"], cost.details["host_bound"]
        assert 0 < device_ms < cost.value  # type: ignore[operator]
        assert host_bound == pytest.approx(1 - device_ms / cost.value)  # type: ignore[operator]
        assert ("host_bound" in cost.marks) == (host_bound > 0.1)  # type: ignore[operator]
    e2e, pipe, core = (fresh["latency_ms", at, 1].value for at in PROFILE.boundaries)
    assert core < pipe / 2  # type: ignore[operator]
    assert core < e2e / 2  # type: ignore[operator]


def test_fewer_evaluations_are_faster_and_a_batch_is_too(fresh: Costs) -> None:
    assert fresh["speedup", "e2e", 1].value == pytest.approx(35 / 4, rel=0.5)
    one_by_one = 1e3 / fresh["latency_ms", "e2e", 1].value  # type: ignore[operator]
    assert fresh["throughput_img_s", "e2e", 8].value > 2 * one_by_one  # type: ignore[operator]


def test_memory_is_that_of_tensors_and_within_what_is_reserved(fresh: Costs) -> None:
    cost = fresh["peak_memory_mib", "e2e", 8]
    weights_mib = fresh["parameters", None, None].details["bytes"] / MIB  # type: ignore[operator]
    baseline, reserved = cost.details["baseline_mib"], cost.details["reserved_mib"]
    assert cost.details["kind"] == "tensors"
    assert weights_mib <= baseline < cost.value <= reserved  # type: ignore[operator]


def test_counts_are_those_of_the_cpu(fresh: Costs) -> None:
    on_cpu = here({"figure": "counts", "build": build(STUDENT, "cpu")}).costs
    for cost in on_cpu:
        other = fresh[cost.metric, cost.boundary, cost.batch]
        assert (cost.value, cost.marks) == (other.value, other.marks)
        for name in ("counted", "core_macs", "bytes", "bytes_on_disk"):
            assert cost.details.get(name) == other.details.get(name)


# ---------------------------------------------------------------- variants, in this process


@pytest.mark.parametrize(
    ("variant", "db"),
    [
        ("fp32", 55),
        ("channels-last", 55),
        ("cuda-graph", 55),
        ("bf16", 30),
        ("bf16+cuda-graph", 30),
    ],
)
def test_a_variant_is_measured_throughout_and_draws_the_same_images(
    variant: str, db: float, in_variant: Callable[[str], Costs]
) -> None:
    costs = in_variant(variant)
    assert {key: cost.reason for key, cost in costs.items() if cost.value is None} == {}
    assert set(costs) == EVERYTHING
    assert min(map(psnr_db, shown(costs))) > db
    dtype_bytes = 2 if variant.startswith("bf16") else 4
    parameters = costs["parameters", None, None]
    assert parameters.details["bytes"] == dtype_bytes * parameters.value  # type: ignore[operator]


def test_a_graph_spares_the_host(in_variant: Callable[[str], Costs]) -> None:
    eager, graphed = (in_variant(name)["latency_ms", "core", 1] for name in ("fp32", "cuda-graph"))
    assert graphed.value < 0.7 * eager.value  # type: ignore[operator]


@pytest.mark.parametrize("variant", ["fp32", "bf16"])
def test_attention_is_counted_whatever_kernel_does_it(variant: str) -> None:
    counted = [
        figure(attentive(device), "counts", variant=name)[1]
        for device, name in (("cpu", "fp32"), (DEVICE, variant))
    ]
    assert counted[0].value == counted[1].value == 64 * 64 * 4 + 2 * 64 * 64 * 64
    assert counted[0].marks == counted[1].marks == []


# ---------------------------------------------------------------- the clock, memory, energy


def test_a_busy_device_is_not_bound_by_its_host() -> None:
    (cost,) = figure(Busy(cycles=20_000_000), "latency", boundaries=("pipe",))
    assert cost.value > 2  # type: ignore[operator]
    assert cost.details["device_ms"] > 0.9 * cost.value  # type: ignore[operator]
    assert "host_bound" not in cost.marks


@pytest.mark.parametrize("boundary", ["e2e", "pipe"])
def test_work_on_another_stream_is_in_the_time(boundary: str) -> None:
    generator = Sidelong(products=100)
    (cost,) = figure(generator, "latency", boundaries=(boundary,))
    assert cost.value > 0.7 * generator.last_ms()  # type: ignore[operator]
    assert cost.details["device_ms"] < 0.5 * generator.last_ms()  # type: ignore[operator]
    assert "host_bound" in cost.marks  # events on the current stream see none of the work


def test_a_batch_that_does_not_fit_has_that_reason_and_others_their_values() -> None:
    spec = {"module": "gpu_subjects", "name": "wide", "args": {"device": DEVICE}, "device": DEVICE}
    profile = PROFILE.model_copy(
        update={"boundaries": ("e2e",), "batches": (4096,), "memory_batches": (1, 4096)}
    )
    costs = measured(spec, profile, partial(measure_figure, command=PROBING))
    assert WIDE_MIB <= costs["peak_memory_mib", "e2e", 1].value < 3 * WIDE_MIB  # type: ignore[operator]
    for metric in ("throughput_img_s", "peak_memory_mib"):
        absurd = costs[metric, "e2e", 4096]
        assert (absurd.value, absurd.reason) == (None, OUT_OF_MEMORY)
    assert costs["latency_ms", "e2e", 1].value is not None
    assert costs["macs", "e2e", 1].value == 64 * 9


def test_energy_is_that_of_the_board(monkeypatch: pytest.MonkeyPatch) -> None:
    brief = partial(energy, window_s=3, idle_s=2, windows=2)
    monkeypatch.setattr("kdbench.costs.figures.energy", brief)
    (cost,) = here({"figure": "energy", "build": build(STUDENT), "batch": 64}).costs
    if cost.value is None:
        pytest.skip(str(cost.reason))
    assert cost.details["method"] == "nvml-counter"
    assert 5 < cost.details["watts"] < 2000  # type: ignore[operator]
    assert cost.value > 0
