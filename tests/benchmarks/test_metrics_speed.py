"""Speed of the set metrics as a ratio to a named peer, both timed in turn in one run.

The ratio is reported in `extra_info`; nothing is asserted of a time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from sklearn.metrics import pairwise_distances
from torch import Tensor

from kdbench.metrics.frechet import frechet_distance
from kdbench.metrics.neighbours import K, neighbours

ROUNDS = 5


def features(n: int, d: int, *, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64).relu()


def with_sqrtm(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> float:
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    shift = x.mean(0) - y.mean(0)
    return float(shift @ shift + np.trace(s1 + s2 - 2 * sqrtm(s1 @ s2).real))


def with_whole_matrices(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> list[float]:
    """The four values from three full distance matrices, as the package `prdc` has them."""
    near_y, near_x = (np.sort(pairwise_distances(z), axis=1)[:, K] for z in (y, x))
    across = pairwise_distances(y, x)
    inside = across < near_y[:, None]
    recalled = (across < near_x).any(1)
    return [inside.any(0).mean(), recalled.mean(), inside.sum(0).mean() / K, inside.any(1).mean()]


def against(benchmark: Any, own: Callable[[], object], peer: Callable[[], object]) -> None:
    """Time `own` with the benchmark, and `peer` right after each round of it."""
    times: list[float] = []

    def in_turn() -> tuple[tuple[()], dict[str, object]]:
        start = time.perf_counter()
        peer()
        times.append(time.perf_counter() - start)
        return (), {}

    benchmark.pedantic(own, setup=in_turn, rounds=ROUNDS, iterations=1)
    peer_s = statistics.median(times)
    benchmark.extra_info["peer_s"] = peer_s
    benchmark.extra_info["peer_over_own"] = peer_s / benchmark.stats.stats.median


@pytest.mark.benchmark(group="frechet")
@pytest.mark.parametrize(("n", "d"), [(2000, 512), (300, 512)])
def test_frechet_against_scipy_sqrtm(benchmark: Any, n: int, d: int) -> None:
    x, y = features(n, d, seed=1), features(n, d, seed=2)
    own, peer = frechet_distance(x, y), with_sqrtm(x.numpy(), y.numpy())
    assert own == pytest.approx(peer, rel=1e-4)  # sqrtm itself loses digits where n < d
    against(benchmark, lambda: frechet_distance(x, y), lambda: with_sqrtm(x.numpy(), y.numpy()))


@pytest.mark.benchmark(group="neighbours")
def test_neighbours_against_whole_matrices(benchmark: Any) -> None:
    x, y = features(2000, 256, seed=1), features(2000, 256, seed=2)
    own, peer = neighbours(x, y), with_whole_matrices(x.numpy(), y.numpy())
    found = [own.precision, own.recall, own.density, own.coverage]
    assert found == pytest.approx(peer, abs=1e-12)
    against(
        benchmark,
        lambda: neighbours(x, y),
        lambda: with_whole_matrices(x.numpy(), y.numpy()),
    )
