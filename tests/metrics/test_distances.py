"""Nearest rows and the bounds that find them, against all distances in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import distances as module
from kdbench.metrics.distances import (
    SPARE,
    Cloud,
    copies,
    lower_bounds,
    mean_row,
    nearest,
    precision_for,
    squared_distances,
)


def draw(n: int, d: int, *, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def all_squared(x: Tensor, y: Tensor) -> Tensor:
    """(N, M), float64, one row at a time."""
    return torch.stack([(a - y.double()).square().sum(1) for a in x.double()])


def brute_force(x: Tensor, y: Tensor, k: int, *, exclude_self: bool) -> tuple[Tensor, Tensor]:
    distances = all_squared(x, y)
    if exclude_self:
        distances.fill_diagonal_(torch.inf)
    order = distances.argsort(dim=1, stable=True)[:, :k]
    return distances.gather(1, order), order


def lattice(n: int, d: int, *, seed: int, values: int = 3) -> Tensor:
    """Small whole numbers: many rows equally distant, and copies."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(values, (n, d), generator=draw).float()


AWKWARD = {
    "plain": draw(120, 9, seed=1),
    "one feature": draw(120, 1, seed=2),
    "ties and copies": lattice(150, 3, seed=3),
    "many ties": lattice(150, 12, seed=4, values=2),
    "one point": draw(1, 6, seed=5).repeat(60, 1),
    "few points, copied": draw(4, 6, seed=6).repeat(20, 1),
    "far from the origin": draw(120, 7, seed=7) + 1e5,
    "two far groups of near points": torch.cat([draw(60, 5, seed=8), draw(60, 5, seed=9) + 3e4]),
    "all but alike": 1 + 1e-6 * draw(100, 8, seed=10),
    "huge": 1e25 * draw(80, 5, seed=11),
    "tiny": 1e-25 * draw(80, 5, seed=12),
    "of all sizes": draw(120, 6, seed=13) * torch.logspace(-6, 6, 120)[:, None],
    "double": draw(100, 5, seed=14).double() + 1e-12 * draw(100, 5, seed=15).double(),
}


EXACT = ("ties and copies", "many ties", "one point", "few points, copied")
"""Sets of which many rows are equally distant to the last bit: the order is the rows' own."""


@pytest.mark.parametrize("exclude_self", [False, True])
@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("name", AWKWARD)
def test_equals_all_distances_sorted(name: str, k: int, exclude_self: bool) -> None:
    y = AWKWARD[name]
    x = y if exclude_self else y[::2] * 2
    distances, indices = nearest(x, y, k=k, exclude_self=exclude_self, block=32)
    expected, order = brute_force(x, y, k, exclude_self=exclude_self)
    torch.testing.assert_close(distances, expected, rtol=1e-13, atol=0)
    own = squared_distances(x, y, torch.arange(len(x)).repeat_interleave(k), indices.flatten())
    assert torch.equal(own, distances.flatten())
    if name in EXACT:
        assert torch.equal(indices, order)


def test_all_others_can_be_asked_for() -> None:
    x = draw(30, 4, seed=1)
    distances, indices = nearest(x, x, k=29, exclude_self=True, block=7)
    expected, order = brute_force(x, x, 29, exclude_self=True)
    assert torch.equal(indices, order)
    torch.testing.assert_close(distances, expected, rtol=1e-13, atol=0)
    with pytest.raises(NothingMeasured, match="30 nearest"):
        nearest(x, x, k=30, exclude_self=True)


def test_a_set_that_is_compared_with_itself_is_one_set() -> None:
    with pytest.raises(ValueError, match="itself"):
        nearest(draw(9, 2, seed=1), draw(9, 2, seed=2), exclude_self=True)


def test_results_do_not_depend_on_blocks_or_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = draw(300, 40, seed=1), draw(500, 40, seed=2)
    first = nearest(x, y, k=4)
    for block in (17, 128, 500):
        again = nearest(x, y, k=4, block=block)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    monkeypatch.setattr(module, "float32_is_whole", lambda: False)
    assert all(torch.equal(a, b) for a, b in zip(first, nearest(x, y, k=4), strict=True))


def test_autocast_changes_nothing() -> None:
    x = draw(200, 30, seed=1)
    first = nearest(x, x, k=3, exclude_self=True)
    with torch.autocast("cpu", torch.bfloat16):
        again = nearest(x, x, k=3, exclude_self=True)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_more_near_ties_than_candidates_are_settled_in_float64(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settled = []
    genuine = module._among_all

    def counted(x: Cloud, y: Cloud, rows: Tensor, k: int, block: int) -> tuple[Tensor, Tensor]:
        settled.append(len(rows))
        return genuine(x, y, rows, k, block)

    monkeypatch.setattr(module, "_among_all", counted)
    ring = torch.randn(4 * SPARE, 3)
    ring = 100 * ring / ring.norm(dim=1, keepdim=True)  # as far from 0 as float32 can tell
    _, indices = nearest(torch.zeros(1, 3), ring)
    assert settled == [1]
    assert int(indices) == int(all_squared(torch.zeros(1, 3), ring).argmin())


@pytest.mark.parametrize("d", [1, 5, 64, 700, 3000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bounds_hold(d: int, dtype: torch.dtype) -> None:
    """L ≤ |a - b|² ≤ L + 2 (s_a + s_b), for points of one sign, of all sizes, and near a point."""
    sets = (
        draw(60, d, seed=1),
        draw(60, d, seed=2).abs() + 10,
        draw(60, d, seed=3) * torch.logspace(-5, 5, 60)[:, None],
        5 + 1e-7 * draw(60, d, seed=4),
        1e-22 * draw(60, d, seed=5),
        1e15 * draw(60, d, seed=6),
    )
    for points in sets:
        centre = mean_row(points).float()
        cloud = Cloud.of(points, centre)
        low = lower_bounds(cloud, cloud, dtype).double()
        slack = cloud.slack(dtype)
        exact = all_squared(points, points)
        assert (low <= exact).all()
        assert (exact <= low + 2 * (slack[:, None] + slack)).all()


def test_bounds_would_fail_without_slack() -> None:
    points = draw(200, 500, seed=1)
    cloud = Cloud.of(points, mean_row(points).float())
    bare = lower_bounds(cloud, cloud, torch.float32) + cloud.slack(torch.float32)[:, None]
    bare = bare + cloud.slack(torch.float32)
    assert (bare.double() > all_squared(points, points)).any()


def test_float64_serves_where_squares_overflow() -> None:
    small, huge = draw(9, 4, seed=1), 1e19 * draw(9, 4, seed=2)
    centre = torch.zeros(4)
    assert precision_for(Cloud.of(small, centre)) == torch.float32
    assert precision_for(Cloud.of(small, centre), Cloud.of(huge, centre)) == torch.float64


def test_a_distance_has_the_same_bits_wherever_it_is_taken() -> None:
    for d in (1, 3, 31, 255, 2048, 4097, 40_000):
        x, y = draw(6, d, seed=1), draw(6, d, seed=2)
        i, j = torch.cartesian_prod(torch.arange(6), torch.arange(6)).T
        whole = squared_distances(x, y, i, j)
        alone = [squared_distances(x, y, i[p : p + 1], j[p : p + 1]) for p in range(36)]
        assert torch.equal(whole, torch.cat(alone))
        assert torch.equal(whole, squared_distances(y, x, j, i))


def test_copies_adjoin_and_come_in_order() -> None:
    points = torch.tensor([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [0.0, 0.0], [1.0, 2.0]])
    order, first = copies(Cloud.of(points, torch.zeros(2)))
    runs = [order[first == start].tolist() for start in first.unique()]
    assert sorted(runs) == [[0, 2, 4], [1], [3]]


def test_mean_row_is_that_of_float64() -> None:
    points = draw(1000, 6, seed=1) + 1e4
    torch.testing.assert_close(mean_row(points), points.double().mean(0), rtol=1e-14, atol=0)
    assert mean_row(torch.full((5, 1), 3e38)).item() == pytest.approx(3e38, rel=1e-6)
