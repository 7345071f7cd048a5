"""The Fréchet distance from features, against three ways to the trace of a matrix root."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from material import features
from scipy.linalg import sqrtm

from kdbench.metrics.frechet import Gaussian, distance, frechet_distance

Moments = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
Formula = Callable[[Moments, Moments], float]


def moments(x: torch.Tensor) -> Moments:
    return x.numpy().mean(0, dtype=np.float64), np.cov(x.numpy(), rowvar=False)


def closed_form(first: Moments, second: Moments, trace: float) -> float:
    shift = first[0] - second[0]
    return float(shift @ shift + np.trace(first[1]) + np.trace(second[1]) - 2 * trace)


def with_sqrtm(first: Moments, second: Moments) -> float:
    """As in pytorch-fid and clean-fid."""
    return closed_form(first, second, float(np.trace(sqrtm(first[1] @ second[1]).real)))


def with_numpy_eigenvalues(first: Moments, second: Moments) -> float:
    fid = pytest.importorskip("torch_fidelity.metric_fid")
    sets = [{"mu": mu, "sigma": sigma} for mu, sigma in (first, second)]
    found = fid.fid_statistics_to_metric(*sets, verbose=False)
    return float(found["frechet_inception_distance"])


def with_torch_eigenvalues(first: Moments, second: Moments) -> float:
    """As in torchmetrics."""
    product = torch.from_numpy(first[1]) @ torch.from_numpy(second[1])
    return closed_form(first, second, float(torch.linalg.eigvals(product).sqrt().real.sum()))


PEERS: dict[str, Formula] = {
    "scipy sqrtm": with_sqrtm,
    "torch-fidelity": with_numpy_eigenvalues,
    "torch.linalg.eigvals (torchmetrics)": with_torch_eigenvalues,
}


@pytest.mark.parametrize(("n", "goal"), [(10_000, 3.0), (1_000, 8.0)])
def test_frechet_distance(race: Any, n: int, goal: float) -> None:
    x, y = features(n, seed=1), features(n, seed=2)
    own, peer = frechet_distance(x, y), with_numpy_eigenvalues(moments(x), moments(y))
    assert own == pytest.approx(peer, rel=1e-3)  # peers lose digits where n < d

    def from_features(formula: Formula) -> Callable[[], float]:
        return lambda: formula(moments(x), moments(y))

    race(
        lambda: frechet_distance(x, y),
        peers={name: from_features(formula) for name, formula in PEERS.items()},
        what=f"Fréchet distance, {n:,} × 2,048 against as many",
        goal=goal,
        note="moments of both sets included; at 10,000 they alone, in float64, take two thirds "
        "of the time"
        if n > 2_048
        else "moments of both sets included",
    )


def test_frechet_distance_to_a_kept_reference(race: Any) -> None:
    x, y = features(10_000, seed=1), features(10_000, seed=2)
    reference, known = Gaussian.of(y), moments(y)
    assert reference.factor is not None

    def to_known(formula: Formula) -> Callable[[], float]:
        return lambda: formula(moments(x), known)

    race(
        lambda: distance(Gaussian.of(x), reference),
        peers={name: to_known(formula) for name, formula in PEERS.items()},
        what="The same at 10,000 for one more student, moments of the reference known",
        goal=None,
        note="what a benchmark of many students does; ours keeps the reference's Cholesky factor",
    )
