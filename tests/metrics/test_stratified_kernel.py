"""The stratified kernel distance against a slow loop, and its expectation by simulation."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import kernel as kernel_module
from kdbench.metrics.kernel import kernel_distance
from kdbench.metrics.stratified_kernel import stratified_among, stratified_distance


def kernel(a: Tensor, b: Tensor) -> float:
    return float((a @ b / len(a) + 1) ** 3)


def slow(x: Tensor, xl: Tensor, y: Tensor, yl: Tensor, *, paired: bool = False) -> float:
    """Every pair of classes apart, every pair of images by itself."""
    classes = xl.unique().tolist()

    def mean(p: Tensor, pl: Tensor, q: Tensor, ql: Tensor, a: int, b: int, apart: bool) -> float:
        rows, columns = ((labels == c).nonzero()[:, 0].tolist() for labels, c in ((pl, a), (ql, b)))
        pairs = [(i, j) for i in rows for j in columns if not (apart and i == j)]
        return sum(kernel(p[i], q[j]) for i, j in pairs) / len(pairs)

    total = 0.0
    for a, b in itertools.product(classes, repeat=2):
        total += mean(x, xl, x, xl, a, b, True) + mean(y, yl, y, yl, a, b, True)
        total -= 2 * mean(x, xl, y, yl, a, b, paired)
    return total / len(classes) ** 2


@pytest.fixture
def in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_module, "float32_is_whole", lambda: False)


@pytest.mark.usefixtures("in_float64")
def test_equals_a_loop_over_all_pairs() -> None:
    x, y = torch.randn(9, 3).double(), torch.randn(7, 3).double()
    xl, yl = torch.tensor([0, 5, 2] * 3), torch.tensor([0, 0, 5, 5, 5, 2, 2])
    value, _ = stratified_distance(x, xl, y, yl)
    assert value == pytest.approx(slow(x, xl, y, yl), rel=1e-12)
    among_x, among_y = stratified_among(x, xl), stratified_among(y, yl)
    assert stratified_distance(x, xl, y, yl, among_x=among_x, among_y=among_y)[0] == value


@pytest.mark.usefixtures("in_float64")
def test_paired_equals_a_loop_that_leaves_pairs_of_one_latent_out() -> None:
    x, y = torch.randn(9, 3).double(), torch.randn(9, 3).double()
    labels = torch.tensor([0, 0, 1, 1, 1, 2, 2, 2, 2])
    value, _ = stratified_distance(x, labels, y, labels, paired=True)
    assert value == pytest.approx(slow(x, labels, y, labels, paired=True), rel=1e-12)


def test_float32_products_hardly_move_it(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = torch.arange(600) % 12
    x, y = torch.randn(600, 100).relu() + 0.02, torch.randn(600, 100).relu()
    value, error = stratified_distance(x, labels, y, labels)
    monkeypatch.setattr(kernel_module, "float32_is_whole", lambda: False)
    exact, exact_error = stratified_distance(x, labels, y, labels)
    assert value == pytest.approx(exact, abs=1e-4 * exact_error)
    assert error == pytest.approx(exact_error, rel=1e-4)


@pytest.mark.parametrize("paired", [False, True])
def test_one_class_is_the_plain_distance(paired: bool) -> None:
    x, y = torch.randn(40, 5).double(), 1 + torch.randn(40, 5).double()
    zeros = torch.zeros(40, dtype=torch.int64)
    plain = kernel_distance(x, y, paired=paired)
    found = stratified_distance(x, zeros, y, zeros, paired=paired)
    assert found == pytest.approx((plain.value, plain.standard_error), rel=1e-9)


def test_the_order_of_images_does_not_matter() -> None:
    labels, turn = torch.arange(60) % 4, torch.randperm(60)
    x, y = torch.randn(60, 5), torch.randn(60, 5)
    first = stratified_distance(x, labels, y, labels)
    again = stratified_distance(x[turn], labels[turn], y, labels)
    assert again == pytest.approx(first, rel=1e-5)


def test_unbiased_for_fixed_class_counts_where_the_plain_one_is_not() -> None:
    centres, labels = 2 * torch.randn(10, 4), torch.arange(40) % 10
    stratified, plain = [], []
    for _ in range(400):
        x, y = (centres[labels] + 0.3 * torch.randn(40, 4) for _ in range(2))
        stratified.append(stratified_distance(x, labels, y, labels)[0])
        plain.append(kernel_distance(x, y).value)
    values = torch.tensor(stratified, dtype=torch.float64)
    standard_error = float(values.std()) / 20
    assert abs(float(values.mean())) < 4 * standard_error
    assert sum(plain) / 400 < -50 * standard_error


@pytest.mark.parametrize("paired", [False, True])
def test_standard_error_is_the_spread_over_draws(paired: bool) -> None:
    centres, labels = 2 * torch.randn(5, 4), torch.arange(100) % 5
    draws = []
    for _ in range(1000):
        y = centres[labels] + 0.5 * torch.randn(100, 4)
        x = y if paired else centres[labels] + 0.5 * torch.randn(100, 4)
        x = x + 0.3 * torch.randn(100, 4) + 0.4
        draws.append(stratified_distance(x, labels, y, labels, paired=paired))
    spread = float(torch.tensor([value for value, _ in draws]).std())
    stated = sum(error for _, error in draws[:50]) / 50
    assert stated == pytest.approx(spread, rel=0.1)


@pytest.mark.parametrize("bad", [[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 2, 2]])
def test_a_class_that_is_missing_is_refused(bad: list[int]) -> None:
    x, good = torch.randn(4, 2), torch.tensor([0, 0, 1, 1])
    for labels in ((good, torch.tensor(bad)), (torch.tensor(bad), good)):
        with pytest.raises(NothingMeasured, match="fewer than 2 images"):
            stratified_distance(x, labels[0], x, labels[1])
