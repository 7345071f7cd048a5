"""Path lengths against closed forms, torch-fidelity, torchmetrics and the package lpips."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.generators.base import Generator, Inputs
from kdbench.metrics import path_length as module
from kdbench.metrics.base import Use
from kdbench.metrics.features.base import Extractor, read_state
from kdbench.metrics.features.lpips import SQUEEZE, build, linear_weights
from kdbench.metrics.measure import measure
from kdbench.metrics.path_length import (
    EPSILON,
    FEW,
    kept,
    lpips_between,
    path_length,
    path_lengths,
    ppl_float,
    ppl_uint8,
    slerp,
)

SHAPE = (1, 4, 4)


def latents(n: int, *, seed: int, shape: tuple[int, ...] = SHAPE, norm: float | None = None) -> Any:
    z = torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))
    if norm is not None:
        z *= norm / z.flatten(1).norm(dim=1)[:, None, None, None]
    return Inputs(z, torch.arange(n) % 10, torch.arange(n))


@dataclass
class Linear:
    """0.5 + gain · z, and what it was asked for."""

    gain: float = 0.05
    nfe: int = 1

    def __post_init__(self) -> None:
        self.asked: list[Inputs] = []

    def __call__(self, inputs: Inputs) -> Tensor:
        self.asked.append(inputs)
        return 0.5 + self.gain * inputs.latents


def squared(near: Tensor, far: Tensor) -> Tensor:
    """‖Δ‖² on the scale of [0, 1]."""
    return ((near.double() - far.double()) / 255).square().sum(dim=(1, 2, 3))


def lengths(generator: Generator, n: int = 60, *, quantised: bool = False, **more: Any) -> Tensor:
    start, end = (latents(n, seed=one, norm=4.0) for one in (1, 2))
    return path_lengths(generator, start, end, squared, quantised=quantised, seed=3, **more)


def test_a_linear_generator_has_the_length_of_the_arc() -> None:
    """|dz/dt| = rω on a sphere of radius r, whatever t; so the length is (gain · r · ω)²."""
    a, b = (latents(60, seed=one, norm=4.0).latents.double().flatten(1) for one in (1, 2))
    omega = torch.nn.functional.cosine_similarity(a, b).acos()
    found = lengths(Linear())
    assert found.dtype == torch.float64
    # float32 images of about 0.5 resolve steps of about 1e-5 to 0.3 %, a square to twice that.
    assert found.tolist() == pytest.approx((0.05 * 4 * omega).square().tolist(), rel=2e-2)
    assert float(found.mean()) == pytest.approx(float((0.05 * 4 * omega).square().mean()), rel=2e-3)


def test_a_larger_step_gives_the_chord() -> None:
    a, b = (latents(60, seed=one, norm=4.0).latents.double().flatten(1) for one in (1, 2))
    omega = torch.nn.functional.cosine_similarity(a, b).acos()
    chord = (2 * 0.05 * 4 * (0.25 * omega).sin()).square() / 0.25
    assert lengths(Linear(), epsilon=0.5).tolist() == pytest.approx(chord.tolist(), rel=1e-5)


def test_uint8_is_mostly_rounding() -> None:
    """A change of whole levels with a probability of its size: E[Δ²] ~ |Δ|/255, not Δ²."""
    smooth, rounded = lengths(Linear(), 2000), lengths(Linear(), 2000, quantised=True)
    assert rounded.mean() > 50 * smooth.mean()
    assert (rounded == 0).any()
    assert path_length(rounded).value != pytest.approx(path_length(smooth).value, rel=10)


def test_both_ends_have_one_label_and_one_batch_size() -> None:
    generator = Linear()
    whole = lengths(generator, 25, chunk=25)
    generator.asked.clear()
    assert lengths(generator, 25, chunk=10).tolist() == whole.tolist()
    assert [len(inputs) for inputs in generator.asked] == [10] * 6
    for near, far in zip(generator.asked[::2], generator.asked[1::2], strict=True):
        assert torch.equal(near.labels, far.labels)
        assert not torch.equal(near.latents, far.latents)


def test_a_constant_generator_has_no_length() -> None:
    found = path_length(lengths(Linear(gain=0.0)))
    assert (found.value, found.interval) == (0.0, None)
    assert "equal" in (found.reason or "")


@pytest.mark.parametrize("t", [0.0, 1e-4, 0.3, 1.0])
def test_slerp_equals_torch_fidelity(t: float) -> None:
    peer = pytest.importorskip("torch_fidelity.noise")
    a, b = (latents(20, seed=one).latents.double() for one in (4, 5))
    b[0], b[1], b[2] = a[0], -a[1], 0.0
    due = peer.batch_slerp_any(a.flatten(1), b.flatten(1), t).float().reshape(a.shape)
    found = slerp(a, b, torch.full((20,), t, dtype=torch.float64))
    assert torch.allclose(found, due, rtol=1e-5, atol=1e-6)


def heavy(n: int) -> Tensor:
    draw = np.random.default_rng(n)
    return torch.from_numpy(draw.lognormal(3, 1.5, n))


@pytest.mark.parametrize("n", [2, 37, 250, 1001])
def test_discards_as_torch_fidelity(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fidelity = pytest.importorskip("torch_fidelity")
    peer = pytest.importorskip("torch_fidelity.metric_ppl")
    due = heavy(n)

    class Given(fidelity.SampleSimilarityBase):  # type: ignore[misc, name-defined]
        def __init__(self, name: str, **_: Any) -> None:
            super().__init__(name)

        def forward(self, near: Tensor, far: Tensor) -> Tensor:
            return due * EPSILON**2

    percentile = np.percentile  # whose keyword `interpolation` NumPy 2.4 dropped
    monkeypatch.setattr(
        peer.np, "percentile", lambda x, q, interpolation: percentile(x, q, method=interpolation)
    )
    monkeypatch.setattr(peer, "create_sample_similarity", lambda name, **_: Given(name))
    model = fidelity.GenerativeModelModuleWrapper(torch.nn.Identity(), 4, "normal", 0)
    found = peer.calculate_ppl(
        1, input1=model, input1_model_num_samples=n, batch_size=n, cuda=False, verbose=False
    )
    monkeypatch.undo()
    own = path_length(due)
    assert own.value == pytest.approx(found["perceptual_path_length_mean"], rel=1e-12)
    assert own.details["standard_deviation"] == pytest.approx(
        found["perceptual_path_length_std"], rel=1e-12
    )


def test_torchmetrics_leaves_out_one_more() -> None:
    values = heavy(250)
    upper = torch.quantile(values, 0.99, interpolation="lower")
    lower = torch.quantile(values, 0.01, interpolation="lower")
    theirs = values[(values >= lower) & (values <= upper)]
    own = kept(values.numpy())
    assert len(own) == len(theirs) + 1
    assert own.max() > theirs.max()


def test_interval_covers_the_mean_of_a_large_sample() -> None:
    truth = float(kept(heavy(200_000).numpy()).mean())
    found = [path_length(heavy(400 + i)) for i in range(25)]
    inside = [f.interval and f.interval.low <= truth <= f.interval.high for f in found]
    assert sum(map(bool, inside)) >= 20
    assert found[0].interval is not None
    assert found[0].marks == (f"few samples: 400 of at least {FEW:,}",)
    assert path_length(heavy(FEW)).marks == ()


def test_refusals() -> None:
    with pytest.raises(NothingMeasured, match="3 first and 2 last"):
        path_lengths(
            Linear(), latents(3, seed=1), latents(2, seed=2), squared, quantised=False, seed=0
        )
    half: Any = Linear()
    half.network = torch.nn.Linear(2, 2).half()
    with pytest.raises(NothingMeasured, match="float32"):
        lengths(half)
    with pytest.raises(NothingMeasured, match="1 of 3 path lengths are not finite"):
        path_length(torch.tensor([1.0, math.nan, 2.0]))
    with pytest.raises(NothingMeasured, match="two pairs"):
        path_length(torch.ones(1))


# ---------------------------------------------------------------- LPIPS


@pytest.mark.filterwarnings("ignore:.*weights.*:UserWarning:torchvision")
def test_distances_of_float_images_equal_the_package() -> None:
    """In the smallest trunk, with random weights; all trunks share the embedding."""
    lpips = pytest.importorskip("lpips")
    torch.manual_seed(5)
    peer = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False)
    state = {f"features.{n.partition('.')[2]}": v for n, v in peer.net.state_dict().items()}
    network = build(SQUEEZE, state, read_state(linear_weights(SQUEEZE)))
    near = torch.rand(4, 3, 32, 32)
    far = near + torch.tensor([0.0, 1e-3, 1e-2, 0.1])[:, None, None, None] * torch.randn(near.shape)
    with torch.inference_mode():
        due = peer(2 * near - 1, 2 * far - 1).flatten()
    found = lpips_between(Extractor("lpips-squeeze@1:random", network))(255 * near, 255 * far)
    assert found.tolist() == pytest.approx(due.tolist(), rel=1e-3, abs=1e-9)
    assert 0 == found[0] < found[1] < found[2] < found[3]


class Pixels(torch.nn.Module):
    """Pixels on the scale of [0, 1] as an embedding."""

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        return images.flatten(1).float() / 255, None


def test_metrics_are_two_numbers_under_two_protocols(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "shared_extractor", lambda name: Extractor(name, Pixels()))
    start, end = latents(300, seed=1), latents(300, seed=2)
    as_made, rounded = (one.function(Linear(), start, end, 100) for one in (ppl_float, ppl_uint8))
    assert as_made.interval.low < as_made.value < as_made.interval.high
    assert rounded.value > 20 * as_made.value
    assert [one.id for one in (ppl_float, ppl_uint8)] == ["ppl-float@1", "ppl-uint8@1"]
    assert ppl_float.protocol != ppl_uint8.protocol
    assert ppl_float.kind == "generator"
    assert "0. Most of it is rounding" in (ppl_uint8.__doc__ or "")


def test_is_not_measured_of_images(image_set: Any) -> None:
    with pytest.raises(NothingMeasured, match="measured of a generator"):
        measure(ppl_float, use=Use("ppl-float@1", n=20), generated=image_set(n=20))
