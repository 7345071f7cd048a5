"""The Fréchet distance from features, against three ways to the trace of a matrix root."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from material import features
from scipy.linalg import sqrtm

from kdbench.metrics.frechet import frechet_distance

Moments = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def moments(x: torch.Tensor) -> Moments:
    return x.numpy().mean(0, dtype=np.float64), np.cov(x.numpy(), rowvar=False)


def distance(first: Moments, second: Moments, trace: float) -> float:
    shift = first[0] - second[0]
    return float(shift @ shift + np.trace(first[1]) + np.trace(second[1]) - 2 * trace)


def with_sqrtm(x: torch.Tensor, y: torch.Tensor) -> float:
    """As in pytorch-fid and clean-fid."""
    first, second = moments(x), moments(y)
    return distance(first, second, float(np.trace(sqrtm(first[1] @ second[1]).real)))


def with_numpy_eigenvalues(x: torch.Tensor, y: torch.Tensor) -> float:
    fid = pytest.importorskip("torch_fidelity.metric_fid")
    statistics = [fid.fid_features_to_statistics(part) for part in (x, y)]
    found = fid.fid_statistics_to_metric(*statistics, verbose=False)
    return float(found["frechet_inception_distance"])


def with_torch_eigenvalues(x: torch.Tensor, y: torch.Tensor) -> float:
    """As in torchmetrics."""
    first, second = moments(x), moments(y)
    product = torch.from_numpy(first[1]) @ torch.from_numpy(second[1])
    return distance(first, second, float(torch.linalg.eigvals(product).sqrt().real.sum()))


@pytest.mark.parametrize(("n", "goal"), [(10_000, 3.0), (1_000, 8.0)])
def test_frechet_distance(race: Any, n: int, goal: float) -> None:
    x, y = features(n, seed=1), features(n, seed=2)
    own, peer = frechet_distance(x, y), with_numpy_eigenvalues(x, y)
    assert own == pytest.approx(peer, rel=1e-3)  # peers lose digits where n < d
    race(
        lambda: frechet_distance(x, y),
        peers={
            "scipy sqrtm": lambda: with_sqrtm(x, y),
            "torch-fidelity": lambda: with_numpy_eigenvalues(x, y),
            "torch.linalg.eigvals (torchmetrics)": lambda: with_torch_eigenvalues(x, y),
        },
        what=f"Fréchet distance, {n:,} × 2,048 against as many",
        goal=goal,
        note="moments of both sets included",
    )
