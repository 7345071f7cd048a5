"""Optimal transport against brute force, and the count of modes."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import points
from kdbench.metrics.base import ImageSet
from kdbench.metrics.points import assignment_distance, modes_covered

wasserstein2: Any = points.wasserstein2


def draw(n: int, *, seed: int) -> Tensor:
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


def point_set(points: Tensor, labels: list[int]) -> ImageSet:
    return ImageSet(points[:, :, None, None], torch.tensor(labels))


def test_assignment_equals_the_best_of_all_permutations() -> None:
    x, y = draw(6, seed=1), draw(6, seed=2)
    best = min(
        float((x - y[list(order)]).double().square().sum(1).mean())
        for order in permutations(range(6))
    )
    assert assignment_distance(x, y) == pytest.approx(best**0.5, rel=1e-6)


def test_a_translated_set_is_its_translation_away() -> None:
    x = draw(300, seed=1)
    assert assignment_distance(x, x[torch.randperm(300)]) == 0
    assert assignment_distance(x, x + torch.tensor([0.3, -0.4])) == pytest.approx(0.5, abs=1e-6)


def test_value_is_the_mean_over_labels() -> None:
    x = draw(60, seed=1)
    labels = [0] * 20 + [1] * 20 + [5] * 20
    shifts = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 6.0]]).repeat_interleave(20, 0)
    estimate: Any = wasserstein2(point_set(x + shifts, labels), point_set(x, labels))
    assert estimate.value == pytest.approx(3, abs=1e-6)
    expected = {"label_0": 1, "label_1": 2, "label_5": 6, "matched": 60}
    assert estimate.details == pytest.approx(expected, abs=1e-6)


def test_points_of_the_wrong_label_are_far_away() -> None:
    x = draw(40, seed=1) * 0.01
    x[20:] += 5
    right, wrong = [0] * 20 + [1] * 20, [1] * 20 + [0] * 20
    assert wasserstein2(point_set(x, right), point_set(x, right)).value == 0
    assert wasserstein2(point_set(x, wrong), point_set(x, right)).value > 7


def test_the_first_of_the_larger_count_meet_the_smaller() -> None:
    x = draw(30, seed=1)
    generated = point_set(x[:10], [0] * 10)
    estimate: Any = wasserstein2(generated, point_set(x, [0] * 30))
    assert estimate.value == 0
    assert estimate.details["matched"] == 10


def test_sets_that_cannot_be_matched_are_refused() -> None:
    x, nan = draw(4, seed=1), torch.full((4, 2), torch.nan)
    with pytest.raises(NothingMeasured, match="Label 1"):
        wasserstein2(point_set(x, [0] * 4), point_set(x, [0, 0, 0, 1]))
    with pytest.raises(NothingMeasured, match="not finite"):
        wasserstein2(point_set(nan, [0] * 4), point_set(x, [0] * 4))


CENTRES = torch.cartesian_prod(torch.linspace(-2, 2, 5), torch.linspace(-2, 2, 5))


def test_exact_samples_cover_every_mode_and_a_lost_mode_is_missed() -> None:
    mode = torch.arange(500) % 25
    points = CENTRES[mode] + 0.05 * draw(500, seed=1)
    assert modes_covered(points, CENTRES, std=0.05) == 25
    assert modes_covered(points[mode >= 3], CENTRES, std=0.05) == 22


def test_a_mode_is_lost_below_a_tenth_of_its_fair_share() -> None:
    others = CENTRES[1:].repeat(100, 1)
    for count, expected in ((5, 24), (15, 25)):
        points = torch.cat([others, CENTRES[:1].expand(count, 2)])
        assert modes_covered(points, CENTRES, std=0.05) == expected


def test_three_standard_deviations_are_the_limit() -> None:
    for offset, expected in ((0.149, 25), (0.151, 0)):
        points = CENTRES + torch.tensor([offset, 0.0])
        assert modes_covered(points, CENTRES, std=0.05) == expected


def test_noise_between_modes_and_no_points_cover_nothing() -> None:
    between = CENTRES + 0.5
    assert modes_covered(between, CENTRES, std=0.05) == 0
    assert modes_covered(torch.full((9, 2), torch.nan), CENTRES, std=0.05) == 0
    assert modes_covered(torch.zeros(0, 2), CENTRES, std=0.05) == 0
