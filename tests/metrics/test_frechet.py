"""Fréchet distance against four libraries' formulas, its singular cases, and its jackknife."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from kdbench.metrics.frechet import (
    Gaussian,
    Moments,
    distance,
    frechet_distance,
    jackknifed,
    jackknifed_together,
)
from kdbench.metrics.group_jackknife import GROUPS, Replicates, deal

Statistics = tuple[np.ndarray, np.ndarray]
Formula = Callable[[Statistics, Statistics], float]


def features(n: int, d: int, *, seed: int, shift: float = 0.0) -> Tensor:
    """Features that favour some directions, float64."""
    draw = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=torch.Generator().manual_seed(d), dtype=torch.float64)
    scale = torch.linspace(2, 0.1, d, dtype=torch.float64)
    rows = torch.randn(n, d, generator=draw, dtype=torch.float64) * scale
    return rows @ mixing / d**0.5 + shift


def statistics(x: Tensor) -> Statistics:
    return x.numpy().mean(0), np.cov(x.numpy(), rowvar=False)


def by_sqrtm(first: Statistics, second: Statistics) -> float:
    """As in pytorch-fid, dgm-eval and many others."""
    shift = np.square(first[0] - second[0]).sum()
    return float(shift + np.trace(first[1] + second[1] - 2 * sqrtm(first[1] @ second[1]).real))


def by_torch_fidelity(first: Statistics, second: Statistics) -> float:
    peer = pytest.importorskip("torch_fidelity.metric_fid")
    sets = [{"mu": mu, "sigma": sigma} for mu, sigma in (first, second)]
    found = peer.fid_statistics_to_metric(*sets, verbose=False)
    return float(found["frechet_inception_distance"])


def by_torchmetrics(first: Statistics, second: Statistics) -> float:
    peer = pytest.importorskip("torchmetrics.image.fid")
    return float(peer._compute_fid(*(torch.from_numpy(part) for part in (*first, *second))))


def by_clean_fid(first: Statistics, second: Statistics) -> float:
    peer = pytest.importorskip("cleanfid.fid")
    return float(peer.frechet_distance(*first, *second))


PEERS = [by_sqrtm, by_torch_fidelity, by_torchmetrics, by_clean_fid]


@pytest.mark.filterwarnings("ignore:.*disp.*:DeprecationWarning")
@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize(("n", "m", "d"), [(400, 300, 32), (70, 500, 64), (500, 70, 64)])
def test_equals_other_libraries(peer: Formula, n: int, m: int, d: int) -> None:
    x, y = features(n, d, seed=1, shift=0.3), features(m, d, seed=2)
    assert frechet_distance(x, y) == pytest.approx(peer(statistics(x), statistics(y)), rel=1e-6)


def by_definition(x: Tensor, y: Tensor) -> float:
    """From eigenvalues of S1^½ S2 S1^½, those that are 0 by the number of images left out."""
    s1, s2 = torch.cov(x.T), torch.cov(y.T)
    values, vectors = torch.linalg.eigh(s1)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    rank = min(len(x) - 1, len(y) - 1, x.shape[1])
    trace = torch.linalg.eigvalsh(root @ s2 @ root).flip(0)[:rank].clamp(min=0).sqrt().sum()
    shift = (x.mean(0) - y.mean(0)).square().sum()
    return float(shift + s1.trace() + s2.trace() - 2 * trace)


@pytest.mark.parametrize(
    ("n", "m"), [(20, 30), (20, 500), (500, 20), (64, 64), (65, 64), (65, 65), (2, 2), (2, 500)]
)
def test_equals_the_definition_with_few_images(n: int, m: int) -> None:
    x, y = features(n, 64, seed=1, shift=0.3), features(m, 64, seed=2)
    assert frechet_distance(x, y) == pytest.approx(by_definition(x, y), rel=1e-6)


def test_closed_form_of_gaussians_in_one_basis() -> None:
    """|m1 - m2|² + Σ (√λ1 - √λ2)², with S1 and S2 of one set of eigenvectors."""
    d = 40
    turn = torch.linalg.qr(features(d, d, seed=3)).Q
    first, second = torch.rand(2, d, dtype=torch.float64) + 0.01
    means = torch.rand(2, d, dtype=torch.float64)
    own, other = (
        Gaussian(1000, lambda: pytest.fail("asks for images"), Moments(1000, mean, 999 * cov))
        for mean, cov in zip(means, [turn * v @ turn.T for v in (first, second)], strict=True)
    )
    expected = (means[0] - means[1]).square().sum() + (first.sqrt() - second.sqrt()).square().sum()
    assert distance(own, other) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("n", "d"), [(300, 64), (65, 64), (64, 64), (20, 64), (300, 512)])
def test_of_a_set_with_itself_is_zero(n: int, d: int, dtype: torch.dtype, offset: float) -> None:
    x = features(n, d, seed=1, shift=offset).to(dtype)
    assert 0 <= frechet_distance(x, x) < 1e-10 * float(x.double().var(0).sum())


def test_of_a_set_with_itself_is_zero_with_wide_spectra() -> None:
    """Condition 1e7, as of Inception's features."""
    x = features(2000, 200, seed=1) * torch.logspace(0, -3.5, 200, dtype=torch.float64)
    assert frechet_distance(x, x) < 1e-10 * float(x.var(0).sum())


def test_is_symmetric_and_sees_a_shift_exactly() -> None:
    x, y = features(200, 16, seed=1), features(150, 16, seed=2)
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x), rel=1e-10)
    assert frechet_distance(x, x + 3) == pytest.approx(16 * 9, rel=1e-10)


@pytest.mark.parametrize("d", [16, 300])
def test_does_not_move_with_a_common_offset(d: int) -> None:
    x, y = features(200, d, seed=1), features(150, d, seed=2)
    exact = frechet_distance(x, y)
    assert frechet_distance(x + 1e4, y + 1e4) == pytest.approx(exact, rel=1e-10)
    apart = frechet_distance((x + 1e4).float(), (y + 1e4).float())
    assert apart == pytest.approx(exact, rel=1e-2)  # 1e-3 is float32's own step there


def test_features_that_never_vary_change_nothing() -> None:
    x, y = features(300, 32, seed=1, shift=0.3), features(300, 32, seed=2)
    dead = torch.full((300, 8), 0.7, dtype=torch.float64)
    with_dead = frechet_distance(torch.cat([x, dead], 1), torch.cat([y, dead], 1))
    assert with_dead == pytest.approx(frechet_distance(x, y), rel=1e-8)


def test_directions_that_hardly_vary_do_not_drown_in_rounding() -> None:
    """FD of a set and c times itself is (c - 1)² (|m|² + tr S), whatever the spectrum."""
    scale = torch.cat([torch.ones(8), torch.full((24,), 1e-6)])
    turn = torch.linalg.qr(features(32, 32, seed=3)).Q
    x = features(400, 32, seed=1) * scale @ turn
    exact = 1e-6 * float(x.mean(0).square().sum() + x.var(0).sum())
    assert frechet_distance(1.001 * x, x) == pytest.approx(exact, rel=1e-8)


@pytest.mark.parametrize(("n", "d"), [(200, 64), (40, 64)])
def test_of_a_collapsed_generator_is_shift_plus_variance(n: int, d: int) -> None:
    real = features(n, d, seed=1)
    one = real[:1].expand(n, -1)
    expected = float((one[0] - real.mean(0)).square().sum() + real.var(0).sum())
    assert frechet_distance(one, real) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(real, one) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(one, one + 2) == pytest.approx(4 * d, rel=1e-10)


@pytest.mark.parametrize("distinct", [2, 30])
def test_of_a_generator_with_few_distinct_images(distinct: int) -> None:
    """More images than features, and a singular covariance all the same."""
    x, y = features(distinct, 64, seed=1)[torch.arange(300) % distinct], features(300, 64, seed=2)
    values, vectors = torch.linalg.eigh(torch.cov(x.T))
    root = vectors[:, 1 - distinct :] * values[1 - distinct :].sqrt()
    cross = torch.linalg.svdvals(root.T @ torch.linalg.cholesky(torch.cov(y.T)))
    shift = (x.mean(0) - y.mean(0)).square().sum()
    expected = float(shift + x.var(0).sum() + y.var(0).sum() - 2 * cross.sum())
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(y, x) == pytest.approx(expected, rel=1e-8)


def test_no_square_matrix_is_made_of_fewer_images_than_features(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = features(20, 64, seed=1), features(30, 64, seed=2)
    sizes: list[tuple[int, ...]] = []
    real = np.linalg.svd
    monkeypatch.setattr(np.linalg, "svd", lambda a, **k: sizes.append(a.shape) or real(a, **k))
    monkeypatch.setattr(Moments, "of", lambda rows: pytest.fail("makes a covariance"))
    frechet_distance(x, y)
    assert sizes == [(20, 30)]


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_moments_of_shards_merge_and_come_apart(offset: float) -> None:
    x = features(3000, 8, seed=1, shift=offset)
    x[:700] += 5
    whole = Moments.of(x)
    torch.testing.assert_close(whole.mean, x.mean(0), rtol=1e-12, atol=0)
    torch.testing.assert_close(whole.covariance, torch.cov(x.T), rtol=1e-8, atol=1e-8)
    first, second, third = (Moments.of(part) for part in (x[:700], x[700:701], x[701:]))
    for merged in (first + second + third, third + (second + first), whole + first - first):
        assert merged.n == 3000
        torch.testing.assert_close(merged.mean, whole.mean, rtol=1e-12, atol=0)
        torch.testing.assert_close(merged.scatter, whole.scatter, rtol=1e-8, atol=1e-6)
    left = whole - first
    torch.testing.assert_close(left.scatter, (second + third).scatter, rtol=1e-8, atol=1e-6)


@pytest.mark.parametrize("d", [1, 128, 129, 300])
def test_scatter_is_symmetric_and_in_blocks_as_in_one(d: int) -> None:
    x = features(700, d, seed=1).float()
    found = Moments.of(x)
    expected = 699 * torch.cov(x.double().T)
    torch.testing.assert_close(found.scatter, expected.reshape(d, d), rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize(("n", "m", "d"), [(60, 80, 6), (42, 42, 40), (30, 40, 40), (30, 200, 40)])
def test_jackknife_equals_recomputing_from_the_images(n: int, m: int, d: int) -> None:
    x, y = features(n, d, seed=1, shift=0.3), features(m, d, seed=2)
    groups = deal(torch.arange(n) % 2), deal(torch.arange(m) % 3)
    found = jackknifed(Gaussian.of(x), Gaussian.of(y), groups)
    slow = [
        [frechet_distance(x[groups[0] != g], y) for g in range(GROUPS)],
        [frechet_distance(x, y[groups[1] != g]) for g in range(GROUPS)],
    ]
    assert found.left is not None
    assert found.left.numpy() == pytest.approx(np.array(slow), rel=1e-8)
    variance = sum((GROUPS - 1) * float(np.var(left)) for left in slow)
    bias = sum((GROUPS - 1) * (float(np.mean(left)) - found.value) for left in slow)
    assert found.standard_error == pytest.approx(variance**0.5, rel=1e-8)
    assert found.bias == pytest.approx(bias, rel=1e-6)


@pytest.mark.parametrize(("n", "d"), [(60, 6), (30, 40)])
def test_groups_can_leave_both_sets_together(n: int, d: int) -> None:
    x, y = features(n, d, seed=1, shift=0.3), features(n, d, seed=2)
    groups = deal(torch.arange(n) % 2)
    found = jackknifed_together(Gaussian.of(x), Gaussian.of(y), groups)
    slow = [frechet_distance(x[groups != g], y[groups != g]) for g in range(GROUPS)]
    assert found.left is not None
    assert found.left[0].tolist() == pytest.approx(slow, rel=1e-8)


def draws(count: int, n: int, d: int, *, seed: int, shift: float = 0.0) -> Tensor:
    """(count, n, d): sets from a skewed distribution."""
    draw = torch.Generator().manual_seed(seed)
    normal = torch.randn(count, n, d, generator=draw, dtype=torch.float64)
    return (normal + 0.3 * normal.square()) * torch.linspace(1 + shift, 0.5, d) + shift


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Of many pairs of sets (..., n, d) at once, by Cholesky and eigenvalues."""
    means, covariances = zip(*((z.mean(-2), _covariances(z)) for z in (x, y)), strict=True)
    root = torch.linalg.cholesky(covariances[1])
    values = torch.linalg.eigvalsh(root.mT @ covariances[0] @ root).clamp(min=0)
    spread = sum(s.diagonal(dim1=-1, dim2=-2).sum(-1) for s in covariances)
    return (means[0] - means[1]).square().sum(-1) + spread - 2 * values.sqrt().sum(-1)


def _covariances(x: Tensor) -> Tensor:
    centred = x - x.mean(-2, keepdim=True)
    return centred.mT @ centred / (x.shape[-2] - 1)


N, D, ONE = 400, 6, torch.zeros(400, dtype=torch.int64)


@pytest.mark.parametrize("varying", ["first", "second", "both"])
def test_standard_error_is_the_spread_over_independent_draws(varying: str) -> None:
    """The spread of 2,000 draws is known to 2 %, the mean of 50 standard errors to about 3 %."""
    x, y = draws(2000, N, D, seed=1, shift=0.4), draws(2000, N, D, seed=2)
    if varying != "both":
        fixed = y if varying == "first" else x
        fixed[:] = fixed[0].clone()
    spread = float(distances(x, y).std())
    rows = {"first": slice(0, 1), "second": slice(1, 2), "both": slice(0, 2)}[varying]
    errors = []
    for own, other in zip(x[:50], y[:50], strict=True):
        found = jackknifed(Gaussian.of(own), Gaussian.of(other), (deal(ONE), deal(ONE)))
        assert found.left is not None
        errors.append(Replicates(found.value, found.left[rows]).standard_error)
    assert np.mean(errors) == pytest.approx(spread, rel=0.1)


def test_standard_error_is_the_spread_of_sets_with_latents_in_common() -> None:
    teacher, noise = draws(2000, N, D, seed=1), draws(2000, N, D, seed=2)
    student = 0.8 * teacher + 0.3 * noise + 0.1
    spread = float(distances(student, teacher).std())
    errors = [
        jackknifed_together(Gaussian.of(own), Gaussian.of(other), deal(ONE)).standard_error
        for own, other in zip(student[:50], teacher[:50], strict=True)
    ]
    assert np.mean(errors) == pytest.approx(spread, rel=0.1)


@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_bias_is_removed(shift: float) -> None:
    x, y = draws(50, N, D, seed=1, shift=shift), draws(50, N, D, seed=2)
    many = draws(1, 10**6, D, seed=3, shift=shift), draws(1, 10**6, D, seed=4)
    truth = float(distances(*many))
    found = [
        jackknifed(Gaussian.of(own), Gaussian.of(other), (deal(ONE), deal(ONE)))
        for own, other in zip(x, y, strict=True)
    ]
    values, biases = [one.value for one in found], [one.bias for one in found]
    noise = float(np.std(values)) / 50**0.5
    assert np.mean(values) > truth + 4 * noise
    assert np.mean(np.subtract(values, biases)) == pytest.approx(truth, abs=3 * noise)
