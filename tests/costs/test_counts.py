"""Parameters, multiply–accumulates and evaluations of whole samplings, against counts by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from cost_subjects import CPU, Convolver, Recorder, Sleeper, Squares, Worker, subject
from torch import Tensor, nn
from torch.nn import functional as F

from kdbench.costs.boundary import EndToEnd, inputs_for
from kdbench.costs.counts import counts
from kdbench.costs.variant import parse_variant
from kdbench.costs.variants import apply
from kdbench.generators.base import Generator, Inputs
from kdbench.generators.direct import NetworkGenerator
from kdbench.record import Cost

ONE = inputs_for(Squares(), 1, replicate=0).take(slice(1))
LAYER = 8 * 8 * 9
"""MACs of a 3 by 3 convolution of one channel over a square."""


def count(generator: Generator, weights: Path | str | None = None) -> dict[str, Cost]:
    """Costs by metric; none twice."""
    costs = counts(EndToEnd(generator, Squares(), CPU), ONE, weights=weights)
    named = {cost.metric: cost for cost in costs}
    assert len(named) == len(costs) == 3
    return named


class Denoiser(nn.Module):
    """Convolutions, group norm, attention over pixels and an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.label = nn.Embedding(3, 8)
        self.down = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=4)
        self.project = nn.Linear(8, 24)
        self.up = nn.ConvTranspose2d(8, 1, 4, stride=2, padding=1)

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """(N, 1, 8, 8) to the same."""
        hidden = F.silu(self.norm(self.entry(x / sigma.view(-1, 1, 1, 1))))
        hidden = self.down(hidden + self.label(labels)[:, :, None, None])
        tokens = self.project(hidden.flatten(2).transpose(1, 2)).unflatten(2, (3, 2, 4))
        q, k, v = tokens.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        out: Tensor = self.up(mixed.transpose(1, 2).reshape(hidden.shape))
        return out


EVALUATION = sum(
    (
        8 * 8 * 1 * 8 * 9,  # entry
        4 * 4 * 8 * 2 * 9,  # down, two channels in each of its groups
        16 * 8 * 24,  # project
        2 * 16 * 16 * 8,  # queries with keys, weights with values
        4 * 4 * 8 * 1 * 16,  # up, on its input grid
    )
)


class Heun:
    """Second order: two evaluations a step, one in the last; arithmetic of its own besides."""

    nfe = 7

    def __call__(self, network: nn.Module, latents: Tensor, labels: Tensor) -> Tensor:
        """Images (N, C, H, W)."""
        x = latents * 8
        for a, b in ((8.0, 4.0), (4.0, 2.0), (2.0, 1.0), (1.0, 0.0)):
            d = (x - network(x, torch.full((len(x),), a), labels)) / a
            ahead: Tensor = x + (b - a) * d
            if b == 0:
                return ahead
            d2 = (ahead - network(ahead, torch.full((len(x),), b), labels)) / b
            x = x + (b - a) * (d + d2) / 2
        return x


@pytest.mark.parametrize("name", ["fp32", "bf16", "channels-last"])
def test_a_whole_sampling_by_hand_whatever_the_variant(name: str) -> None:
    generator = NetworkGenerator(Denoiser(), Heun(), Squares())
    costs = count(apply(generator, parse_variant(name), CPU))
    macs = costs["macs"]
    assert macs.value == 7 * EVALUATION
    assert macs.marks == []
    assert macs.details["core_macs"] == EVALUATION
    assert macs.details["rest_macs"] == 0  # the sampler's own arithmetic
    assert costs["nfe"].marks == []
    elements = 8 * 9 + 8 + 16 + 24 + 8 * 2 * 9 + 8 + 8 * 24 + 24 + 8 * 16 + 1
    assert costs["parameters"].value == elements
    assert costs["parameters"].details["bytes"] == elements * (2 if name == "bf16" else 4)


def test_evaluations_are_counted() -> None:
    honest = count(Convolver(calls=4, nfe=4))
    assert honest["nfe"].value == 4
    assert honest["nfe"].marks == []
    cheat = count(Convolver(calls=4, nfe=1))
    assert cheat["nfe"].marks == ["nfe_counted:4"]
    assert cheat["macs"].value == 4 * LAYER


class Guided(Convolver):
    """Two evaluations in one doubled batch."""

    def __call__(self, inputs: Inputs) -> Tensor:
        with_class, without = self.network(torch.cat([inputs.latents] * 2)).chunk(2)
        out: Tensor = without + 2 * (with_class - without)
        return out


def test_guidance_in_a_doubled_batch_counts_twice() -> None:
    costs = count(Guided(calls=1, nfe=2))
    assert costs["nfe"].marks == []
    assert costs["nfe"].details == {"counted": 2, "calls": 1}
    assert costs["macs"].value == 2 * LAYER
    assert costs["macs"].details["core_macs"] == LAYER
    assert costs["macs"].marks == []


class Decoding(Convolver):
    """A decoder after the network, three times as wide as it."""

    def __init__(self) -> None:
        super().__init__(calls=2, nfe=2)
        self.decoder = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 1, 1))

    def __call__(self, inputs: Inputs) -> Tensor:
        out: Tensor = self.decoder(super().__call__(inputs))
        return out


def test_what_is_not_the_network_is_counted_apart() -> None:
    macs = count(Decoding())["macs"]
    assert macs.value == 2 * LAYER + 3 * LAYER + 8 * 8 * 3
    assert macs.details["core_macs"] == LAYER
    assert macs.details["rest_macs"] == 3 * LAYER + 8 * 8 * 3
    assert macs.marks == []


class Cached(nn.Module):
    """Does its work in the first of every two calls, and less in the other."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.Conv2d(1, 1, 3, padding=1)
        self.shallow = nn.Conv2d(1, 1, 1)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 8, 8) to the same."""
        self.calls += 1
        out: Tensor = self.deep(x) if self.calls % 2 else self.shallow(x)
        return out


def test_evaluations_that_cost_less_than_the_first_are_marked() -> None:
    generator = Convolver(calls=2, nfe=2)
    generator.network = Cached()  # type: ignore[assignment]
    macs = count(generator)["macs"]
    assert macs.value == LAYER + 64
    assert macs.marks == ["macs_disagree"]


def test_a_network_that_is_called_in_parts_has_no_evaluations_to_compare() -> None:
    class Parts(Convolver):
        def __call__(self, inputs: Inputs) -> Tensor:
            images: Tensor = F.conv2d(inputs.latents, self.network.weight, padding=1)
            return images

    costs = count(Parts(calls=1, nfe=1))
    assert costs["macs"].value == LAYER
    assert costs["macs"].marks == []
    assert costs["macs"].details["core_macs"] is None
    assert costs["macs"].details["rest_macs"] is None
    assert costs["nfe"].details["counted"] is None


def test_without_a_network_nothing_is_zero_by_default() -> None:
    costs = count(Sleeper(0))
    assert costs["parameters"].value is None
    assert costs["parameters"].reason
    assert costs["macs"].value == 0  # nothing was multiplied
    assert count(Worker(3))["macs"].value == 3 * 128**3


def test_macs_that_the_counter_cannot_see_are_missing() -> None:
    class Outside(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.nfe = 1

    macs = count(Outside())["macs"]
    assert macs.value is None
    assert macs.reason


def test_an_operation_without_a_formula_marks_the_count() -> None:
    class Spectral(Convolver):
        def __call__(self, inputs: Inputs) -> Tensor:
            images: Tensor = super().__call__(inputs)
            out: Tensor = images + torch.fft.rfft2(images).abs().mean()
            return out

    macs = count(Spectral(calls=1, nfe=1))["macs"]
    assert macs.value == LAYER
    assert macs.marks == ["macs_incomplete:aten._fft_r2c"]


def test_the_file_of_the_weights_is_weighed(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"0" * 1234)
    for weights in (file, str(file)):
        costs = count(Convolver(calls=1, nfe=1), weights)
        assert costs["parameters"].details["bytes_on_disk"] == 1234
    assert count(Convolver(calls=1, nfe=1))["parameters"].details["bytes_on_disk"] is None


def test_counting_leaves_no_hook_behind() -> None:
    generator = Convolver(calls=1, nfe=1)
    counts(subject(generator), ONE)
    assert not generator.network._forward_pre_hooks
    assert not generator.network._forward_hooks
