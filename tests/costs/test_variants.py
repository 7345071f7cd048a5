"""Named variants of one generator: the same images, built and run in another way."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest
import torch
from cost_subjects import CPU, Convolver, Recorder, Squares
from torch import Tensor, nn
from torch.nn import functional as F

from kdbench.costs.boundary import EndToEnd, inputs_for
from kdbench.costs.config import config_of, mismatches
from kdbench.costs.counts import counts
from kdbench.costs.graphed import Graphed
from kdbench.costs.variant import Variant, parse_variant
from kdbench.costs.variants import apply, eager
from kdbench.digest import sha256_of
from kdbench.errors import BadSpec, NothingMeasured
from kdbench.generators.base import Inputs
from kdbench.generators.direct import NetworkGenerator

INPUTS = inputs_for(Squares(), 1, replicate=0).take(slice(8))


class Net(nn.Module):
    """A small denoiser with normalisation and a class embedding."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.entry = nn.Conv2d(1, 16, 3, padding=1)
        self.norm = nn.GroupNorm(4, 16)
        self.label = nn.Embedding(3, 16)
        self.exit = nn.Conv2d(16, 1, 3, padding=1)
        self.register_buffer("scale", torch.tensor(0.25))

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """(N, 1, 8, 8) to the same."""
        hidden = self.entry(x) + self.label(labels)[:, :, None, None] * sigma.view(-1, 1, 1, 1)
        out: Tensor = self.exit(F.silu(self.norm(hidden))) * self.get_buffer("scale")
        return out


class Euler:
    """Two steps, reckoned in float32."""

    nfe = 2

    def __call__(self, network: nn.Module, latents: Tensor, labels: Tensor) -> Tensor:
        """Images (N, C, H, W)."""
        x = latents * 0.5
        for sigma in (0.5, 0.1):
            x = (x + network(x, torch.full((len(x),), sigma, device=x.device), labels)) / 2
            assert x.dtype == torch.float32
        return x


def generator() -> NetworkGenerator:
    """Two evaluations of a small network."""
    return NetworkGenerator(Net(), Euler(), Squares())


def draw(name: str) -> tuple[NetworkGenerator, Tensor]:
    """A variant of the generator, and its images."""
    varied = apply(generator(), parse_variant(name), CPU)
    assert isinstance(varied, NetworkGenerator)
    with torch.inference_mode():
        return varied, varied(INPUTS)


def psnr(a: Tensor, b: Tensor) -> float:
    """Of images in [0, 1], in dB."""
    return float(-10 * (a - b).square().mean().log10())


@pytest.fixture(autouse=True)
def precision() -> Iterator[None]:
    """Variants set it for the whole process."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


def test_every_variant_has_a_name_of_its_own_that_means_it() -> None:
    modes = (None, "default", "reduce-overhead", "max-autotune")
    variants = [
        Variant(precision, mode, cuda_graph=graph, channels_last=last)
        for precision, mode, graph, last in product(
            ("fp32", "tf32", "bf16", "fp16"), modes, (False, True), (False, True)
        )
        if not (graph and mode in modes[2:])
    ]
    assert [parse_variant(variant.name) for variant in variants] == variants
    assert len({variant.name for variant in variants}) == len(variants)


def test_words_come_in_any_order() -> None:
    variant = parse_variant("channels-last+compile+bf16")
    assert variant == Variant("bf16", "default", channels_last=True)
    assert parse_variant("compile").name == "fp32+compile"


@pytest.mark.parametrize("name", ["", "int8", "bf16+", "BF16", "bf16 + compile", "compile-fast"])
def test_an_unknown_word_is_refused_and_the_known_ones_are_named(name: str) -> None:
    with pytest.raises(BadSpec, match=r"fp32, tf32, bf16, fp16, compile, .*channels-last"):
        parse_variant(name)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("bf16+fp16", "contradicts"),
        ("fp32+tf32", "contradicts"),
        ("compile+compile-max-autotune", "contradicts"),
        ("compile-reduce-overhead+cuda-graph", "contradicts"),
        ("compile+compile", "twice"),
    ],
)
def test_words_that_do_not_go_together_are_refused(name: str, fault: str) -> None:
    with pytest.raises(BadSpec, match=fault):
        parse_variant(name)


@pytest.mark.parametrize(
    ("name", "dtype", "db"), [("bf16", "bfloat16", 40), ("fp16", "float16", 60)]
)
def test_half_precision_is_close_and_says_what_it_is(name: str, dtype: str, db: float) -> None:
    plain, exact = draw("fp32")
    half, images = draw(name)
    assert images.dtype == torch.float32
    assert db < psnr(images, exact) < 120  # further apart than rounding at the end alone
    variant = parse_variant(name)
    config = config_of(half, Squares(), machine="h:1", threads=1, variant=variant)
    teacher = config_of(plain, Squares(), machine="h:1", threads=1, variant=Variant())
    assert config.dtype == dtype
    assert mismatches(config, teacher) == ["mismatch:dtype"]


def test_channels_last_is_the_same_in_another_layout() -> None:
    _, exact = draw("fp32")
    varied, images = draw("channels-last")
    assert torch.allclose(images, exact, atol=1e-5)
    variant = parse_variant("channels-last")
    config = config_of(varied, Squares(), machine="h:1", threads=1, variant=variant)
    assert config.memory_format == "channels_last"


def test_nothing_to_vary_makes_no_copy() -> None:
    given = generator()
    assert apply(given, parse_variant("fp32"), CPU) is given


@pytest.mark.parametrize("name", ["bf16", "fp16", "channels-last", "bf16+channels-last"])
def test_the_given_generator_stays_as_it_is(name: str) -> None:
    given = generator()
    state = given.network.state_dict()
    before = sha256_of(*state.values())
    strides = [tensor.stride() for tensor in state.values()]
    varied = apply(given, parse_variant(name), CPU)
    assert isinstance(varied, NetworkGenerator)
    with torch.no_grad():
        for parameter in varied.network.parameters():
            parameter.zero_()
    assert sha256_of(*given.network.state_dict().values()) == before
    assert [tensor.stride() for tensor in given.network.state_dict().values()] == strides
    assert varied is not given
    assert varied.sampler is given.sampler


def test_fp32_is_bit_by_bit_what_was_given() -> None:
    with torch.inference_mode():
        assert torch.equal(draw("fp32")[1], generator()(INPUTS))


def test_fp32_turns_rounded_products_off() -> None:
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    apply(Recorder(), Variant(), CPU)
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("name", ["cuda-graph", "tf32"])
def test_what_only_cuda_has_is_not_measured_elsewhere(name: str) -> None:
    with pytest.raises(NothingMeasured, match=f"{name} needs a CUDA device"):
        apply(generator(), parse_variant(name), CPU)


@pytest.mark.parametrize("given", [Recorder(), Convolver(calls=1, nfe=1)])
def test_a_generator_whose_network_cannot_be_exchanged_has_one_variant(given: Recorder) -> None:
    assert apply(given, Variant(), CPU) is given
    with pytest.raises(NothingMeasured, match="bf16 needs a network that can be exchanged"):
        apply(given, parse_variant("bf16"), CPU)


def test_a_graph_is_taken_off_for_counting_and_holds_no_value_from_the_host() -> None:
    given = generator()
    graphed = replace(given, network=Graphed(given.network))
    plain = eager(graphed)
    assert isinstance(plain, NetworkGenerator)
    assert plain.network is given.network
    assert eager(given) is given
    with pytest.raises(NothingMeasured, match="on the device"):
        graphed(INPUTS)


@pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler on the path"
)
def test_a_compiled_student_is_compiled_counted_and_not_divided_by_an_eager_teacher() -> None:
    from torch._dynamo.utils import counters

    counters.clear()
    student, images = draw("compile")
    teacher, exact = draw("fp32")
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
    assert torch.allclose(images, exact, atol=1e-5)
    configs = [
        config_of(which, Squares(), machine="h:1", threads=1, variant=parse_variant(name))
        for which, name in ((student, "compile"), (teacher, "fp32"))
    ]
    assert mismatches(*configs) == ["mismatch:compile"]
    one: Inputs = INPUTS.take(slice(1))
    counted = [counts(EndToEnd(which, Squares(), CPU), one) for which in (student, teacher)]
    assert [c.model_dump() for c in counted[0]] == [c.model_dump() for c in counted[1]]
    assert counted[0][2].details["counted"] == 2
    assert counters["stats"]["unique_graphs"] == 1  # counting compiled nothing


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", ["cuda-graph", "bf16+cuda-graph", "compile+cuda-graph"])
def test_a_graph_gives_the_same_images_for_each_input_and_shape(name: str) -> None:
    device = torch.device("cuda")
    eager_name = name.replace("+cuda-graph", "").replace("cuda-graph", "fp32")
    graphed = apply(generator(), parse_variant(name), device)
    plain = apply(generator(), parse_variant(eager_name), device)
    with torch.inference_mode():
        for chosen in (slice(4), slice(4, 8), slice(2)):
            inputs = INPUTS.take(chosen)
            assert psnr(graphed(inputs), plain(inputs)) > 60
