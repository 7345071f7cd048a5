"""Class by class: what is measured of each, and whether the interval knows of the choice."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import Estimate, ImageSet
from kdbench.metrics.worst_class import by_class, largest_interval, of_class, worst_class


def by_mean(generated: ImageSet, reference: ImageSet) -> Estimate:
    """Difference of the means of the first feature, as a stand-in for a distance."""
    x, y = (images.features[:, 0].double() for images in (generated, reference))  # type: ignore[index]
    error = math.sqrt(float(x.var() / len(x) + y.var() / len(y)))
    return Estimate(float(x.mean() - y.mean()), None, None, {"standard_error": error})


def without_error(generated: ImageSet, reference: ImageSet) -> Estimate:
    found = by_mean(generated, reference)
    return Estimate(found.value, None, "No interval today.", {"other": 1.0})


def shifted(labels: Tensor, shifts: list[float], *, seed: int) -> Tensor:
    noise = torch.randn(len(labels), 1, generator=torch.Generator().manual_seed(seed))
    return noise + torch.tensor(shifts)[labels][:, None]


def test_every_class_meets_its_own(image_set: Any) -> None:
    labels = torch.arange(90) % 3
    x, y = shifted(labels, [0.0, 2.0, 1.0], seed=1), shifted(labels, [0.0] * 3, seed=2)
    estimate = worst_class(image_set(x, labels=labels), image_set(y, labels=labels), by_mean)
    values = [float(x[labels == c].mean() - y[labels == c].mean()) for c in range(3)]
    assert estimate.value == pytest.approx(max(values), abs=1e-6)
    assert estimate.details["worst"] == 1.0
    assert [estimate.details[f"class-{c}"] for c in range(3)] == pytest.approx(values, abs=1e-6)
    errors = [estimate.details[f"class-{c}-standard_error"] for c in range(3)]
    assert estimate.details["standard_error"] == errors[1]
    found = [estimate.details[f"class-{c}"] for c in range(3)]
    assert estimate.interval == largest_interval(found, errors, df=math.inf)  # type: ignore[arg-type]


def test_classes_of_one_set_take_everything_along() -> None:
    images = torch.arange(40, dtype=torch.uint8).view(40, 1, 1, 1)
    labels, features = torch.arange(40) % 2, torch.arange(40.0)[:, None]
    whole = ImageSet(images, labels, features, -features)
    own = of_class(whole, 1)
    assert own.images.flatten().tolist() == list(range(1, 40, 2))
    assert own.labels.tolist() == [1] * 20
    assert own.features is not None
    assert own.logits is not None
    assert own.features.flatten().tolist() == list(range(1, 40, 2))
    assert torch.equal(own.logits, -own.features)
    bare = of_class(ImageSet(images, labels), 0)
    assert bare.features is None
    assert bare.logits is None
    assert [label for label, _ in by_class(whole, whole)] == [0, 1]


@pytest.mark.parametrize(
    ("generated", "reference", "said"),
    [
        ([20, 19], [20, 20], "Class 1 has 19 generated and 20 reference"),
        ([20, 20], [20, 0], "Class 1 has 20 generated and 0 reference"),
        ([20, 0], [20, 25], "Class 1 has 0 generated and 25 reference"),
    ],
)
def test_small_or_missing_classes_are_refused(
    image_set: Any, generated: list[int], reference: list[int], said: str
) -> None:
    sets = []
    for counts in (generated, reference):
        labels = torch.arange(2).repeat_interleave(torch.tensor(counts))
        sets.append(image_set(shifted(labels, [0.0, 0.0], seed=1), labels=labels))
    with pytest.raises(NothingMeasured, match=said):
        worst_class(*sets, by_mean)


def test_reasons_of_a_class_are_passed_on(image_set: Any) -> None:
    labels = torch.arange(60) % 3
    images = image_set(shifted(labels, [0.0, 0.0, 1.0], seed=1), labels=labels)
    unsure = worst_class(images, image_set(torch.zeros(60, 1), labels=labels), without_error)
    assert unsure.value is not None
    assert unsure.interval is None
    assert unsure.reason == "No interval today."
    assert unsure.details["class-2-other"] == 1.0

    def failing(own: ImageSet, _: ImageSet) -> Estimate:
        return Estimate(None, None, "It is broken.") if own.labels[0] == 1 else Estimate(1.0)

    broken = worst_class(images, images, failing)
    assert (broken.value, broken.reason) == (None, "Class 1: It is broken.")


def test_interval_is_bonferronis(image_set: Any) -> None:
    interval = largest_interval([1.0, 3.0, 2.9], [0.1, 0.5, 0.2], df=19)
    times = stats.t.ppf(1 - 0.025 / 3, 19)
    assert interval.low == pytest.approx(max(1 - 0.1 * times, 3 - 0.5 * times, 2.9 - 0.2 * times))
    assert interval.high == pytest.approx(max(3 + 0.5 * times, 2.9 + 0.2 * times))
    assert interval.method == "bonferroni"
    one = largest_interval([1.0], [0.1], df=math.inf)
    assert (one.low, one.high) == pytest.approx((1 - 0.196, 1 + 0.196), abs=1e-4)


@pytest.mark.parametrize(
    "truth",
    [[0.0] * 10, [1.0] + [0.0] * 9, list(np.linspace(0, 0.5, 10))],
    ids=["all alike", "one bad", "graded"],
)
def test_interval_covers_the_largest_truth_where_a_naive_one_does_not(truth: list[float]) -> None:
    """Naive: of the worst class alone, as if it had not been chosen."""
    rng, errors = np.random.default_rng(0), np.full(10, 0.3)
    held = naive = 0
    for _ in range(2000):
        values = rng.normal(truth, errors)
        interval = largest_interval(values.tolist(), errors.tolist(), df=math.inf)
        held += interval.low <= max(truth) <= interval.high
        naive += abs(values.max() - max(truth)) <= 1.96 * 0.3
    assert held / 2000 >= 0.95
    if truth == [0.0] * 10:
        assert naive / 2000 < 0.85


def test_interval_covers_in_the_whole_measurement(image_set: Any) -> None:
    labels = torch.arange(250) % 5
    shifts, held = [0.0, 0.1, 0.2, 0.3, 0.3], 0
    for i in range(200):
        x, y = shifted(labels, shifts, seed=2 * i), shifted(labels, [0.0] * 5, seed=2 * i + 1)
        sets = image_set(x, labels=labels), image_set(y, labels=labels)
        interval = worst_class(*sets, by_mean).interval
        assert interval is not None
        held += interval.low <= 0.3 <= interval.high
    assert held >= 186  # below this with probability 0.05 at 95 %
