"""Which points lie in whose balls, against brute force, and on sets that confuse rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import neighbours as module
from kdbench.metrics.neighbours import Neighbours, neighbours, radii

Four = tuple[float, float, float, float]


def draw(n: int, d: int, *, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def four(found: Neighbours) -> Four:
    return found.precision, found.recall, found.density, found.coverage


def measured(x: Tensor, y: Tensor, *, k: int = 5, strict: bool = True) -> Four:
    return four(neighbours(x, y, ks=(k,), strict=strict)[k])


def brute_force(x: Tensor, y: Tensor, k: int, *, strict: bool = True) -> Four:
    """The definitions, one pair at a time: `x` generated, `y` real."""

    def squared(a: Tensor, b: Tensor) -> float:
        return float((a.double() - b.double()).square().sum())

    def ball(points: Tensor, i: int) -> float:
        return sorted(squared(points[i], points[j]) for j in range(len(points)) if j != i)[k - 1]

    def inside(distance: float, radius: float) -> bool:
        return distance < radius if strict else distance <= radius

    n = len(x)
    of_real, of_fake = ([ball(points, i) for i in range(n)] for points in (y, x))
    distances = [[squared(x[j], y[i]) for j in range(n)] for i in range(n)]
    real = np.array([[inside(distances[i][j], of_real[i]) for j in range(n)] for i in range(n)])
    fake = np.array([[inside(distances[i][j], of_fake[j]) for j in range(n)] for i in range(n)])
    return (
        float(real.any(0).mean()),
        float(fake.any(1).mean()),
        1 / k * (real.sum() / n),
        float(real.any(1).mean()),
    )


def lattice(n: int, d: int, *, seed: int) -> Tensor:
    """Small whole numbers: copies, and many points on the rim of many balls."""
    return torch.randint(3, (n, d), generator=torch.Generator().manual_seed(seed)).float()


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(("k", "shift"), [(1, 0.5), (3, 0.0), (5, 1.5)])
def test_equals_brute_force(k: int, shift: float, strict: bool) -> None:
    x, y = draw(30, 4, seed=1) * 0.8 + shift, draw(30, 4, seed=2)
    assert measured(x, y, k=k, strict=strict) == brute_force(x, y, k, strict=strict)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("k", [1, 4])
def test_equals_brute_force_on_the_rim(k: int, strict: bool) -> None:
    x, y = lattice(40, 3, seed=1), lattice(40, 3, seed=2)
    assert measured(x, y, k=k, strict=strict) == brute_force(x, y, k, strict=strict)
    assert measured(x, y, k=k, strict=True) != measured(x, y, k=k, strict=False)


@pytest.mark.parametrize("scale", [1e-25, 1e-6, 1e25])
def test_equals_brute_force_at_any_scale(scale: float) -> None:
    x, y = draw(25, 5, seed=1) * scale, draw(25, 5, seed=2) * scale
    assert measured(x, y) == brute_force(x, y, 5)


def test_sets_that_float32_cannot_tell_apart_are_settled_in_float64() -> None:
    near = 3e4 + 0.01 * draw(25, 5, seed=1)
    x, y = torch.cat([near, draw(25, 5, seed=2)]), torch.cat([near.flip(0), draw(25, 5, seed=3)])
    assert measured(x, y, k=3) == brute_force(x, y, 3)


def test_strict_inequality_leaves_points_on_the_rim_outside() -> None:
    real = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    on_the_rim = torch.tensor([[-1.0], [4.0], [-1.0], [4.0]])
    assert neighbours(on_the_rim, real, ks=(1,))[1].precision == 0
    assert neighbours(on_the_rim, real, ks=(1,), strict=False)[1].precision == 1


def test_several_ks_are_those_of_each_alone() -> None:
    x, y = draw(90, 6, seed=1), draw(90, 6, seed=2)
    together = neighbours(x, y, ks=(3, 5))
    assert [four(together[k]) for k in (3, 5)] == [measured(x, y, k=k) for k in (3, 5)]
    assert {k: found.k for k, found in together.items()} == {3: 3, 5: 5}


def test_known_radii_change_nothing() -> None:
    x, y = draw(60, 6, seed=1), draw(60, 6, seed=2)
    known = neighbours(x, y, ks=(3, 5), radii_x=radii(x, (3, 5)), radii_y=radii(y, (3, 5)))
    assert four(known[5]) == measured(x, y)


def test_block_size_and_digits_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = draw(200, 16, seed=1), draw(200, 16, seed=2)
    whole = four(neighbours(x, y)[5])
    assert four(neighbours(x, y, block=17)[5]) == whole
    with torch.autocast("cpu", torch.bfloat16):
        assert four(neighbours(x, y)[5]) == whole
    monkeypatch.setattr(module, "precision_for", lambda *clouds: torch.float64)
    assert four(neighbours(x, y)[5]) == whole


def test_a_common_offset_does_not_matter() -> None:
    x, y = draw(200, 16, seed=1).double(), draw(200, 16, seed=2).double()
    assert measured(x + 1e7, y + 1e7) == measured(x, y)


def test_few_pairs_are_computed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = []
    genuine = module.squared_distances

    def counted(x: Tensor, y: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        pairs.append(len(rows))
        return genuine(x, y, rows, columns)

    monkeypatch.setattr(module, "squared_distances", counted)
    neighbours(draw(500, 64, seed=1), draw(500, 64, seed=2))
    assert sum(pairs) < 0.01 * 500 * 500


def test_equal_distributions_have_their_known_values() -> None:
    """Naeem et al. 2020: density 1, coverage 1 - (n-1)…(n-k) / (2n-1)…(2n-k)."""
    n, k = 1000, 5
    found = [neighbours(draw(n, 3, seed=2 * i), draw(n, 3, seed=2 * i + 1))[k] for i in range(5)]
    steps = range(1, k + 1)
    expected = 1 - np.prod([n - i for i in steps]) / np.prod([2.0 * n - i for i in steps])
    assert np.mean([f.density for f in found]) == pytest.approx(1, abs=0.05)
    assert np.mean([f.coverage for f in found]) == pytest.approx(expected, abs=0.01)


def test_a_set_against_itself_is_perfect() -> None:
    x = draw(150, 16, seed=1)
    assert measured(x, x) == (1.0, 1.0, 1.0, 1.0)


def test_a_collapsed_generator_recalls_nothing() -> None:
    real = draw(500, 64, seed=1)
    copies = real[:1].repeat(500, 1)
    precision, recall, _, coverage = measured(copies, real)
    assert (precision, recall) == (1.0, 0.0)
    assert coverage < 0.05
    assert measured(copies, copies) == (0.0, 0.0, 0.0, 0.0)


def test_copies_of_real_images_have_balls_of_no_size() -> None:
    real = draw(503, 67, seed=1) * torch.linspace(0.1, 3, 67)
    copies = real[:37].repeat(14, 1)[:503]
    precision, recall, *_ = measured(copies, real)
    assert (precision, recall) == (1.0, 0.0)


def test_precision_is_of_the_generated_and_recall_of_the_real() -> None:
    narrow, wide = draw(300, 4, seed=1) * 0.2, draw(300, 4, seed=2)
    assert measured(narrow, wide)[0] > 0.95
    assert measured(narrow, wide)[1] < 0.3
    assert measured(wide, narrow)[0] == measured(narrow, wide)[1]


def test_shrinkage_costs_recall_and_dropped_modes_cost_coverage() -> None:
    centres = 6 * draw(10, 8, seed=0)
    real = centres.repeat(60, 1) + draw(600, 8, seed=1)
    shrunk = centres.repeat(60, 1) + 0.7 * draw(600, 8, seed=2)
    dropped = centres[:8].repeat(75, 1) + draw(600, 8, seed=2)
    fair = measured(centres.repeat(60, 1) + draw(600, 8, seed=2), real)
    _, recall, density, _ = measured(shrunk, real)
    assert recall < fair[1] - 0.1
    assert density > fair[2] + 0.1
    assert measured(dropped, real)[3] == pytest.approx(0.8 * fair[3], abs=0.03)


@pytest.mark.parametrize(("n", "m"), [(30, 31), (5, 5)])
def test_unequal_or_tiny_sets_are_refused(n: int, m: int) -> None:
    with pytest.raises(NothingMeasured, match=f"{n} generated and {m} reference"):
        neighbours(draw(n, 3, seed=1), draw(m, 3, seed=2))
