"""MMD² over all pairs against torch-fidelity's, slow loops, and the spread over draws."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor

from kdbench.metrics import kernel as module
from kdbench.metrics.kernel import (
    BLOCK,
    CUBIC,
    Discrepancy,
    Kernel,
    clouds,
    estimated,
    gaussian,
    kernel_distance,
    mean_among,
    sums_among,
    sums_between,
)

GAUSSIAN = gaussian(sigma=1.5)


def draw(n: int, d: int, *, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


def matrix(kernel: Kernel, x: Tensor, y: Tensor) -> Tensor:
    """Every kernel by its definition, float64."""
    x, y = x.double(), y.double()
    if kernel is CUBIC:
        return (x @ y.T / x.shape[1] + 1) ** 3
    return (-(torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist") ** 2) / 4.5).exp()


def by_definition(kernel: Kernel, x: Tensor, y: Tensor) -> Discrepancy:
    """From whole matrices, float64."""
    own, other = (matrix(kernel, z, z).fill_diagonal_(0).sum(1) / (len(z) - 1) for z in (x, y))
    across = matrix(kernel, x, y)
    return Discrepancy(own, other, across.mean(1), across.mean(0))


@pytest.fixture
def in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "float32_is_whole", lambda: False)


@pytest.mark.usefixtures("in_float64")
def test_equals_torch_fidelity_over_one_subset_of_everything() -> None:
    fidelity = pytest.importorskip("torch_fidelity.metric_kid")
    x, y = (draw(150, 12, seed=s, shift=s / 9).double() for s in (1, 2))
    poly = {"kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1}
    pairs = ((x, x), (x, y), (y, y))
    theirs = fidelity.mmd2(*(fidelity.kernel_poly(a.numpy(), b.numpy(), **poly) for a, b in pairs))
    assert kernel_distance(x, y).value == pytest.approx(float(theirs), rel=1e-9)


@pytest.mark.usefixtures("in_float64")
def test_equals_a_slow_loop_at_unequal_sizes() -> None:
    x, y = draw(7, 3, seed=1, shift=0.5), draw(5, 3, seed=2)

    def k(a: Tensor, b: Tensor) -> float:
        return float((a.double() @ b.double() / 3 + 1) ** 3)

    own = [np.mean([k(a, b) for a, b in permutations(z, 2)]) for z in (x, y)]
    across = np.mean([k(a, b) for a in x for b in y])
    expected = own[0] + own[1] - 2 * across
    assert kernel_distance(x, y).value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kernel", [CUBIC, GAUSSIAN], ids=["cubic", "gaussian"])
@pytest.mark.parametrize(
    ("x", "y"),
    [
        (draw(600, 30, seed=1, shift=0.1), draw(1100, 30, seed=2)),
        (draw(500, 30, seed=1), draw(500, 30, seed=2)),
        (draw(500, 30, seed=1, shift=100), draw(500, 30, seed=2, shift=100)),
        (draw(300, 30, seed=1, shift=5), draw(300, 30, seed=2, shift=-5)),
        (1 + 1e-3 * draw(300, 30, seed=1), 1 + 1e-3 * draw(300, 30, seed=2)),
        (draw(1, 30, seed=1).repeat(300, 1), draw(300, 30, seed=2)),
        (draw(300, 2048, seed=1).relu(), draw(300, 2048, seed=2).relu()),
    ],
    ids=["shift", "equal", "offset", "far apart", "all but alike", "collapsed", "many features"],
)
def test_float32_products_move_it_by_less_than_1e4th_of_its_error(
    kernel: Kernel, x: Tensor, y: Tensor
) -> None:
    found, exact = kernel_distance(x, y, kernel), by_definition(kernel, x, y)
    # What float64 itself loses where kernels are large and their difference is small.
    rounding = 1e-12 * float(matrix(kernel, x, y).mean())
    assert found.value == pytest.approx(exact.value, abs=1e-4 * exact.standard_error + rounding)
    assert found.standard_error == pytest.approx(exact.standard_error, rel=1e-4)


def test_inputs_are_left_as_they_are() -> None:
    x, y = draw(20, 3, seed=1).double(), draw(20, 3, seed=2).double()
    before = x.clone(), y.clone()
    kernel_distance(x, y)
    assert torch.equal(x, before[0])
    assert torch.equal(y, before[1])


def test_block_size_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = draw(100, 8, seed=1, shift=0.2), draw(130, 8, seed=2)
    whole = kernel_distance(x, y)
    monkeypatch.setattr(module, "BLOCK", 7)
    parts = kernel_distance(x, y)
    assert parts.value == pytest.approx(whole.value, rel=1e-6)
    assert parts.standard_error == pytest.approx(whole.standard_error, rel=1e-6)


@pytest.mark.parametrize("scale", [1e-20, 1e18, 1e25])
def test_features_of_any_size_are_taken(scale: float) -> None:
    x, y = scale * draw(50, 4, seed=1, shift=1), scale * draw(50, 4, seed=2)
    exact = by_definition(CUBIC, x, y)
    assert kernel_distance(x, y).value == pytest.approx(exact.value, rel=1e-5, abs=1e-30)


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("n", [40, BLOCK + 40])
def test_sums_count_points_as_told(n: int) -> None:
    x, y = draw(n, 4, seed=1), draw(50, 4, seed=2)
    own, other = clouds(x, y, kernel=CUBIC)
    in_x, in_y = torch.rand(n, 3, dtype=torch.float64), torch.rand(50, dtype=torch.float64)
    over_y, over_x = sums_between(own, other, in_x, in_y)
    across, among = matrix(CUBIC, x, y), matrix(CUBIC, x, x).fill_diagonal_(0)
    torch.testing.assert_close(over_y, across @ in_y, rtol=1e-12, atol=0)
    torch.testing.assert_close(over_x, across.T @ in_x, rtol=1e-12, atol=0)
    torch.testing.assert_close(sums_among(own, in_x), among @ in_x, rtol=1e-12, atol=0)


def test_known_means_change_nothing() -> None:
    x, y = draw(60, 4, seed=1), draw(50, 4, seed=2)
    found = kernel_distance(x, y, among_x=mean_among(x), among_y=mean_among(y))
    assert found.value == kernel_distance(x, y).value


def test_is_unbiased_where_the_biased_form_is_not() -> None:
    pairs = [(draw(40, 6, seed=2 * i), draw(40, 6, seed=2 * i + 1)) for i in range(400)]
    values = [kernel_distance(x, y).value for x, y in pairs]
    noise = float(np.std(values)) / 20
    assert abs(np.mean(values)) < 3 * noise
    # The V-statistic, diagonals left in, sits above 0 by 2 (E k(x,x) - E k(x,x')) / n.
    diagonal = float(((draw(9999, 6, seed=0).square().sum(1) / 6 + 1) ** 3).mean())
    assert 2 * (diagonal - 1.5) / 40 > 10 * noise


@pytest.mark.parametrize(
    ("kernel", "shift", "ratio"),
    [(CUBIC, 0.6, 1.0), (GAUSSIAN, 0.6, 1.0), (CUBIC, 0.0, 2**0.5)],
    ids=["cubic", "gaussian", "equal sources"],
)
def test_standard_error_is_the_spread_over_draws(
    kernel: Kernel, shift: float, ratio: float
) -> None:
    """Mean error over 50 draws against the spread of 1,000; √2 too large for equal sources."""
    values, errors = [], []
    for i in range(1000):
        x, y = draw(100, 6, seed=2 * i, shift=shift), draw(100, 6, seed=2 * i + 1)
        found = kernel_distance(x, y, kernel)
        values.append(found.value)
        errors.append(found.standard_error)
    spread = float(np.std(values, ddof=1))
    assert np.mean(errors[:50]) == pytest.approx(ratio * spread, rel=0.1)


def partner(y: Tensor, *, seed: int, shift: float = 0.0) -> Tensor:
    """Images of the same distribution that depend on `y` row by row, moved by `shift`."""
    return 0.8 * y + 0.6 * draw(*y.shape, seed=seed) + shift


def test_pairs_do_not_bias_it() -> None:
    sets = [(partner(y := draw(40, 6, seed=i), seed=9000 + i), y) for i in range(400)]
    paired = [kernel_distance(x, y, paired=True).value for x, y in sets]
    noise = float(np.std(paired)) / 20
    assert abs(np.mean(paired)) < 3 * noise
    assert np.mean([kernel_distance(x, y).value for x, y in sets]) < -10 * noise


def test_paired_standard_error_is_the_spread_over_paired_draws() -> None:
    values, errors, unpaired = [], [], []
    for i in range(1000):
        y = draw(100, 6, seed=i)
        x = partner(y, seed=9000 + i, shift=0.6)
        found = kernel_distance(x, y, paired=True)
        values.append(found.value)
        errors.append(found.standard_error)
        if i < 50:
            unpaired.append(kernel_distance(x, y).standard_error)
    spread = float(np.std(values, ddof=1))
    assert np.mean(errors[:50]) == pytest.approx(spread, rel=0.1)
    assert np.mean(unpaired) > 1.5 * spread


def test_copies_are_at_zero_whichever_are_drawn() -> None:
    x = draw(600, 20, seed=1)
    found = kernel_distance(x, x, paired=True)
    assert abs(found.value) < 1e-7
    assert found.standard_error < 1e-7


def test_constant_features_give_a_finite_value() -> None:
    one, many = torch.ones(30, 4), torch.rand(30, 4)
    assert kernel_distance(one, one).value == 0.0
    assert kernel_distance(one, many).value > 0
    assert math.isfinite(kernel_distance(one, many).standard_error)


def test_interval_is_normal_around_the_value() -> None:
    estimate = estimated(0.3, 0.1, other=2.0)
    assert estimate.interval is not None
    assert estimate.interval.method == "u-statistic"
    assert estimate.interval.low == pytest.approx(0.3 - 0.1959964, rel=1e-6)
    assert estimate.interval.high == pytest.approx(0.3 + 0.1959964, rel=1e-6)
    assert estimate.details == {"other": 2.0, "standard_error": 0.1}
    alike = estimated(0.0, 0.0)
    assert alike.interval is None
    assert "whichever images" in (alike.reason or "")
