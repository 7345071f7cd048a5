"""Numbers of single images and of pairs: sizes one at a time, strangers, and refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kdbench.errors import BadSpec, NothingMeasured
from kdbench.metrics import paired
from kdbench.metrics.base import ImageSet, Use, metric
from kdbench.metrics.measure import measure
from kdbench.metrics.per_image import image_values, over_images, shuffled_values

l1 = paired.l1


def plain(images: Tensor) -> ImageSet:
    return ImageSet(images, torch.zeros(len(images), dtype=torch.int64))


def levels(n: int, side: int = 4) -> ImageSet:
    """Image i is of grey level i."""
    return plain(torch.arange(n, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, side, side))


@pytest.mark.parametrize("n", [2, 3, 50])
def test_every_image_meets_another_ones_target_and_every_target_is_met_once(n: int) -> None:
    met: list[Tensor] = []

    @metric(kind="paired", higher_is_better=None)
    def watched(images: Tensor, targets: Tensor) -> Tensor:
        met.append(targets[:, 0, 0, 0].long())
        return images[:, 0, 0, 0].double()

    own = levels(n)
    for _ in range(2):
        assert shuffled_values(watched, own, own).tolist() == list(range(n))
    first, again = met
    assert not (first == torch.arange(n)).any()
    assert first.sort().values.equal(torch.arange(n))
    assert first.equal(again)


def test_shuffled_features_are_of_the_same_stranger(image_set: Any) -> None:
    values = torch.arange(6.0)[:, None]

    @metric(kind="paired", higher_is_better=None, needs_features=True)
    def difference(features: Tensor, targets: Tensor) -> Tensor:
        return (features - targets).abs()[:, 0]

    own = replace(levels(6), features=values)
    of_features = shuffled_values(difference, own, own)
    assert of_features.tolist() == shuffled_values(l1, own, own).tolist()
    assert of_features.min() >= 1


def test_images_of_several_sizes_give_one_mean() -> None:
    draw = torch.Generator().manual_seed(0)
    groups = [
        [plain(torch.randint(256, (n, 3, side, 8), generator=draw).byte()) for _ in "ab"]
        for n, side in ((2, 8), (1, 12), (3, 9))
    ]
    values = torch.cat([image_values(l1, *group) for group in groups])
    shuffled = torch.cat([shuffled_values(l1, *group) for group in groups])
    found = over_images(l1, values, shuffled=shuffled)
    slow = [
        float((a.double() - b.double()).abs().mean())
        for x, y in groups
        for a, b in zip(x.images, y.images, strict=True)
    ]
    assert found.value == pytest.approx(np.mean(slow))
    assert found.details["median"] == pytest.approx(np.median(slow))
    assert found.interval is not None
    assert len(shuffled) == 5
    assert "shuffled" not in found.details  # the image that is alone of its size has no other


def test_measure_is_values_and_their_mean() -> None:
    own, targets = levels(30), levels(31)
    use = Use("l1@1", n=15, blocks=2)
    assert measure(l1, use=use, generated=own, targets=targets) == over_images(
        l1, torch.zeros(30), shuffled=shuffled_values(l1, own, targets.block(0, 30))
    )


def test_shuffled_numbers_that_are_not_finite_are_no_number() -> None:
    broken = torch.tensor([1.0, torch.nan])
    assert over_images(l1, torch.ones(2), shuffled=broken).details["shuffled"] is None
    assert over_images(l1, broken).value is None


def test_refusals() -> None:
    with pytest.raises(NothingMeasured, match=r"targets are \(3, 1, 4, 4\) and the images \(2, 1"):
        image_values(l1, levels(2), levels(3))
    cosine = replace(l1, needs_features=True)
    with pytest.raises(NothingMeasured, match="needs features"):
        image_values(cosine, levels(2), levels(2))
    scalar = replace(l1, function=lambda images, targets: torch.tensor(1.0))
    with pytest.raises(BadSpec, match="a number an image"):
        image_values(scalar, levels(2), levels(2))


def test_both_tails_are_given() -> None:
    details = over_images(l1, torch.arange(101.0)).details
    assert (details["p5"], details["p95"]) == (pytest.approx(5), pytest.approx(95))


@pytest.mark.parametrize("n", [5, 10, 20])
def test_an_interval_of_few_images_holds_the_mean_as_often_as_it_says(n: int) -> None:
    draw = np.random.default_rng(0)
    for values, mean, share in (
        (draw.normal(size=(1000, n)), 0.0, 0.925),
        (draw.exponential(size=(1000, n)), 1.0, 0.865),
    ):
        found = [over_images(l1, torch.from_numpy(row).add(99)).interval for row in values]
        held = np.mean([one.low <= 99 + mean <= one.high for one in found if one])
        assert held > share  # of a percentile bootstrap at n = 5: 0.84 and 0.77
        assert {one.method for one in found if one} == {"student-t"}


def test_many_images_have_a_bootstrap() -> None:
    found = over_images(l1, torch.arange(50.0))
    assert found.interval is not None
    assert (found.interval.method, found.details["resamples"]) == ("bootstrap", 2000)
    assert "resamples" not in over_images(l1, torch.arange(49.0)).details


def test_intervals_of_few_images_keep_to_the_bounds() -> None:
    found = over_images(l1, torch.tensor([0.0, 0.0, 5.0]))
    assert found.interval is not None
    assert found.interval.low == 0


def test_one_image_has_no_interval() -> None:
    found = over_images(l1, torch.ones(1))
    assert (found.value, found.interval, found.reason) == (1, None, "No interval: it is one image.")
