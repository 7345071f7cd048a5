"""Products at full width against float64, and what takes their digits away."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kdbench.metrics import products as module
from kdbench.metrics.products import float32_is_whole, laid_out, products


def without_onednn(rows: Tensor) -> Tensor:
    return rows


@pytest.mark.parametrize(("n", "m", "d"), [(1, 1, 1), (3, 1, 7), (70, 33, 100), (5, 9, 2049)])
def test_equal_float64_within_rounding(n: int, m: int, d: int) -> None:
    x, y = torch.randn(n, d), torch.randn(m, d)
    exact = x.double() @ y.double().T
    error = (products(laid_out(x), laid_out(y)) - exact).abs()
    assert float(error.max()) <= d * 2**-24 * float(x.norm(dim=1).max() * y.norm(dim=1).max())
    assert torch.equal(products(laid_out(x.double()), laid_out(y.double())), exact)


def test_float32_is_whole_by_default() -> None:
    assert float32_is_whole()


def test_autocast_takes_digits_of_ordinary_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "laid_out", without_onednn)
    assert float32_is_whole()
    with torch.autocast("cpu", torch.bfloat16):
        assert not float32_is_whole()


@pytest.mark.parametrize("kept", [16, 8, 4])
def test_fewer_bits_than_24_are_noticed(monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    """Products of 10 bits (TF32), 7 (bfloat16) or 23 of them: whatever is rounded away shows."""

    def rough(x: Tensor, y: Tensor) -> Tensor:
        whole = x.to_dense() @ y.to_dense().T
        bits = whole.view(torch.int32)
        return (bits >> kept << kept).view(torch.float32)

    monkeypatch.setattr(module, "products", rough)
    assert not float32_is_whole()
