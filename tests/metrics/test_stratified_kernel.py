"""The stratified kernel distance against a slow loop, and its expectation by simulation."""

from __future__ import annotations

import itertools

import pytest
import torch

from kdbench.errors import NothingMeasured
from kdbench.metrics.kernel import kernel_distance
from kdbench.metrics.stratified_kernel import stratified_distance


def kernel(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a @ b / len(a) + 1) ** 3)


def test_equals_a_loop_over_all_pairs() -> None:
    torch.manual_seed(0)
    x, y = torch.randn((9, 3)).double(), torch.randn((7, 3)).double()
    xl, yl = torch.tensor([0, 1, 2] * 3), torch.tensor([0, 0, 1, 1, 1, 2, 2])
    total = 0.0
    for a, b in itertools.product(range(3), repeat=2):
        for points, labels in ((x, xl), (y, yl)):
            left = [i for i in range(len(points)) if labels[i] == a]
            right = [i for i in range(len(points)) if labels[i] == b]
            pairs = [(i, j) for i in left for j in right if i != j]
            total += sum(kernel(points[i], points[j]) for i, j in pairs) / len(pairs) / 9
        pairs = [(i, j) for i in range(9) for j in range(7) if xl[i] == a and yl[j] == b]
        total -= 2 * sum(kernel(x[i], y[j]) for i, j in pairs) / len(pairs) / 9
    assert stratified_distance(x, xl, y, yl)[0] == pytest.approx(total, rel=1e-12)


def test_one_class_is_the_plain_distance() -> None:
    torch.manual_seed(0)
    x, y = torch.randn((40, 5)).double(), 1 + torch.randn((30, 5)).double()
    zeros = torch.zeros(40, dtype=torch.int64)
    found = stratified_distance(x, zeros, y, zeros[:30])
    assert found == pytest.approx(kernel_distance(x, y))


def test_unbiased_for_fixed_class_counts_where_the_plain_one_is_not() -> None:
    torch.manual_seed(0)
    centres = 2 * torch.randn((10, 4)).double()
    labels = torch.arange(40) % 10
    stratified, plain, errors = [], [], []
    for _ in range(400):
        x, y = (centres[labels] + 0.3 * torch.randn((40, 4)).double() for _ in range(2))
        value, error = stratified_distance(x, labels, y, labels)
        stratified.append(value)
        errors.append(error)
        plain.append(kernel_distance(x, y)[0])
    values = torch.tensor(stratified)
    standard_error = float(values.std()) / 20
    assert abs(float(values.mean())) < 4 * standard_error
    assert sum(plain) / 400 < -50 * standard_error


def test_standard_error_is_the_spread_over_draws() -> None:
    torch.manual_seed(0)
    centres = 2 * torch.randn((5, 4)).double()
    labels = torch.arange(100) % 5
    draws = [
        stratified_distance(
            centres[labels] + 0.5 * torch.randn((100, 4)).double() + 0.4,
            labels,
            centres[labels] + 0.5 * torch.randn((100, 4)).double(),
            labels,
        )
        for _ in range(200)
    ]
    spread = float(torch.tensor([value for value, _ in draws]).std())
    stated = sum(error for _, error in draws) / 200
    assert stated == pytest.approx(spread, rel=0.2)


def test_a_class_that_is_missing_is_refused() -> None:
    x = torch.randn((4, 2)).double()
    with pytest.raises(NothingMeasured, match="fewer than 2 images"):
        stratified_distance(x, torch.tensor([0, 0, 1, 1]), x, torch.tensor([0, 0, 0, 1]))
