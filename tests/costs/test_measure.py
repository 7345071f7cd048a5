"""All costs of one generator, in this process."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from cost_subjects import Convolver, Hoarder, Recorder, Sleeper, Squares, Worker, subject
from torch import nn

from kdbench.costs.boundary import inputs_for
from kdbench.costs.config import config_key, config_of, mismatches
from kdbench.costs.counts import counts
from kdbench.costs.measure import Bench, probe
from kdbench.costs.timing import Effort
from kdbench.record import Cost

FAST = Effort(0, 0.01, 0.02, rounds_min=6, measure_min_s=0.01, measure_max_s=0.05)
BENCH = Bench(machine="h:1", effort=FAST)
ONE = inputs_for(Squares(), (1,)).take(slice(1))


def make(generator: object) -> object:
    """The generator with its task."""
    return generator, Squares()


def by_name(costs: list[Cost]) -> dict[tuple[str, int | None], Cost]:
    """Costs by metric and batch; none twice."""
    named = {(cost.metric, cost.batch): cost for cost in costs}
    assert len(named) == len(costs)
    return named


def test_probe_measures_everything_once() -> None:
    costs = by_name(
        probe(
            partial(make, Convolver(calls=1, nfe=1)),  # type: ignore[arg-type]
            partial(make, Convolver(calls=8, nfe=8)),  # type: ignore[arg-type]
            bench=BENCH, batches=(1, 8), against="teacher/full",
        )
    )  # fmt: skip
    assert set(costs) == {
        ("parameters", None), ("macs", 1), ("nfe", None), ("peak_memory_mib", 8),
        ("latency_ms", 1), ("throughput_img_s", 1), ("latency_ms", 8), ("throughput_img_s", 8),
        ("speedup", 1),
    }  # fmt: skip
    assert all(cost.value for cost in costs.values())
    assert costs["parameters", None].value == 10
    assert costs["macs", 1].value == 8 * 8 * 9
    assert costs["speedup", 1].value > 1.5  # type: ignore[operator]
    assert costs["speedup", 1].config_key == costs["latency_ms", 1].config_key
    assert costs["latency_ms", 1].config_key != costs["latency_ms", 8].config_key


def test_out_of_memory_is_a_result_and_the_rest_is_measured() -> None:
    teacher = partial(make, Hoarder(limit=0))
    student = partial(make, Hoarder(limit=4))
    costs = by_name(probe(student, teacher, bench=BENCH, batches=(1, 8), against="t/a"))  # type: ignore[arg-type]
    without = {key for key, cost in costs.items() if cost.reason == "out of memory"}
    assert without == {
        ("peak_memory_mib", 8), ("latency_ms", 8), ("throughput_img_s", 8), ("speedup", 1),
    }  # fmt: skip
    assert all(costs[key].value is None for key in without)
    assert costs["latency_ms", 1].value is not None
    assert costs["speedup", 1].against == "t/a"


def test_another_error_is_not_taken_for_memory() -> None:
    class Broken(Recorder):
        def __call__(self, inputs: object) -> torch.Tensor:
            if len(inputs) > 1:  # type: ignore[arg-type]
                raise RuntimeError("shapes differ")
            return super().__call__(inputs)  # type: ignore[arg-type]

    with pytest.raises(RuntimeError, match="shapes differ"):
        probe(partial(make, Broken()), bench=BENCH, batches=(1, 8))  # type: ignore[arg-type]


def test_evaluations_are_counted() -> None:
    honest = by_name(counts(subject(Convolver(calls=4, nfe=4)), ONE))
    assert honest["nfe", None].value == 4
    assert honest["nfe", None].marks == []
    cheat = by_name(counts(subject(Convolver(calls=4, nfe=1)), ONE))
    assert cheat["nfe", None].marks == ["nfe_counted:4"]
    assert cheat["macs", 1].value == 4 * 8 * 8 * 9


def test_guidance_in_a_doubled_batch_counts_twice() -> None:
    class Guided(Convolver):
        def __call__(self, inputs: object) -> torch.Tensor:
            doubled = torch.cat([inputs.latents] * 2)  # type: ignore[attr-defined]
            with_class, without = self.network(doubled).chunk(2)
            out: torch.Tensor = without + 2 * (with_class - without)
            return out

    assert by_name(counts(subject(Guided(calls=1, nfe=2)), ONE))["nfe", None].marks == []


def test_without_a_network_nothing_is_zero_by_default() -> None:
    costs = by_name(counts(subject(Sleeper(0)), ONE))
    assert costs["parameters", None].value is None
    assert costs["parameters", None].reason
    assert costs["macs", 1].value == 0  # nothing was multiplied
    assert by_name(counts(subject(Worker(3)), ONE))["macs", 1].value == 3 * 128**3


def test_macs_that_the_counter_cannot_see_are_missing() -> None:
    class Outside(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.nfe = 1

    macs = by_name(counts(subject(Outside()), ONE))["macs", 1]
    assert macs.value is None
    assert macs.reason


def test_conditions_make_the_key() -> None:
    plain = config_of(Convolver(calls=1, nfe=1), machine="h:1", threads=1)
    assert config_key(plain, batch=1, boundary="e2e") == config_key(plain, batch=1, boundary="e2e")
    others = [
        config_key(plain, batch=64, boundary="e2e"),
        config_key(plain, batch=1, boundary="core"),
        config_key(config_of(Recorder(), machine="h:2", threads=1), batch=1, boundary="e2e"),
        config_key(config_of(Recorder(), machine="h:1", threads=2), batch=1, boundary="e2e"),
    ]
    assert len({config_key(plain, batch=1, boundary="e2e"), *others}) == 5


def test_other_precision_or_layout_is_a_mismatch() -> None:
    teacher, student = Convolver(calls=1, nfe=1), Convolver(calls=1, nfe=1)
    student.network = nn.Conv2d(4, 4, 3).to(torch.bfloat16, memory_format=torch.channels_last)  # type: ignore[call-overload]
    configs = [config_of(g, machine="h:1", threads=1) for g in (student, teacher)]
    assert mismatches(*configs) == ["mismatch:dtype", "mismatch:memory_format"]
    assert mismatches(configs[0], configs[0]) == []
