"""Multiply-accumulates against counts by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdbench.costs.macs import count_macs


class UNet(nn.Module):
    """Two resolutions, with normalisation, resampling, embedding and a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.down = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.class_embedding = nn.Embedding(10, 16)
        self.middle = nn.Linear(16, 16)
        self.last = nn.Conv2d(24, 3, 1)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """(N, 3, 16, 16) to the same."""
        skip = F.silu(self.norm(self.first(x)))
        y = self.down(skip) + self.middle(self.class_embedding(labels))[:, :, None, None]
        y = F.interpolate(y, scale_factor=2, mode="nearest")
        out: Tensor = self.last(torch.cat([skip, y], 1))
        return out


def in_both_modes(function: Callable[[], object]) -> int:
    """The count, which must not depend on whether gradients are kept."""
    kept = count_macs(function)
    with torch.inference_mode():
        inferred = count_macs(function)
    assert kept == inferred
    assert kept.unknown == ()
    return kept.total


def test_unet_by_hand() -> None:
    net, x, labels = UNet().eval(), torch.randn(2, 3, 16, 16), torch.tensor([1, 2])
    first = 16 * 16 * 3 * 8 * 9
    down = 8 * 8 * 8 * 16 * 9
    middle = 16 * 16
    last = 16 * 16 * 24 * 3
    assert in_both_modes(lambda: net(x, labels)) == 2 * (first + down + middle + last)


def test_transposed_convolution_is_counted_on_its_input_grid() -> None:
    net = nn.Sequential(
        nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.BatchNorm2d(8), nn.ConvTranspose2d(8, 3, 4, 2, 1)
    ).eval()
    x = torch.randn(1, 16, 4, 4)
    by_hand = 4 * 4 * 16 * 8 * 16 + 8 * 8 * 8 * 3 * 16
    assert in_both_modes(lambda: net(x)) == by_hand


def test_grouped_convolution() -> None:
    layer, x = nn.Conv2d(8, 8, 3, groups=8), torch.randn(2, 8, 16, 16)
    assert in_both_modes(lambda: layer(x)) == 2 * 8 * 14 * 14 * 9


def test_strides_dilation_and_oblong_kernels() -> None:
    layer = nn.Conv2d(8, 12, (3, 5), stride=(2, 3), dilation=2, groups=4, padding=2)
    x = torch.randn(2, 8, 15, 17)
    assert layer(x).shape == (2, 12, 8, 5)
    assert in_both_modes(lambda: layer(x)) == 2 * 8 * 5 * 12 * (8 // 4) * 3 * 5


def test_grouped_transposed_convolution() -> None:
    layer = nn.ConvTranspose2d(8, 12, 3, stride=2, output_padding=1, groups=4, dilation=2)
    x = torch.randn(2, 8, 5, 6)
    assert in_both_modes(lambda: layer(x)) == 2 * 5 * 6 * 8 * (12 // 4) * 9


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_linear_over_tokens_in_any_precision(dtype: torch.dtype) -> None:
    layer, x = nn.Linear(8, 4, dtype=dtype), torch.randn(3, 5, 8, dtype=dtype)
    assert in_both_modes(lambda: layer(x)) == 3 * 5 * 8 * 4


@pytest.mark.parametrize("weights", [True, False])
def test_attention_without_its_fused_path(weights: bool) -> None:
    layer, x = nn.MultiheadAttention(16, 4, batch_first=True).eval(), torch.randn(2, 5, 16)
    projections = 2 * 5 * 16 * (3 * 16 + 16)
    products = 2 * 2 * 5 * 5 * 16  # queries with keys, weights with values, over all heads
    counted = in_both_modes(lambda: layer(x, x, x, need_weights=weights))
    assert counted == projections + products
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_transformer_layer_without_its_fused_path() -> None:
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True).eval()
    x = torch.randn(2, 5, 16)
    linear = 2 * 5 * 16 * (3 * 16 + 16 + 2 * 32)
    assert in_both_modes(lambda: layer(x)) == linear + 2 * 2 * 5 * 5 * 16


@pytest.mark.parametrize("heads", [4, 2])
def test_functional_attention_and_its_backward(heads: int) -> None:
    q = torch.randn(2, 4, 5, 8, requires_grad=True)
    k, v = torch.randn(2, heads, 7, 8), torch.randn(2, heads, 7, 8)

    def attend() -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=heads < 4)

    product = 2 * 4 * 5 * 7 * 8
    assert in_both_modes(attend) == 2 * product
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        assert in_both_modes(attend) == 2 * product
    # Backwards, the weights are made again, and each of two products has two gradients.
    assert count_macs(lambda: torch.autograd.backward(attend().sum())).total == (2 + 5) * product


def test_backward_of_a_layer_is_two_forwards() -> None:
    layer, x = nn.Conv2d(4, 8, 3, padding=1), torch.randn(2, 4, 6, 6, requires_grad=True)
    forward = 2 * 6 * 6 * 4 * 8 * 9
    assert count_macs(lambda: layer(x).sum().backward()).total == 3 * forward


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic", "area"])
@pytest.mark.parametrize("inference", [True, False])
def test_known_to_have_none(mode: str, inference: bool) -> None:
    x = torch.randn(2, 8, 8, 8)
    net = nn.Sequential(
        nn.LayerNorm(16), nn.InstanceNorm2d(8), nn.PReLU(), nn.ReflectionPad2d(1),
        nn.AvgPool2d(2), nn.LeakyReLU(0.2, inplace=True), nn.PixelShuffle(2), nn.Softmax(1),
    ).eval()  # fmt: skip

    def sampler() -> None:
        y = net(F.interpolate(x, scale_factor=2, mode=mode)) * torch.linspace(1, 0, 3)[0].cos()
        y = torch.where(y > 0, y, torch.randn_like(y)).clamp_(0, 1).std((1, 2, 3)).sort()[0]
        y[torch.randperm(2)].quantile(0.5).item()

    with torch.inference_mode(inference):
        counted = count_macs(sampler)
    assert (counted.total, counted.unknown) == (0, ())


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda: nn.LSTM(8, 8).eval()(torch.randn(3, 2, 8)), "mkldnn_rnn_layer"),
        (lambda: torch.fft.rfft2(torch.randn(1, 8, 8)), "_fft_r2c"),
        (lambda: torch.randn(3, 4).mv(torch.randn(4)), "mv"),
        (lambda: F.bilinear(*(torch.ones(2, 3),) * 2, torch.ones(5, 3, 3)), "_trilinear"),
    ],
)
def test_what_the_counter_misses_is_named(function: Callable[[], object], name: str) -> None:
    assert f"aten.{name}" in count_macs(function).unknown


def test_a_strangers_operation_is_named_whatever_its_tags() -> None:
    library: Any = torch.library.Library("kdbench_test", "FRAGMENT")  # type: ignore[no-untyped-call]
    library.define("product(Tensor x) -> Tensor", tags=(torch.Tag.pointwise,))
    library.impl("product", lambda x: x @ x, "CompositeExplicitAutograd")
    counted = count_macs(lambda: torch.ops.kdbench_test.product(torch.eye(3)))
    assert counted.unknown == ("kdbench_test.product",)
