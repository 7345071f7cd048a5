"""Images a second over calls in a row."""

from __future__ import annotations

import pytest
import torch
from cost_subjects import CPU, Recorder, Sleeper, Squares, Worker, pool, subject
from torch import Tensor

from kdbench.costs.boundary import EndToEnd
from kdbench.costs.effort import Effort
from kdbench.costs.throughput import BLOCKS, throughput
from kdbench.generators.base import Inputs

SHORT = Effort(warmup_min_s=0.01, warmup_max_s=0.1, block_s=0.2)
POOL = pool(8, 8)


def test_images_are_counted_and_the_whole_block_is_timed() -> None:
    block = throughput(subject(Sleeper(50)), POOL, SHORT, batch=8, config_key="k")
    assert block.cost.value == pytest.approx(160, rel=0.3)
    assert block.cost.n == BLOCKS
    assert block.cost.interval is not None
    assert block.cost.interval.low <= block.cost.value <= block.cost.interval.high  # type: ignore[operator]
    assert block.cost.details["seconds"] == pytest.approx(BLOCKS * 0.05, rel=0.3)
    assert "starved" in block.cost.marks
    assert block.elapsed_ns > 0.2e9


def test_a_call_longer_than_the_block_is_timed_once() -> None:
    effort = SHORT.model_copy(update={"block_s": 0.01})
    block = throughput(subject(Sleeper(50)), POOL, effort, batch=8, config_key="k")
    assert block.cost.details["calls_a_block"] == 1
    assert block.cost.value == pytest.approx(160, rel=0.3)


def test_the_device_is_waited_for_once_at_the_end_of_the_block() -> None:
    told: list[str] = []

    class Watched(EndToEnd):
        def synchronise(self) -> None:
            told.append("wait")

        def __call__(self, given: object) -> Tensor:
            told.append("call")
            return super().__call__(given)  # type: ignore[arg-type]

    block = throughput(Watched(Worker(50), Squares(), CPU), POOL, SHORT, batch=8, config_key="k")
    calls = int(block.cost.details["calls_a_block"])  # type: ignore[arg-type]
    assert calls > 1
    assert told[-BLOCKS * (calls + 2) :] == BLOCKS * ["wait", *["call"] * calls, "wait"]


def test_inputs_take_turns_and_the_last_images_are_kept() -> None:
    recorder = Recorder()
    block = throughput(subject(recorder), POOL, SHORT, batch=8, config_key="k")
    calls = int(block.cost.details["calls_a_block"])  # type: ignore[arg-type]
    timed = recorder.seen[-calls:]
    assert timed[:17] == [8 * (4 + i) for i in range(16)] + [32]
    ((place, images),) = block.kept
    given = POOL.timed[place]
    assert isinstance(given, Inputs)
    assert int(given.index[0]) == timed[-1]
    assert torch.equal(images, Squares().finish(given.latents))


def test_wrong_output_is_refused() -> None:
    with pytest.raises(ValueError, match="where Tensor"):
        throughput(subject(Recorder()), POOL, SHORT, batch=7, config_key="k")
