"""Kernel distance against torch-fidelity's U-statistic and a slow loop."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_kid import kernel_poly, mmd2

from kdbench.metrics import kernel
from kdbench.metrics.kernel import kernel_distance

kid: Any = kernel.kid


def draw(n: int, d: int, *, seed: int, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) + shift


def test_equals_torch_fidelity_over_one_subset_of_everything() -> None:
    x, y = draw(150, 12, seed=1, shift=0.2).numpy(), draw(150, 12, seed=2).numpy()
    poly = {"kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1}
    theirs = mmd2(kernel_poly(x, x, **poly), kernel_poly(x, y, **poly), kernel_poly(y, y, **poly))
    ours, _ = kernel_distance(torch.from_numpy(x), torch.from_numpy(y))
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_equals_a_slow_loop_at_unequal_sizes() -> None:
    x, y = draw(7, 3, seed=1, shift=0.5), draw(5, 3, seed=2)

    def k(a: Tensor, b: Tensor) -> float:
        return float((a @ b / 3 + 1) ** 3)

    own = [np.mean([k(a, b) for a, b in permutations(z, 2)]) for z in (x, y)]
    across = np.mean([k(a, b) for a in x for b in y])
    assert kernel_distance(x, y)[0] == pytest.approx(own[0] + own[1] - 2 * across, rel=1e-12)


def test_block_size_does_not_matter() -> None:
    x, y = draw(100, 8, seed=1, shift=0.2), draw(130, 8, seed=2)
    whole = kernel_distance(x, y, block=1000)
    assert kernel_distance(x, y, block=7) == pytest.approx(whole, rel=1e-12)


def test_is_unbiased_where_the_biased_form_is_not() -> None:
    values = [
        kernel_distance(draw(40, 6, seed=2 * i), draw(40, 6, seed=2 * i + 1))[0] for i in range(400)
    ]
    noise = np.std(values) / 20
    assert abs(np.mean(values)) < 3 * noise
    # The V-statistic, diagonals left in, sits above 0 by 2 (E k(x,x) - E k(x,x')) / n.
    bias = 2 * float(((draw(9999, 6, seed=0).square().sum(1) / 6 + 1) ** 3).mean() - 1.5) / 40
    assert bias > 10 * noise


@pytest.mark.parametrize(("shift", "ratio"), [(0.6, 1.0), (0.0, 2**0.5)])
def test_standard_error_is_the_spread_over_draws(shift: float, ratio: float) -> None:
    found = [
        kernel_distance(draw(200, 6, seed=2 * i, shift=shift), draw(200, 6, seed=2 * i + 1))
        for i in range(150)
    ]
    values, errors = np.array(found).T
    assert errors.mean() == pytest.approx(ratio * values.std(ddof=1), rel=0.2)


def test_constant_features_give_a_finite_value(image_set: Any) -> None:
    one, many = image_set(torch.ones(30, 4)), image_set(torch.rand(30, 4))
    assert kid(one, one).value == 0.0
    assert kid(one, many).value > 0
    assert np.isfinite(kid(one, many).details["standard_error"])


def test_interval_is_normal_around_the_value(image_set: Any) -> None:
    estimate: Any = kid(image_set(torch.rand(50, 4) + 1), image_set(torch.rand(50, 4)))
    low, high = estimate.interval.low, estimate.interval.high
    assert (low + high) / 2 == pytest.approx(estimate.value)
    assert high - low == pytest.approx(2 * 1.959964 * estimate.details["standard_error"], rel=1e-6)
    assert estimate.interval.method == "u-statistic"
