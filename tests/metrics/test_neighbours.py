"""Precision, recall, density and coverage against brute force, and on known failures."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import neighbours as module
from kdbench.metrics.base import ImageSet
from kdbench.metrics.neighbours import coverage, density, neighbours, precision, recall


def draw(n: int, d: int, *, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def value(metric: Any, x: ImageSet, y: ImageSet) -> float:
    found: float = metric(x, y).value
    return found


def brute_force(x: Tensor, y: Tensor, k: int) -> tuple[float, float, float, float]:
    """The definitions, one pair at a time: `x` generated, `y` real."""

    def distance(a: Tensor, b: Tensor) -> float:
        return float((a - b).square().sum().sqrt())

    def ball(points: Tensor, i: int) -> float:
        return sorted(distance(points[i], points[j]) for j in range(len(points)) if j != i)[k - 1]

    n = len(x)
    in_real = np.array([[distance(x[j], y[i]) < ball(y, i) for j in range(n)] for i in range(n)])
    in_fake = np.array([[distance(x[j], y[i]) < ball(x, j) for j in range(n)] for i in range(n)])
    return (
        in_real.any(0).mean(),
        in_fake.any(1).mean(),
        in_real.sum() / (k * n),
        in_real.any(1).mean(),
    )


@pytest.mark.parametrize(("k", "shift"), [(1, 0.5), (3, 0.0), (5, 1.5)])
def test_equals_brute_force(k: int, shift: float) -> None:
    x, y = draw(30, 4, seed=1) * 0.8 + shift, draw(30, 4, seed=2)
    assert astuple(neighbours(x, y, k=k)) == pytest.approx(brute_force(x, y, k), abs=1e-12)


def test_strict_inequality_leaves_points_on_the_rim_outside() -> None:
    real = torch.tensor([[0.0], [1.0], [2.0], [3.0]], dtype=torch.float64)
    on_the_rim = torch.tensor([[-1.0], [4.0], [-1.0], [4.0]], dtype=torch.float64)
    assert neighbours(on_the_rim, real, k=1).precision == 0


def test_block_size_does_not_matter() -> None:
    x, y = draw(200, 16, seed=1), draw(200, 16, seed=2)
    assert neighbours(x, y, block=17) == neighbours(x, y, block=1000)


def test_a_common_offset_does_not_matter() -> None:
    x, y = draw(200, 16, seed=1), draw(200, 16, seed=2)
    assert neighbours(x + 1e7, y + 1e7) == neighbours(x, y)


def test_equal_distributions_have_their_known_values() -> None:
    """Naeem et al. 2020: density 1, coverage 1 - (n-1)…(n-k) / (2n-1)…(2n-k)."""
    n, k = 1000, 5
    found = [neighbours(draw(n, 3, seed=2 * i), draw(n, 3, seed=2 * i + 1), k=k) for i in range(5)]
    steps = range(1, k + 1)
    expected = 1 - np.prod([n - i for i in steps]) / np.prod([2.0 * n - i for i in steps])
    assert np.mean([f.density for f in found]) == pytest.approx(1, abs=0.05)
    assert np.mean([f.coverage for f in found]) == pytest.approx(expected, abs=0.01)


def test_a_set_against_itself_is_perfect() -> None:
    x = draw(150, 16, seed=1)
    assert astuple(neighbours(x, x)) == (1.0, 1.0, 1.0, 1.0)


def test_a_collapsed_generator_recalls_nothing() -> None:
    real = draw(500, 64, seed=1).float().double()
    copies = real[:1].repeat(500, 1)
    collapsed = neighbours(copies, real)
    assert collapsed.recall == 0
    assert collapsed.precision == 1
    assert collapsed.coverage < 0.05
    assert astuple(neighbours(copies, copies)) == (0.0, 0.0, 0.0, 0.0)


def test_copies_of_real_images_have_balls_of_no_size() -> None:
    real = draw(503, 67, seed=1) * torch.linspace(0.1, 3, 67)
    copies = real[:37].repeat(14, 1)[:503]
    found = neighbours(copies, real)
    assert found.recall == 0
    assert found.precision == 1


def test_shrinkage_costs_recall_and_dropped_modes_cost_coverage() -> None:
    centres = 6 * draw(10, 8, seed=0)
    real = centres.repeat(60, 1) + draw(600, 8, seed=1)
    shrunk = centres.repeat(60, 1) + 0.7 * draw(600, 8, seed=2)
    dropped = centres[:8].repeat(75, 1) + draw(600, 8, seed=2)
    fair = neighbours(centres.repeat(60, 1) + draw(600, 8, seed=2), real)
    assert neighbours(shrunk, real).recall < fair.recall - 0.1
    assert neighbours(shrunk, real).density > fair.density + 0.1
    assert neighbours(dropped, real).coverage == pytest.approx(0.8 * fair.coverage, abs=0.03)


def test_the_four_metrics_share_one_pass(image_set: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(x: Tensor, y: Tensor) -> module.Neighbours:
        calls.append(len(x))
        return neighbours(x, y)

    monkeypatch.setattr(module, "neighbours", counted)
    x, y = image_set(torch.rand(40, 3)), image_set(torch.rand(40, 3))
    values = tuple(value(m, x, y) for m in (precision, recall, density, coverage))
    assert calls == [40]
    assert values == astuple(neighbours(x.features.double(), y.features.double()))
    precision(image_set(x.features), y)
    assert calls == [40, 40]


def test_precision_is_of_the_generated_and_recall_of_the_real(image_set: Any) -> None:
    narrow, wide = image_set(draw(300, 4, seed=1) * 0.2), image_set(draw(300, 4, seed=2))
    assert value(precision, narrow, wide) > 0.95
    assert value(recall, narrow, wide) < 0.3
    assert value(precision, wide, narrow) == value(recall, narrow, wide)


@pytest.mark.parametrize(("n", "m"), [(30, 31), (5, 5)])
def test_unequal_or_tiny_sets_are_refused(n: int, m: int) -> None:
    with pytest.raises(NothingMeasured, match=f"{n} generated and {m} reference"):
        neighbours(draw(n, 3, seed=1), draw(m, 3, seed=2))
