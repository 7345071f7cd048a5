"""Duplicates against brute force, the jackknife against recomputation, the interval by draws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import duplicates as module
from kdbench.metrics.base import ImageSet, Use
from kdbench.metrics.duplicates import closeness, identical, too_close
from kdbench.metrics.group_jackknife import GROUPS, deal
from kdbench.metrics.measure import measure

duplicates: Any = module.duplicates


def draw(n: int, d: int = 4, *, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def with_pairs(n: int, *, seed: int) -> Tensor:
    """A tenth of the images are altered copies of others, give or take."""
    made = draw(n, seed=seed)
    half = n // 2
    copied = torch.rand(half, generator=torch.Generator().manual_seed(seed + 1)) < 0.2
    made[:half][copied] = made[half : 2 * half][copied] + 1e-3
    return made


def nearest_others(rows: Tensor) -> Tensor:
    """Distances of every row to its nearest other, from all pairs."""
    distances = torch.cdist(rows.double(), rows.double())
    return distances.fill_diagonal_(torch.inf).min(1).values


def test_equals_brute_force(image_set: Any) -> None:
    made, real = with_pairs(300, seed=1), draw(300, seed=3)
    threshold = float(nearest_others(real).sort().values[2])  # 1 % of 300 is three
    estimate = duplicates(image_set(made), image_set(real))
    assert estimate.value == float((nearest_others(made) <= threshold).double().mean())
    assert estimate.value > 0.15
    assert estimate.details["threshold"] == pytest.approx(threshold, rel=1e-9)
    assert estimate.interval.method == "jackknife-woodruff"


def test_distances_without_a_group_are_recomputed() -> None:
    rows, groups = with_pairs(130, seed=1), deal(torch.arange(130) % 3)
    rows[3] = rows[77] = rows[129]
    found = closeness(rows, groups)
    expected = [rows, *(rows[groups != group] for group in range(GROUPS))]
    assert len(found) == GROUPS + 1
    for distances, kept in zip(found, expected, strict=True):
        assert distances.sqrt().numpy() == pytest.approx(nearest_others(kept).numpy(), abs=1e-9)


def test_interval_joins_its_two_parts(image_set: Any) -> None:
    """Root of the summed squares of the distances to the ends of either interval alone."""
    made, real = with_pairs(400, seed=1), draw(400, seed=3)
    estimate = duplicates(image_set(made), image_set(real))
    ranked, own = nearest_others(real).sort().values, nearest_others(made)
    # 4 images are the closest 1 %, and 1.96 √8 = 5.5, to the next number 6.
    assert [x**0.5 for x in too_close(nearest_others(real) ** 2)] == pytest.approx(
        [0, float(ranked[3]), float(ranked[9])]
    )
    value, most = (float((own <= ranked[i]).double().mean()) for i in (3, 9))
    groups = deal(torch.arange(400) % 10)
    left = [
        float((nearest_others(made[groups != g]) <= ranked[3]).double().mean())
        for g in range(GROUPS)
    ]
    half = stats.t.ppf(0.975, 19) * math.sqrt((GROUPS - 1) * np.var(left))
    assert estimate.interval.low == pytest.approx(value - math.hypot(half, value - 0))
    assert estimate.interval.high == pytest.approx(value + math.hypot(half, most - value))


@pytest.mark.parametrize(
    ("make", "least"),
    [(lambda i: with_pairs(1000, seed=3 * i), 0.15), (lambda i: 0.6 * draw(1000, seed=i), 0.04)],
    ids=["pairs", "narrow"],
)
def test_interval_covers_the_mean_over_draws(image_set: Any, make: Any, least: float) -> None:
    """Conservatively, and no wider than twice what is needed."""
    found = [
        duplicates(image_set(make(i)), image_set(draw(1000, seed=10_000 + i))) for i in range(60)
    ]
    mean, spread = np.mean([e.value for e in found]), np.std([e.value for e in found], ddof=1)
    assert mean > least
    held = np.mean([e.interval.low <= mean <= e.interval.high for e in found])
    assert held >= 0.9  # at 95 % below this with probability 0.03
    assert np.mean([e.interval.high - e.interval.low for e in found]) < 2 * 2 * 1.96 * spread


def test_a_second_real_set_reads_one_in_a_hundred(image_set: Any) -> None:
    found = [duplicates(*(image_set(draw(500, seed=2 * i + j)) for j in (0, 1))) for i in range(40)]
    assert np.mean([e.value for e in found]) == pytest.approx(0.01, abs=0.004)


def test_a_collapsed_generator_reads_one(image_set: Any) -> None:
    made = draw(20, seed=1).repeat(10, 1)
    estimate = duplicates(image_set(made), image_set(draw(200, seed=2)))
    assert estimate.value == 1.0
    assert estimate.interval is None
    assert "no spread" in estimate.reason


def test_is_blind_to_noise_and_loose_sameness(image_set: Any) -> None:
    real = image_set(draw(400, 8, seed=2))
    assert duplicates(image_set(10 * draw(400, 8, seed=1)), real).value == 0.0
    kinds = 3 * draw(40, 8, seed=3).repeat(10, 1) + 0.9 * draw(400, 8, seed=4)
    assert duplicates(image_set(kinds), real).value < 0.1


def test_identical_counts_repeats_bit_by_bit(image_set: Any) -> None:
    images = torch.arange(6, dtype=torch.uint8)[:, None, None, None].expand(6, 3, 4, 4)
    assert identical(images) == 0.0
    assert identical(images[[0, 1, 2, 2, 2, 0]]) == pytest.approx(3 / 6)
    assert identical(images[:, :, ::2]) == 0.0  # a view with gaps
    features = draw(100, seed=1)
    pictures = torch.arange(100, dtype=torch.uint8)[:, None, None, None] // 2
    made = ImageSet(pictures, torch.zeros(100, dtype=torch.int64), features)
    assert duplicates(made, image_set(draw(100, seed=2))).details["identical"] == 0.5


def test_too_few_or_unequal_sets_are_refused(image_set: Any) -> None:
    small, large = image_set(draw(99, seed=1)), image_set(draw(200, seed=2))
    for sets in ((small, large), (large, small)):
        with pytest.raises(NothingMeasured, match="100 images a set, not 99"):
            duplicates(*sets)
    with pytest.raises(NothingMeasured, match="no features"):
        duplicates(image_set(n=200), large)
    use = Use("duplicates@1", n=200)
    with pytest.raises(NothingMeasured, match="sets of equal size"):
        measure(duplicates, use=use, generated=large, others={"reference": small})


def test_few_images_are_marked_and_the_interval_clipped(image_set: Any) -> None:
    estimate = measure(
        duplicates,
        use=Use("duplicates@1", n=300),
        generated=image_set(0.8 * draw(300, seed=1)),
        others={"reference": image_set(draw(300, seed=5))},
    )
    assert estimate.marks == ("few samples: 300 of at least 1,000",)
    assert estimate.interval is not None
    assert estimate.interval.low >= 0
