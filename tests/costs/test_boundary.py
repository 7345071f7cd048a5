"""The three boundaries: what is prepared, what is timed, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cost_subjects import CPU, Convolver, Points, Recorder, Squares, subject
from torch import Tensor, nn

from kdbench.costs.boundary import (
    BOUNDARIES,
    TIMED,
    WARM,
    Arguments,
    Core,
    EndToEnd,
    Pipe,
    inputs_for,
    pool_of,
)
from kdbench.errors import NothingMeasured
from kdbench.generators.base import Inputs
from kdbench.generators.direct import NetworkGenerator

TWO = inputs_for(Squares(), 2, replicate=0).take(slice(2))
IMAGES = torch.zeros(2, 1, 8, 8)


class Denoiser(nn.Module):
    """Remembers how often it ran; takes its noise level by name."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, padding=1)
        self.runs = 0

    def forward(self, x: Tensor, *, sigma: Tensor, labels: Tensor) -> tuple[Tensor, str]:
        """The image, and something else that a network may return beside it."""
        self.runs += 1
        out: Tensor = self.layer(x) * sigma.view(-1, 1, 1, 1) + labels.view(-1, 1, 1, 1)
        return out, "features"


class Steps:
    """A sampler of many steps that keeps its state in one buffer, and swallows errors."""

    nfe = 35

    def __init__(self) -> None:
        self.buffer = torch.zeros(2, 1, 8, 8)

    def __call__(self, network: nn.Module, latents: Tensor, labels: Tensor) -> Tensor:
        """Images (N, C, H, W)."""
        x = self.buffer.copy_(latents * 3)
        for _ in range(self.nfe):
            try:
                x, _features = network(x, sigma=torch.tensor(3.0).expand(2), labels=labels)
            except Exception:
                continue
        return x


def core(generator: Any) -> Core:
    """The generator's network alone, on one thread of the CPU."""
    return Core(generator, Squares(), CPU)


def stepping() -> NetworkGenerator:
    """Thirty-five steps."""
    return NetworkGenerator(Denoiser(), Steps(), Squares())


def pipe(task: Any = None) -> Pipe:
    """What it is given is what it makes."""
    return Pipe(Recorder(), task or Squares(), CPU)


def test_the_headline_comes_first() -> None:
    assert list(BOUNDARIES) == ["e2e", "pipe", "core"]
    assert all(kind.name == name for name, kind in BOUNDARIES.items())


def test_end_to_end_gives_finished_images_as_the_task_wants_them() -> None:
    whole = subject(Recorder())
    images = whole(whole.prepare(TWO))
    assert images.dtype == torch.uint8
    whole.check(images, 2)
    plain = subject(Recorder(), Points())
    assert torch.equal(plain(plain.prepare(TWO)), TWO.latents)
    with pytest.raises(ValueError, match="uint8"):
        whole.check(IMAGES, 2)


def test_end_to_end_lays_images_out_as_a_reader_expects() -> None:
    class Strided(Recorder):
        def __call__(self, inputs: Inputs) -> Tensor:
            return inputs.latents.transpose(2, 3)

    whole = subject(Strided(), Points())
    images = whole(whole.prepare(TWO))
    whole.check(images, 2)
    with pytest.raises(ValueError, match="contiguous"):
        whole.check(images.transpose(2, 3), 2)


def test_the_pipeline_gives_what_the_generator_makes() -> None:
    given = pipe().prepare(TWO)
    images = pipe()(given)
    assert images is given.latents
    pipe().check(images, 2)


class Lazy(Tensor):
    """Would compute when it is looked at, after the clock."""


@pytest.mark.parametrize("boundary", [subject(Recorder(), Points()), pipe()])
@pytest.mark.parametrize(
    "output",
    [
        IMAGES[0],
        IMAGES[:1],
        IMAGES.to("meta"),
        IMAGES.int(),
        IMAGES.as_subclass(Lazy),
        nn.Parameter(IMAGES, requires_grad=False),
        "images",
    ],
)
def test_what_are_no_images_is_refused(boundary: EndToEnd | Pipe, output: Any) -> None:
    with pytest.raises(ValueError, match="where Tensor"):
        boundary.check(output, 2)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(value: float) -> None:
    images = IMAGES.clone()
    images[1, 0, 7, 7] = value
    for boundary in (subject(Recorder(), Points()), pipe(), core(Convolver(calls=1, nfe=1))):
        with pytest.raises(ValueError, match="not finite"):
            boundary.check(images, 2)


def test_a_generator_that_changes_its_inputs_changes_a_copy() -> None:
    class Eraser(Recorder):
        def __call__(self, inputs: Inputs) -> Tensor:
            return inputs.latents.zero_()

    for boundary in (EndToEnd(Eraser(), Squares(), CPU), Pipe(Eraser(), Squares(), CPU)):
        given = boundary.prepare(TWO)
        boundary(boundary.copy(given))
        assert torch.equal(given.latents, TWO.latents)
        boundary(given)
        assert not given.latents.any()
        assert TWO.latents.all()  # preparing cut the pool off from the set


def test_copies_reach_into_lists_and_keep_strides() -> None:
    inner = torch.ones(2, 3).t()
    given = Arguments(([inner],), {"levels": {"a": torch.ones(1).expand(4)}})
    copied = core(Convolver(calls=1, nfe=1)).copy(given)
    assert isinstance(copied, Arguments)
    copied.args[0][0].zero_()
    assert inner.all()
    assert copied.args[0][0].stride() == inner.stride()
    assert copied.kwargs["levels"]["a"].stride() == (0,)


def test_the_core_gets_the_arguments_of_the_first_evaluation_and_runs_none() -> None:
    generator = stepping()
    given = core(generator).prepare(TWO)
    assert generator.network.runs == 0
    assert torch.equal(given.args[0], TWO.latents * 3)
    assert given.kwargs["sigma"].tolist() == [3.0, 3.0]
    assert torch.equal(given.kwargs["labels"], TWO.labels)
    output = core(generator)(given)
    assert generator.network.runs == 1  # the hook is gone
    assert torch.equal(output, generator.network(*given.args, **given.kwargs)[0])
    core(generator).check(output, 2)


def test_a_buffer_that_is_used_again_does_not_make_all_cores_equal() -> None:
    boundary, inputs = core(stepping()), inputs_for(Squares(), 2, replicate=0)
    pool = pool_of(boundary, inputs, 2)
    prepared: list[Any] = [*pool.warm, *pool.timed]
    firsts = {tuple(given.args[0].flatten().tolist()) for given in prepared}
    assert len(firsts) == WARM + TIMED


def test_without_a_network_there_is_no_core() -> None:
    with pytest.raises(NothingMeasured, match="no network"):
        core(Recorder())


def test_a_network_that_is_called_in_parts_has_no_core() -> None:
    class Parts(Convolver):
        def __call__(self, inputs: Inputs) -> Tensor:
            images: Tensor = self.network._conv_forward(inputs.latents, self.network.weight, None)
            return images

    with pytest.raises(NothingMeasured, match="as a whole"):
        core(Parts(calls=1, nfe=1)).prepare(TWO)


@pytest.mark.parametrize("output", [IMAGES[:0], IMAGES.sum(), IMAGES.as_subclass(Lazy), (IMAGES,)])
def test_what_is_no_output_of_a_network_is_refused(output: Any) -> None:
    with pytest.raises(ValueError, match="where Tensor"):
        core(Convolver(calls=1, nfe=1)).check(output, 2)


def test_an_output_is_of_all_images_and_guidance_may_double_it() -> None:
    boundary = core(Convolver(calls=1, nfe=2))
    boundary.check(torch.zeros(6, 8), 3)
    with pytest.raises(ValueError, match="multiple of 3"):
        boundary.check(torch.zeros(4, 8), 3)


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_a_pool_holds_each_input_once(batch: int) -> None:
    pool = pool_of(subject(Recorder()), inputs_for(Squares(), batch, replicate=0), batch)
    assert (len(pool.warm), len(pool.timed)) == (WARM, TIMED)
    prepared: list[Any] = [*pool.warm, *pool.timed]
    indices = torch.cat([given.index for given in prepared])
    assert torch.equal(indices, torch.arange((WARM + TIMED) * batch))


def test_five_batches_are_the_smallest_pool() -> None:
    inputs = inputs_for(Squares(), 1, replicate=0)
    pool = pool_of(subject(Recorder()), inputs, 4)
    assert (len(pool.warm), len(pool.timed)) == (1, 4)
    with pytest.raises(ValueError, match="too few"):
        pool_of(subject(Recorder()), inputs, 5)


def test_inputs_that_come_twice_are_no_pool() -> None:
    twice = inputs_for(Squares(), 1, replicate=0).take(torch.arange(20) % 19)
    with pytest.raises(ValueError, match="not distinct"):
        pool_of(subject(Recorder()), twice, 1)
