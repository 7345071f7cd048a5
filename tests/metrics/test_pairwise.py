"""Pairwise distances against all pairs, replicates against recomputing, errors against draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import pairwise
from kdbench.metrics.group_jackknife import GROUPS, Replicates, deal, mean_over, over_teacher
from kdbench.metrics.pairwise import CHUNK, Rows, spread

distance: Any = pairwise.feature_distance
within: Any = pairwise.feature_distance_within
ratio: Any = pairwise.feature_distance_ratio
within_ratio: Any = pairwise.feature_distance_within_ratio


def draw(n: int, d: int, *, seed: int) -> Tensor:
    """Features as a network with rectifiers has them, of unequal scale, float32."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator).relu() * torch.linspace(1, 2, d)


def blobs(n: int, labels: Tensor, *, seed: int) -> Tensor:
    """Features (n, 4) whose width depends on their label."""
    width = 0.5 + (labels % 7)[:, None] / 3
    noise = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))
    return width * noise + 3 * labels[:, None]


def of(features: Tensor) -> Rows:
    return lambda index: features[index]


def all_pairs(features: Tensor) -> float:
    return float(pdist(features.double().numpy(), "sqeuclidean").mean())


def each_label(features: Tensor, labels: Tensor) -> list[float]:
    parts = [features[labels == int(label)] for label in np.unique(labels.numpy())]
    return [all_pairs(part) for part in parts if len(part) > 1]


@pytest.mark.parametrize("n", [2, CHUNK - 1, CHUNK, 3 * CHUNK + 1])
def test_equals_all_pairs(image_set: Any, n: int) -> None:
    features = draw(n, 9, seed=n)
    assert distance(image_set(features)).value == pytest.approx(all_pairs(features), rel=1e-12)


def test_within_equals_pairs_of_each_label(image_set: Any) -> None:
    features = draw(101, 5, seed=1)
    labels = torch.tensor([0] * 40 + [7] * 30 + [3] * 28 + [-1] * 2 + [5])[torch.randperm(101)]
    found = within(image_set(features, labels=labels)).value
    assert found == pytest.approx(np.mean(each_label(features, labels)), rel=1e-12)


def test_each_image_is_asked_for_once_and_few_at_a_time() -> None:
    features, labels = draw(100, 3, seed=1), torch.arange(100) % 7
    asked: list[int] = []

    def rows(index: Tensor) -> Tensor:
        assert len(index) == CHUNK
        asked.extend(index.tolist())
        return features[index]

    spread(rows, labels)
    assert sorted(set(asked)) == list(range(100))
    assert len(asked) - 100 == -100 % CHUNK  # padding of the last chunk alone


def test_replicates_are_distances_without_a_group() -> None:
    features, labels = draw(150, 4, seed=2), torch.arange(150) % 3
    found, groups = spread(of(features), labels), deal(labels)
    slow = [all_pairs(features[groups != group]) for group in range(GROUPS)]
    assert found.overall.left is not None
    assert found.overall.left[0].tolist() == pytest.approx(slow, rel=1e-12)

    for label in range(3):
        left = [
            np.mean(each_label(features[kept], labels[kept]))
            for kept in ((groups != group) | (labels != label) for group in range(GROUPS))
        ]
        assert found.within is not None
        assert found.within.left is not None
        assert found.within.left[label].tolist() == pytest.approx(left, rel=1e-12)


def test_many_small_labels_are_left_out_whole() -> None:
    labels = torch.arange(120) % 40
    features = blobs(120, labels, seed=1)
    found = spread(of(features), labels).within
    each, groups = np.array(each_label(features, labels)), deal(torch.zeros(40)).numpy()
    slow = [each[groups != group].mean() for group in range(GROUPS)]
    assert found is not None
    assert found.left is not None
    assert found.left.shape == (1, GROUPS)
    assert found.left[0].tolist() == pytest.approx(slow, rel=1e-12)


def spread_of_draws(metric: Any, sets: Callable[[int], tuple[Any, ...]]) -> tuple[float, float]:
    """Mean standard error and standard deviation of values over 300 independent draws."""
    found = [metric(*sets(i)) for i in range(300)]
    values = [estimate.value for estimate in found]
    return (
        float(np.mean([estimate.details["standard_error"] for estimate in found])),
        float(np.std(values, ddof=1)),
    )


def test_standard_error_over_all_pairs(image_set: Any) -> None:
    error, spread = spread_of_draws(distance, lambda i: (image_set(draw(100, 6, seed=i)),))
    assert error == pytest.approx(spread, rel=0.1)


def test_standard_error_within_fixed_labels(image_set: Any) -> None:
    labels = torch.arange(180) % 3

    def sets(i: int) -> tuple[Any, ...]:
        return (image_set(blobs(180, labels, seed=i), labels=labels),)

    error, spread = spread_of_draws(within, sets)
    assert error == pytest.approx(spread, rel=0.1)


def test_standard_error_within_labels_that_are_drawn_too(image_set: Any) -> None:
    def sets(i: int) -> tuple[Any, ...]:
        kinds = torch.randint(1000, (40,), generator=torch.Generator().manual_seed(i))
        labels = torch.arange(80) % 40
        features = blobs(80, kinds[labels], seed=i)
        return (image_set(features, labels=labels),)

    error, spread = spread_of_draws(within, sets)
    assert error == pytest.approx(spread, rel=0.1)


@pytest.mark.parametrize("metric", [ratio, within_ratio], ids=["overall", "within"])
def test_standard_error_of_ratios_is_paired(image_set: Any, metric: Any) -> None:
    labels = torch.arange(120) % 3

    def sets(i: int) -> tuple[Any, ...]:
        teacher = draw(120, 4, seed=i)
        student = 0.8 * teacher + 0.2 * draw(120, 4, seed=5000 + i)
        return image_set(student, labels=labels), image_set(teacher, labels=labels)

    error, spread = spread_of_draws(metric, sets)
    assert error == pytest.approx(spread, rel=0.1)
    estimate = metric(*sets(0))
    alone = (distance if metric is ratio else within)(sets(0)[0])
    assert estimate.value == estimate.details["student"] / estimate.details["teacher"]
    assert estimate.details["student"] == alone.value
    # Far narrower than if the two sets were independent.
    assert error / estimate.value < 0.5 * alone.details["standard_error"] / alone.value


def test_collapse_is_exactly_zero_and_offsets_do_not_matter(image_set: Any) -> None:
    one = draw(1, 50, seed=1).expand(60, 50) * 1e4
    estimate = distance(image_set(one))
    assert (estimate.value, estimate.interval) == (0.0, None)
    assert within(image_set(one)).value == 0.0
    features = draw(60, 5, seed=1).round()
    far = distance(image_set(features + 1e6)).value
    assert far == pytest.approx(distance(image_set(features)).value, rel=1e-12)


def test_noise_raises_it(image_set: Any) -> None:
    modes = torch.eye(10)[torch.arange(200) % 10]
    noisy = modes + 0.2 * torch.randn(200, 10)
    assert distance(image_set(noisy)).value > distance(image_set(modes)).value
    assert ratio(image_set(noisy), image_set(modes)).value > 1


def test_collapse_within_labels_is_seen_within_alone(image_set: Any) -> None:
    labels = torch.arange(200) % 4
    wide = blobs(200, labels, seed=1)
    centres = torch.stack([wide[labels == label].mean(0) for label in range(4)])[labels]
    sets = image_set(centres, labels=labels), image_set(wide, labels=labels)
    assert within_ratio(*sets).value == pytest.approx(0, abs=1e-9)
    assert ratio(*sets).value > 0.8


def test_no_interval_has_a_reason(image_set: Any) -> None:
    few = distance(image_set(draw(19, 3, seed=1)))
    assert few.interval is None
    assert "20 images" in few.reason
    labels = torch.arange(50) % 5
    mixed = within(image_set(draw(50, 3, seed=1), labels=labels))
    assert mixed.interval is None
    assert "or 20 labels" in mixed.reason


def test_refusals(image_set: Any) -> None:
    features = draw(30, 3, seed=1)
    apart = image_set(features, labels=torch.arange(30))
    with pytest.raises(NothingMeasured, match="No label has two generated images"):
        within(apart)
    with pytest.raises(NothingMeasured, match="same latents"):
        ratio(image_set(features), apart)
    with pytest.raises(NothingMeasured, match="all alike"):
        ratio(image_set(features), image_set(torch.ones(30, 3)))
    broken = features.clone()
    broken[0] = torch.inf
    with pytest.raises(NothingMeasured, match="the teacher images are not finite"):
        ratio(image_set(features), image_set(broken))
    with pytest.raises(NothingMeasured, match="at least 2"):
        distance(image_set(features[:1]))
    with pytest.raises(NothingMeasured, match="at least 2"):
        spread(of(features), torch.zeros(1))


def test_ratio_without_interval_where_one_image_is_all_the_difference() -> None:
    left = torch.tensor([[0.0, *[1.0] * (GROUPS - 1)]], dtype=torch.float64)
    estimate = over_teacher(Replicates(1.0, left + 1), Replicates(1.0, left))
    assert (estimate.value, estimate.interval) == (1.0, None)
    assert "all alike" in (estimate.reason or "")


def test_mean_over_strata_with_replicates_is_stratified() -> None:
    """Variances of independent strata add: that of their mean is the sum over their number²."""
    lefts = torch.rand(3, 1, GROUPS, dtype=torch.float64)
    strata = [Replicates(float(i), left) for i, left in enumerate(lefts)]
    alone = [own.standard_error or 0 for own in strata]
    assert mean_over(strata).value == 1.0
    expected = np.sqrt(np.square(alone).sum()) / 3
    assert mean_over(strata).standard_error == pytest.approx(expected, rel=1e-12)


def test_groups_are_even_and_follow_from_labels() -> None:
    labels = torch.arange(400) % 10
    groups = deal(labels)
    table = torch.zeros(10, GROUPS).index_put_((labels, groups), torch.ones(400), accumulate=True)
    assert (table == 2).all()
    assert torch.equal(groups, deal(labels.clone()))


def test_names() -> None:
    found = [distance, within, ratio, within_ratio]
    suffixes = ["", "-within", "-ratio", "-within-ratio"]
    assert [metric.id for metric in found] == [f"feature-distance{s}@1" for s in suffixes]
    assert [metric.sets for metric in found] == [(), (), ("teacher",), ("teacher",)]
    assert all(metric.needs_features for metric in found)
    assert all(metric.higher_is_better is None for metric in found)
    assert len({metric.protocol for metric in found}) == 2
