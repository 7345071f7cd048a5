"""Fréchet distance against torch-fidelity and scipy, its singular cases, and its jackknife."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from kdbench.errors import NothingMeasured
from kdbench.metrics import frechet
from kdbench.metrics.frechet import (
    GROUPS,
    Moments,
    frechet_distance,
    jackknife,
    jackknife_groups,
    regular_moments,
)

fd: Any = frechet.fd


def features(n: int, d: int, *, seed: int, shift: float = 0.0) -> Tensor:
    """Non-negative features with a falling spectrum, as a network's pooled ones are."""
    mix = torch.randn(d, d, generator=torch.Generator().manual_seed(0)) / d**0.5
    mix = mix * torch.arange(1, d + 1)[:, None] ** -0.5
    draw = torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift
    return torch.relu(draw @ mix).double()


def by_sqrtm(x: Tensor, y: Tensor) -> float:
    s1, s2 = np.cov(x.numpy(), rowvar=False), np.cov(y.numpy(), rowvar=False)
    shift = (x.mean(0) - y.mean(0)).square().sum()
    return float(shift + np.trace(s1 + s2 - 2 * sqrtm(s1 @ s2).real))


@pytest.mark.parametrize(("n", "m", "d"), [(400, 300, 32), (70, 500, 64), (500, 70, 64)])
def test_equals_scipy_and_torch_fidelity_where_covariances_are_regular(
    n: int, m: int, d: int
) -> None:
    x, y = features(n, d, seed=1, shift=0.3), features(m, d, seed=2)
    ours = frechet_distance(x, y)
    theirs = fid_statistics_to_metric(
        fid_features_to_statistics(x), fid_features_to_statistics(y), False
    )
    assert regular_moments(x, y) is not None
    assert ours == pytest.approx(by_sqrtm(x, y), rel=1e-6)
    assert ours == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)


@pytest.mark.parametrize(("n", "m"), [(20, 30), (20, 500), (500, 20), (64, 64)])
def test_fewer_images_than_features_equals_the_gram_form(n: int, m: int) -> None:
    x, y = features(n, 64, seed=1, shift=0.3), features(m, 64, seed=2)
    # tr (S1 S2)^½ from eigenvalues of S1^½ S2 S1^½, with S1^½ from an eigendecomposition.
    s1, s2 = torch.cov(x.T), torch.cov(y.T)
    values, vectors = torch.linalg.eigh(s1)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    rank = min(n, m) - 1
    trace = torch.linalg.eigvalsh(root @ s2 @ root).flip(0)[:rank].clamp(min=0).sqrt().sum()
    slow = (x.mean(0) - y.mean(0)).square().sum() + s1.trace() + s2.trace() - 2 * trace
    assert frechet_distance(x, y) == pytest.approx(float(slow), rel=1e-6)


@pytest.mark.parametrize(("n", "d"), [(300, 64), (65, 64), (64, 64), (20, 64), (300, 512)])
def test_of_a_set_with_itself_is_zero_to_rounding(n: int, d: int) -> None:
    x = features(n, d, seed=1)
    assert frechet_distance(x, x) < 1e-12 * float(x.var(0).sum())


def test_is_symmetric_and_sees_a_shift_exactly() -> None:
    x, y = features(200, 16, seed=1), features(150, 16, seed=2)
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x), rel=1e-10)
    assert frechet_distance(x, x + 3) == pytest.approx(16 * 9, rel=1e-10)


def test_does_not_move_with_a_common_offset() -> None:
    x, y = features(200, 16, seed=1), features(150, 16, seed=2)
    assert frechet_distance(x + 1e4, y + 1e4) == pytest.approx(frechet_distance(x, y), rel=1e-6)


def test_features_that_never_vary_change_nothing() -> None:
    x, y = features(300, 32, seed=1, shift=0.3), features(300, 32, seed=2)
    dead = torch.zeros(300, 8, dtype=torch.float64)
    with_dead = frechet_distance(torch.cat([x, dead], 1), torch.cat([y, dead], 1))
    assert with_dead == pytest.approx(frechet_distance(x, y), rel=1e-10)


def test_directions_that_hardly_vary_do_not_drown_in_rounding() -> None:
    """FD of a set and c times itself is (c - 1)² (|m|² + tr S), whatever the spectrum."""
    scale = torch.cat([torch.ones(8), torch.full((24,), 1e-6)])
    turn = torch.linalg.qr(features(32, 32, seed=3)).Q
    x = features(400, 32, seed=1) * scale @ turn
    exact = 1e-6 * float(x.mean(0).square().sum() + x.var(0).sum())
    assert frechet_distance(1.001 * x, x) == pytest.approx(exact, rel=1e-8)


def test_of_a_collapsed_generator_is_shift_plus_variance(image_set: Any) -> None:
    real = features(200, 64, seed=1)
    one = real[:1].expand(200, -1)
    expected = float((one[0] - real.mean(0)).square().sum() + real.var(0).sum())
    assert frechet_distance(one, real) == pytest.approx(expected, rel=1e-10)
    estimate: Any = fd(image_set(one.float()), image_set(real.float()))
    assert estimate.value == pytest.approx(expected, rel=1e-5)
    assert estimate.interval is not None
    assert estimate.interval.low < expected < estimate.interval.high


def test_moments_of_a_part_can_be_taken_away() -> None:
    x = features(50, 8, seed=1)
    left = Moments.of(x) - Moments.of(x[:10])
    torch.testing.assert_close(left.covariance, torch.cov(x[10:].T))
    torch.testing.assert_close(left.mean, x[10:].mean(0))


def test_groups_are_disjoint_complete_and_stratified() -> None:
    labels = torch.tensor([0] * 400 + [1] * 100 + [2] * 3)
    groups, other = jackknife_groups(labels, labels)
    assert sorted(torch.cat(groups).tolist()) == list(range(503))
    assert {len(group) for group in groups} == {25, 26}
    assert {int((labels[group] == 0).sum()) for group in groups} == {20}
    assert {int((labels[group] == 1).sum()) for group in groups} == {5}
    assert all(a.equal(b) for a, b in zip(groups, other, strict=True))


@pytest.mark.parametrize(("n", "d"), [(60, 6), (42, 40), (30, 40)])
def test_jackknife_equals_recomputing_from_the_images(n: int, d: int) -> None:
    x, y = features(n, d, seed=1, shift=0.3), features(n, d, seed=2)
    groups = jackknife_groups(torch.arange(n) % 2, torch.arange(n) % 3)
    plain, variance, bias = frechet_distance(x, y), 0.0, 0.0
    for side, parts in enumerate(groups):
        left = []
        for part in parts:
            kept = [i for i in range(n) if i not in set(part.tolist())]
            left.append(frechet_distance(x[kept], y) if side == 0 else frechet_distance(x, y[kept]))
        variance += (GROUPS - 1) / GROUPS * len(left) * float(np.var(left))
        bias += (GROUPS - 1) * (float(np.mean(left)) - plain)
    assert jackknife(x, y, groups) == pytest.approx((variance**0.5, bias), rel=1e-6)


def test_standard_error_is_the_spread_over_independent_draws() -> None:
    values, errors, corrected = [], [], []
    for draw in range(60):
        x = features(400, 8, seed=1000 + draw, shift=0.5)
        y = features(400, 8, seed=5000 + draw)
        error, bias = jackknife(x, y, jackknife_groups(torch.arange(400), torch.arange(400)))
        values.append(frechet_distance(x, y))
        errors.append(error)
        corrected.append(values[-1] - bias)
    # 60 draws know their own standard deviation to 9 %.
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.3)
    truth = frechet_distance(features(200_000, 8, seed=1, shift=0.5), features(200_000, 8, seed=2))
    noise = np.std(values, ddof=1) / 60**0.5
    assert np.mean(corrected) == pytest.approx(truth, abs=3.5 * noise)


def test_bias_of_equal_distributions_is_removed() -> None:
    x, y = features(1000, 32, seed=1), features(1000, 32, seed=2)
    error, bias = jackknife(x, y, jackknife_groups(torch.arange(1000), torch.arange(1000)))
    plain = frechet_distance(x, y)
    assert plain > 3 * error
    assert abs(plain - bias) < 2 * error


def test_metric_reports_plain_corrected_and_error(image_set: Any) -> None:
    generated = image_set(features(200, 16, seed=1, shift=0.3).float())
    reference = image_set(features(300, 16, seed=2).float())
    estimate: Any = fd(generated, reference)
    assert estimate.value == estimate.details["plain"]
    assert estimate.details["bias_corrected"] < estimate.value
    assert estimate.interval.method == "jackknife"
    width = estimate.interval.high - estimate.interval.low
    assert width == pytest.approx(2 * 2.093024 * estimate.details["standard_error"], rel=1e-6)


def test_too_few_images_for_a_jackknife_say_so(image_set: Any) -> None:
    few, many = (image_set(torch.rand(n, 4)) for n in (19, 40))
    estimate: Any = fd(few, many)
    assert estimate.value > 0
    assert estimate.interval is None
    assert "20 images" in estimate.reason


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (None, "no features"),
        (torch.rand(1, 4), "at least 2"),
        (torch.rand(30, 5), "same extractor"),
        (torch.full((30, 4), torch.nan), "not finite"),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(
    image_set: Any, bad: Tensor | None, sentence: str
) -> None:
    generated = image_set(n=30) if bad is None else image_set(bad)
    with pytest.raises(NothingMeasured, match=sentence):
        fd(generated, image_set(torch.rand(30, 4)))
    with pytest.raises(NothingMeasured, match="none was given"):
        fd(image_set(torch.rand(30, 4)), None)
