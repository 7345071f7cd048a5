"""Programs that do less when they are timed than when their images are judged."""

from __future__ import annotations

from collections.abc import Callable

from cheats import HONEST_MS, STEP_MS

from kdbench.costs.run import Outcome
from kdbench.record import Cost

Costs = Callable[..., dict[str, Cost]]


def test_one_program_is_one_program(costs: Costs) -> None:
    found = costs("Honest", batches=(8,), against="Honest")
    for metric in ("latency_ms", "speedup", "throughput_img_s"):
        assert not {"output_differs", "output_unchecked"} & set(found[metric].marks)
        assert found[metric].details["images_checked"]


def test_fewer_steps_in_the_sizes_that_are_timed(costs: Costs) -> None:
    found = costs("Skimper", batches=(8,), fresh=True)
    latency, throughput = found["latency_ms"], found["throughput_img_s"]
    assert latency.value is not None
    assert latency.value < HONEST_MS
    assert "output_differs" in latency.marks
    assert "output_differs" in throughput.marks


def test_fewer_steps_from_some_call_on(costs: Costs) -> None:
    honest, cheat = (costs("Impatient", after=n)["latency_ms"] for n in (10**6, 20))
    assert "output_differs" not in honest.marks
    assert "output_differs" in cheat.marks


def test_fewer_steps_in_rounds_that_are_not_looked_at(costs: Costs) -> None:
    cost = costs("Peeker")["latency_ms"]
    assert "output_differs" in cost.marks


def test_one_output_for_all_inputs(costs: Costs) -> None:
    cost = costs("Constant")["latency_ms"]
    assert cost.value is not None
    assert cost.value < STEP_MS
    assert "output_differs" in cost.marks


def test_a_quick_warm_up_gains_nothing(measure_here: Callable[..., Outcome]) -> None:
    (cost,) = measure_here("Sprinter", "latency").costs
    assert cost.value is not None
    assert cost.value >= HONEST_MS
