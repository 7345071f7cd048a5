"""Vendi score against its definition, the package vendi_score, and the spread over draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import vendi as module
from kdbench.metrics.base import ImageSet, Use
from kdbench.metrics.group_jackknife import GROUPS, deal
from kdbench.metrics.measure import measure
from kdbench.metrics.vendi import jackknifed, vendi_score

vendi: Any = module.vendi
vendi_q2: Any = module.vendi_q2
vendi_ratio: Any = module.vendi_ratio


def draw(n: int, d: int, *, seed: int) -> Tensor:
    """Features that favour some directions, float32."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator) * torch.linspace(2, 0.2, d) + 0.3


def by_definition(features: Tensor, q: int) -> float:
    """From all eigenvalues of the N by N matrix K/N, in float64."""
    rows = torch.nn.functional.normalize(features.double())
    p = np.linalg.eigvalsh((rows @ rows.T / len(rows)).numpy())
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()) if q == 1 else 1 / (p**2).sum())


@pytest.mark.parametrize("q", [1, 2])
@pytest.mark.parametrize(("n", "d"), [(300, 20), (50, 50), (51, 50), (40, 90), (1500, 8)])
def test_equals_the_definition(n: int, d: int, q: int) -> None:
    features = draw(n, d, seed=1)
    assert vendi_score(features, q=q) == pytest.approx(by_definition(features, q), rel=1e-9)


@pytest.mark.filterwarnings("ignore:.*csr_matrix.*:DeprecationWarning")
@pytest.mark.parametrize(("n", "d"), [(200, 24), (60, 100)])
def test_equals_the_package(n: int, d: int) -> None:
    peer = pytest.importorskip("vendi_score.vendi")
    rows = torch.nn.functional.normalize(draw(n, d, seed=2).double()).numpy()
    features = torch.from_numpy(rows)
    assert vendi_score(features) == pytest.approx(peer.score_X(rows), rel=1e-9)
    # Its `score_X` leaves `q` aside; its `score_K` does not.
    assert vendi_score(features, q=2) == pytest.approx(peer.score_K(rows @ rows.T, q=2), rel=1e-9)


def test_order_two_is_another_number() -> None:
    features = draw(200, 24, seed=3)
    assert vendi_score(features, q=2) < 0.9 * vendi_score(features, q=1)


@pytest.mark.parametrize("q", [1, 2])
def test_counts_distinct_images(q: int) -> None:
    directions = torch.eye(8)[torch.arange(64) % 8]
    assert vendi_score(directions, q=q) == pytest.approx(8, rel=1e-12)
    assert vendi_score(directions * torch.rand(64, 1).add(0.1), q=q) == pytest.approx(8, rel=1e-12)
    assert vendi_score(torch.ones(64, 8), q=q) == pytest.approx(1.0, abs=1e-12)
    assert vendi_score(torch.ones(64, 8), q=q) >= 1.0


@pytest.mark.parametrize("q", [1, 2])
@pytest.mark.parametrize(("n", "d"), [(90, 12), (45, 60)])
def test_replicates_are_scores_without_a_group(n: int, d: int, q: int) -> None:
    features, groups = draw(n, d, seed=4), deal(torch.arange(n) % 3)
    found = jackknifed(features, groups, q=q)
    slow = [vendi_score(features[groups != group], q=q) for group in range(GROUPS)]
    assert found.left is not None
    assert found.left[0].tolist() == pytest.approx(slow, rel=1e-9)


def clusters(n: int, d: int, *, seed: int) -> Tensor:
    """Features of eight kinds, each drawn at random, some much wider than others."""
    generator = torch.Generator().manual_seed(seed)
    kind = torch.randint(8, (n,), generator=generator)
    centres = torch.randn(8, d, generator=torch.Generator().manual_seed(99))
    noise = torch.randn(n, d, generator=generator)
    return centres[kind] + torch.linspace(0.2, 2, 8)[kind, None] * noise


def errors_and_spread(metric: Any, sets: list[Any]) -> tuple[float, float]:
    """Mean standard error and standard deviation of the values."""
    found = [metric(images) for images in sets]
    errors = [estimate.details["standard_error"] for estimate in found]
    return float(np.mean(errors)), float(np.std([e.value for e in found], ddof=1))


@pytest.mark.parametrize("metric", [vendi, vendi_q2], ids=["q1", "q2"])
@pytest.mark.parametrize(("n", "d"), [(200, 10), (60, 100)])
def test_standard_error_is_the_spread_over_draws(
    image_set: Any, metric: Any, n: int, d: int
) -> None:
    sets = [image_set(clusters(n, d, seed=i)) for i in range(400)]
    error, spread = errors_and_spread(metric, sets)
    assert error == pytest.approx(spread, rel=0.1)


@pytest.mark.parametrize("metric", [vendi, vendi_q2], ids=["q1", "q2"])
def test_standard_error_is_too_wide_where_all_directions_are_alike(
    image_set: Any, metric: Any
) -> None:
    """The first-order part of the statistic vanishes there; up to √2 remains."""
    sets = [image_set(torch.randn(60, 80)) for _ in range(300)]
    error, spread = errors_and_spread(metric, sets)
    assert 1.1 < error / spread < 1.1 * 2**0.5


def student_of(teacher: Tensor, *, seed: int) -> Tensor:
    """The same images in fewer directions, with noise of the student's own."""
    noise = torch.randn(teacher.shape, generator=torch.Generator().manual_seed(seed))
    return teacher * torch.linspace(1, 0.3, teacher.shape[1]) + 0.1 * noise


def test_ratio_has_the_spread_of_paired_draws(image_set: Any) -> None:
    found = []
    for i in range(300):
        teacher = draw(150, 10, seed=i)
        found.append(vendi_ratio(image_set(student_of(teacher, seed=1000 + i)), image_set(teacher)))
    values = [estimate.value for estimate in found]
    errors = [estimate.details["standard_error"] for estimate in found]
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.1)
    first = found[0]
    assert first.value == first.details["student"] / first.details["teacher"]
    assert first.value < 1
    assert first.interval.method == "jackknife"


def test_ratio_needs_paired_labels(image_set: Any) -> None:
    features = draw(40, 5, seed=1)
    teacher = image_set(features, labels=torch.zeros(40, dtype=torch.int64))
    with pytest.raises(NothingMeasured, match="same latents"):
        vendi_ratio(image_set(features), teacher)
    with pytest.raises(NothingMeasured, match="40 generated and 30"):
        vendi_ratio(image_set(features), image_set(features[:30]))


def test_ratio_of_a_set_to_itself_is_one_and_has_no_width(image_set: Any) -> None:
    same = draw(60, 5, seed=1)
    estimate = vendi_ratio(image_set(same), image_set(same))
    assert estimate.value == 1.0
    assert estimate.interval is None
    assert estimate.details["standard_error"] == 0.0
    assert "whichever images are left out" in estimate.reason


def test_is_blind_to_noise_and_sees_lost_modes(image_set: Any) -> None:
    modes = torch.eye(16)[torch.arange(160) % 16]
    noisy = modes + 0.3 * torch.randn(160, 16)
    whole = vendi(image_set(modes)).value
    assert vendi(image_set(torch.cat([modes, torch.zeros(160, 16)], 1))).value == pytest.approx(
        whole
    )
    wider = torch.cat([noisy, 0.3 * torch.randn(160, 16)], 1)
    assert vendi(image_set(wider)).value > 1.1 * whole
    assert vendi(image_set(modes[torch.arange(160) % 16 < 12])).value == pytest.approx(12)


def test_refuses_features_without_direction(image_set: Any) -> None:
    features = draw(30, 4, seed=1)
    features[7] = 0
    with pytest.raises(NothingMeasured, match="no direction"):
        vendi(image_set(features))
    features[7] = torch.nan
    with pytest.raises(NothingMeasured, match="not finite"):
        vendi(image_set(features))
    with pytest.raises(NothingMeasured, match="no features"):
        vendi(image_set(n=30))


def test_few_images_have_a_value_and_no_interval(image_set: Any) -> None:
    estimate = vendi(image_set(draw(GROUPS - 1, 4, seed=1)))
    assert estimate.value > 1
    assert estimate.interval is None
    assert "20 images" in estimate.reason


def test_measured_like_any_metric(image_set: Any) -> None:
    teacher: ImageSet = image_set(draw(90, 6, seed=1))
    own: ImageSet = image_set(draw(90, 6, seed=2))
    alone = measure(vendi, use=Use("vendi@1", n=90), generated=own)
    assert alone.interval is not None
    assert alone.interval.low < (alone.value or 0) < alone.interval.high
    ratio = measure(
        vendi_ratio,
        use=Use("vendi-ratio@1", n=30, blocks=3),
        generated=own,
        others={"teacher": teacher},
    )
    assert ratio.interval is not None
    assert ratio.interval.method == "blocks-t"


def test_names() -> None:
    found = [module.vendi, module.vendi_ratio, module.vendi_q2, module.vendi_q2_ratio]
    ids = [metric.id for metric in found]
    assert ids == ["vendi@1", "vendi-ratio@1", "vendi-q2@1", "vendi-q2-ratio@1"]
    assert [metric.sets for metric in found] == [(), ("teacher",), (), ("teacher",)]
    assert all(metric.needs_features for metric in found)
    assert all(metric.higher_is_better is None for metric in found)
