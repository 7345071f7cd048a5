"""Warm-up, rounds, latency and throughput of generators that sleep, work or cheat."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from cost_subjects import Points, Recorder, Replayer, Sleeper, Squares, Worker, subject

from kdbench.costs.boundary import cut, inputs_for
from kdbench.costs.latency import latency, throughput
from kdbench.costs.timing import Effort, Rounds, time_rounds

SHORT = Effort(warmup_min_s=0.05, warmup_max_s=0.2, measure_min_s=0.1, measure_max_s=0.3)
INPUTS = inputs_for(Squares(), (1, 8))


def test_sleep_is_timed_and_seen_not_to_compute() -> None:
    sleeper = subject(Sleeper(2))
    rounds = time_rounds(sleeper, cut(INPUTS, 1), SHORT)
    cost = latency(sleeper, rounds, batch=1, config_key="k")
    assert cost.value is not None
    assert 2 <= cost.value < 6
    assert cost.n is not None
    assert cost.n >= 30
    assert cost.interval is not None
    assert cost.interval.low <= cost.value <= cost.interval.high
    assert "starved" in cost.marks
    assert cost.details["cpu_ms"] < 1  # type: ignore[operator]
    assert cost.details["p99"] is None  # fewer than 100 rounds fit


def test_throughput_counts_images() -> None:
    sleeper, pool = subject(Sleeper(50)), cut(INPUTS, 8)
    rounds = time_rounds(sleeper, pool, SHORT)
    cost = throughput(sleeper, pool, rounds, batch=8, config_key="k")
    assert cost.value == pytest.approx(160, rel=0.3)
    assert cost.n == pytest.approx(10, abs=2)


def test_throughput_of_a_long_call_takes_its_rounds() -> None:
    recorder = Recorder()
    wall = np.array([1_000_000_000, 800_000_000, 900_000_000])
    rounds = Rounds(wall, wall, [1], settled=True, unseen=3)
    cost = throughput(subject(recorder), cut(INPUTS, 8), rounds, batch=8, config_key="k")
    assert cost.value == pytest.approx(8 / 0.9)
    assert recorder.seen == []


@pytest.mark.parametrize("batch", [1, 8])
def test_inputs_differ_from_round_to_round(batch: int) -> None:
    recorder = Recorder()
    effort = Effort(warmup_min_s=0.01, measure_min_s=0.1, measure_max_s=0.2)
    rounds = time_rounds(subject(recorder), cut(INPUTS, batch), effort)
    warm, timed = np.split(np.array(recorder.seen), [len(rounds.warmup_ns)])
    assert len(timed) == len(rounds.wall_ns) > 16
    assert (np.diff(timed) != 0).all()
    assert len(set(timed[:16])) == 16
    assert not set(warm) & set(timed)


def test_replayed_outputs_are_marked() -> None:
    cheat = subject(Replayer(2))
    rounds = time_rounds(cheat, cut(INPUTS, 8), SHORT)
    assert "replayed" in latency(cheat, rounds, batch=8, config_key="k").marks
    rate = throughput(cheat, cut(INPUTS, 8), rounds, batch=8, config_key="k")
    assert "replayed" in rate.marks


def test_warm_up_that_does_not_settle_is_marked() -> None:
    slow = subject(Sleeper(30))
    rounds = time_rounds(slow, cut(INPUTS, 1), Effort(warmup_max_s=0.1, measure_max_s=0.1))
    cost = latency(slow, rounds, batch=1, config_key="k")
    assert {"warmup_unsettled", "few_rounds"} <= set(cost.marks)
    assert cost.interval is None


def test_stops_when_the_median_is_known() -> None:
    effort = Effort()
    steady = [1.0] * 30
    assert effort.is_enough(steady, 0.6)
    assert not effort.is_enough(steady[:29], 0.6)
    assert not effort.is_enough(steady, 0.4)
    wide = [1.0, 1.5] * 20
    assert not effort.is_enough(wide, 0.6)
    assert effort.is_enough(wide, 3.0)
    assert effort.is_enough([1.0, 1.5] * 150, 0.6)


def test_inference_mode_and_no_collection_of_what_lived_before() -> None:
    states: list[tuple[bool, int]] = []

    class Watcher(Recorder):
        def __call__(self, inputs: object) -> torch.Tensor:
            states.append((torch.is_inference_mode_enabled(), gc.get_freeze_count()))
            return super().__call__(inputs)  # type: ignore[arg-type]

    time_rounds(subject(Watcher()), cut(INPUTS, 1), SHORT)
    assert all(inferring and frozen > 0 for inferring, frozen in states)
    assert gc.get_freeze_count() == 0


class Wrong(Worker):
    """Gives something else than images."""

    def __init__(self, output: torch.Tensor) -> None:
        super().__init__(0)
        self.output = output

    def __call__(self, inputs: object) -> torch.Tensor:
        return self.output


@pytest.mark.parametrize(
    "output",
    [
        torch.zeros(1, 8, 8),
        torch.zeros(2, 1, 8, 8),
        torch.nn.Parameter(torch.zeros(1, 1, 8, 8), requires_grad=False),
    ],
)
def test_wrong_output_is_refused(output: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="where Tensor"):
        time_rounds(subject(Wrong(output), Points()), cut(INPUTS, 1), SHORT)


def test_output_type_follows_the_task() -> None:
    images = torch.zeros(1, 1, 8, 8)
    with pytest.raises(ValueError, match="uint8"):
        subject(Recorder()).check(images, 1)
    subject(Recorder(), Points()).check(images, 1)
    assert subject(Recorder())(INPUTS.take(slice(3))).dtype == torch.uint8
