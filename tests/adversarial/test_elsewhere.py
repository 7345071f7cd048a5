"""Work that is put off until after the clock, or done where the clock does not look."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from cheats import Honest, Streamed
from cost_subjects import Squares, pool

from kdbench.costs.boundary import Pipe
from kdbench.costs.marks import OVERTHREADED
from kdbench.costs.run import Outcome
from kdbench.costs.timing import time_call
from kdbench.generators.base import Inputs, sample
from kdbench.record import Cost


def test_a_lazy_tensor_is_refused(measure_here: Callable[..., Outcome]) -> None:
    with pytest.raises(ValueError, match="The generator gave LazyTensor"):
        measure_here("Lazy", "latency")


def test_images_that_are_filled_later_are_others(costs: Callable[..., dict[str, Cost]]) -> None:
    cost = costs("Late")["latency_ms"]
    assert cost.value is not None
    assert cost.value < 3
    assert "output_differs" in cost.marks


def test_a_buffer_that_is_changed_after_a_call_does_not_change_what_was_drawn() -> None:
    class Reuser(Honest):
        """Gives one buffer again and again."""

        buffer = torch.zeros(2, 1, 8, 8)

        def __call__(self, inputs: Inputs) -> torch.Tensor:
            return self.buffer.copy_(inputs.latents)

    inputs = Squares().inputs(6, split="held-out", replicate=0)
    assert torch.equal(sample(Reuser(), inputs, chunk=2), inputs.latents)


def test_more_threads_than_are_said_are_marked(
    figure: Callable[..., Outcome], measure_here: Callable[..., Outcome]
) -> None:
    (one,) = measure_here("Threaded", "latency", n=1).costs
    assert "overthreaded" not in one.marks
    (many,) = figure("Threaded", n=4).costs
    share = many.details["cpu_share"]
    if "host_busy" in many.marks and share < OVERTHREADED:  # type: ignore[operator]
        pytest.skip("other work has the cores that the threads would have gained")
    assert "overthreaded" in many.marks


def test_work_in_another_process_is_no_work_of_this_one(figure: Callable[..., Outcome]) -> None:
    cost = figure("Outsourcer").costs[0]
    assert "starved" in cost.marks
    assert cost.details["cpu_share"] < 0.5  # type: ignore[operator]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_work_on_another_stream_is_waited_for() -> None:
    walls = []
    for products in (1, 200):
        cheat = Streamed(products)
        pipe = Pipe(cheat, Squares(), torch.device("cuda"))  # type: ignore[arg-type]
        (given, *_) = pool(boundary=pipe).timed
        time_call(pipe, given, 1)
        walls.append(time_call(pipe, given, 1).wall_ns)
    assert walls[1] > 20 * walls[0]
