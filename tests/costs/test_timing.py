"""Warm-up and rounds, and the latency that they give, of generators that sleep, work or cheat."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from cost_subjects import CPU, Points, Recorder, Replayer, Sleeper, Squares, Worker, pool, subject
from torch import Tensor

from kdbench.costs.boundary import EndToEnd
from kdbench.costs.effort import Effort
from kdbench.costs.latency import latency
from kdbench.costs.timing import Rounds, time_call, time_rounds
from kdbench.generators.base import Inputs

SHORT = Effort(warmup_min_s=0.05, warmup_max_s=0.2, measure_min_s=0.1, measure_max_s=0.3)


def test_sleep_is_timed_and_seen_not_to_compute() -> None:
    sleeper = subject(Sleeper(2))
    rounds = time_rounds(sleeper, pool(), 1, SHORT)
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


@pytest.mark.parametrize("batch", [1, 8])
def test_inputs_differ_from_round_to_round(batch: int) -> None:
    recorder = Recorder()
    effort = Effort(warmup_min_s=0.01, measure_min_s=0.1, measure_max_s=0.2)
    rounds = time_rounds(subject(recorder), pool(batch, batch), batch, effort)
    warm, timed = np.split(np.array(recorder.seen), [len(rounds.warmup_ns)])
    assert len(timed) == len(rounds.wall_ns) > rounds.unseen == 16
    assert (np.diff(timed) != 0).all()
    assert len(set(timed[:16])) == 16
    assert not set(warm) & set(timed)


def test_images_of_the_rounds_asked_for_and_of_the_last_are_kept() -> None:
    effort = Effort(rounds_min=40, rounds_max=40, measure_min_s=0, warmup_max_s=0)
    batches = pool()
    rounds = time_rounds(subject(Recorder()), batches, 1, effort, keep=(0, 5, 18))
    assert [place for place, _ in rounds.kept] == [0, 5, 2, 39 % 16]
    for place, images in rounds.kept:
        given = batches.timed[place]
        assert isinstance(given, Inputs)
        assert torch.equal(images, Squares().finish(given.latents))
    assert time_rounds(subject(Recorder()), batches, 1, effort).kept == ()


def test_kept_images_stay_as_they_were_when_the_round_ended() -> None:
    class Reuser(Recorder):
        """Gives one buffer again and again."""

        buffer = torch.zeros(1, 1, 8, 8)

        def __call__(self, inputs: Inputs) -> Tensor:
            return self.buffer.fill_(float(inputs.index[0]))

    effort = Effort(rounds_min=20, rounds_max=20, measure_min_s=0, warmup_max_s=0)
    rounds = time_rounds(subject(Reuser(), Points()), pool(), 1, effort, keep=(0, 1))
    assert [float(images.mean()) for _, images in rounds.kept] == [4, 5, 7]


def test_replayed_outputs_are_marked() -> None:
    cheat = subject(Replayer(2))
    rounds = time_rounds(cheat, pool(8, 8), 8, SHORT)
    assert "replayed" in latency(cheat, rounds, batch=8, config_key="k").marks


def test_warm_up_that_does_not_settle_is_marked() -> None:
    slow = subject(Sleeper(30))
    rounds = time_rounds(slow, pool(), 1, Effort(warmup_max_s=0.1, measure_max_s=0.1))
    cost = latency(slow, rounds, batch=1, config_key="k")
    assert {"warmup_unsettled", "few_rounds"} <= set(cost.marks)
    assert cost.interval is None


def test_the_warm_up_and_all_rounds_elapsed() -> None:
    rounds = time_rounds(subject(Sleeper(3)), pool(), 1, SHORT)
    calls_ns = sum(rounds.warmup_ns) + int(rounds.wall_ns.sum())
    assert calls_ns < rounds.elapsed_ns


def test_stops_when_the_median_is_known() -> None:
    effort = Effort(measure_min_s=0.5, measure_max_s=3)
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
        def __call__(self, inputs: Inputs) -> Tensor:
            states.append((torch.is_inference_mode_enabled(), gc.get_freeze_count()))
            return super().__call__(inputs)

    time_rounds(subject(Watcher()), pool(), 1, SHORT)
    assert all(inferring and frozen > 0 for inferring, frozen in states)
    assert gc.get_freeze_count() == 0


def test_the_device_is_waited_for_before_and_after_every_call() -> None:
    told: list[str] = []

    class Watched(EndToEnd):
        def synchronise(self) -> None:
            told.append("wait")

        def __call__(self, given: object) -> Tensor:
            told.append("call")
            return super().__call__(given)  # type: ignore[arg-type]

    time_rounds(Watched(Recorder(), Squares(), CPU), pool(), 1, SHORT)
    assert len(told) > 90
    assert told == ["wait", "call", "wait"] * (len(told) // 3)


def test_a_call_gets_a_copy_of_its_inputs() -> None:
    given = pool().timed[0]
    assert isinstance(given, Inputs)
    before = given.latents.clone()

    class Eraser(Recorder):
        def __call__(self, inputs: Inputs) -> Tensor:
            return inputs.latents.zero_()

    assert time_call(subject(Eraser()), given, 1).output.sum() == 0
    assert torch.equal(given.latents, before)


class Wrong(Worker):
    """Gives something else than images."""

    def __init__(self, output: Tensor) -> None:
        super().__init__(0)
        self.output = output

    def __call__(self, inputs: Inputs) -> Tensor:
        return self.output


@pytest.mark.parametrize(
    "output",
    [
        torch.zeros(1, 8, 8),
        torch.zeros(2, 1, 8, 8),
        torch.nn.Parameter(torch.zeros(1, 1, 8, 8), requires_grad=False),
    ],
)
def test_wrong_output_is_refused(output: Tensor) -> None:
    with pytest.raises(ValueError, match="where Tensor"):
        time_rounds(subject(Wrong(output), Points()), pool(), 1, SHORT)


def test_rounds_without_a_median_interval_have_none() -> None:
    wall = np.array([900_000, 910_000, 920_000])
    rounds = Rounds(wall, wall, None, [1], settled=True, unseen=3, elapsed_ns=3_000_000, kept=())
    cost = latency(subject(Recorder()), rounds, batch=1, config_key="k")
    assert (cost.value, cost.n, cost.interval, cost.marks) == (0.91, 3, None, ["few_rounds"])
