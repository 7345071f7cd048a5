"""Authenticity and the ratio of nearest distances against slow definitions and resampling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import memorisation as module
from kdbench.metrics.base import Use
from kdbench.metrics.intervals import RESAMPLES, wilson
from kdbench.metrics.measure import measure
from kdbench.metrics.memorisation import is_authentic, resampled_medians

authenticity: Any = module.authenticity
nearest_ratio: Any = module.nearest_ratio


def draw(n: int, d: int = 6, *, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def slowly_authentic(generated: Tensor, train: Tensor) -> list[bool]:
    """Alaa et al. 2022, image by image: farther than its nearest is from that one's nearest."""
    found = []
    for x in generated.double():
        distances = [float((x - t).norm()) for t in train.double()]
        near = int(np.argmin(distances))
        others = [float((train[near] - t).double().norm()) for t in train]
        found.append(distances[near] > min(o for i, o in enumerate(others) if i != near))
    return found


def test_authenticity_is_the_definition(image_set: Any) -> None:
    train, real = draw(70, seed=1), draw(50, seed=2)
    made = torch.cat([draw(30, seed=3), train[:20] + 0.1 * draw(20, seed=4)])
    estimate = authenticity(image_set(made), image_set(train), image_set(real))
    expected = slowly_authentic(made, train)
    assert is_authentic(image_set(made), image_set(train)).tolist() == expected
    assert estimate.value == np.mean(expected)
    assert estimate.details == {"held_out": np.mean(slowly_authentic(real, train))}
    assert estimate.interval == wilson(sum(expected), len(expected))


def test_authenticity_on_the_rim_does_not_count(image_set: Any) -> None:
    train, made = torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([[2.0], [2.1], [0.5]])
    assert is_authentic(image_set(made), image_set(train)).tolist() == [False, True, False]


def test_authenticity_of_copies_is_zero_and_of_noise_one(image_set: Any) -> None:
    train, real = draw(300, seed=1), draw(100, seed=2)

    def of(made: Tensor) -> float:
        return float(authenticity(image_set(made), image_set(train), image_set(real)).value)

    assert of(train[:100]) == 0.0
    assert of(train[:100] + 0.01) == 0.0
    assert of(50 * draw(100, seed=3)) == 1.0
    fair = of(draw(100, seed=4))
    assert 0.3 < fair < 0.8
    assert of(torch.cat([draw(100, seed=4)[:50], train[:50]])) == pytest.approx(fair / 2, abs=0.1)


def test_authenticity_is_blind_to_copies_of_twins(image_set: Any) -> None:
    train = draw(100, seed=1).repeat(2, 1)
    images = image_set(train + 1e-3), image_set(train), image_set(draw(50, seed=2))
    assert authenticity(*images).value == 1.0


def test_authenticity_interval_covers_the_share_of_the_generator(image_set: Any) -> None:
    train, real = image_set(draw(400, 3, seed=1)), image_set(draw(50, 3, seed=2))
    truth = is_authentic(image_set(draw(40_000, 3, seed=3)), train).double().mean()
    found = [authenticity(image_set(draw(150, 3, seed=10 + i)), train, real) for i in range(200)]
    held = np.mean([e.interval.low <= truth <= e.interval.high for e in found])
    assert 0.9 <= held <= 0.99


def nearest_distances(rows: Tensor, train: Tensor) -> Any:
    return torch.cdist(rows.double(), train.double()).min(1).values.numpy()


def test_nearest_ratio_is_the_definition(image_set: Any) -> None:
    train, real, made = draw(90, seed=1), draw(41, seed=2), 0.8 * draw(60, seed=3)
    estimate = nearest_ratio(image_set(made), image_set(train), image_set(real))
    own, held_out = nearest_distances(made, train), nearest_distances(real, train)
    assert estimate.value == pytest.approx(np.median(own) / np.median(held_out), rel=1e-12)
    assert estimate.details["resamples"] == RESAMPLES


@pytest.mark.parametrize("n", [2, 5, 6, 40, 101])
def test_medians_are_those_of_real_resamples(n: int) -> None:
    values = np.random.default_rng(n).exponential(size=n)
    rng = np.random.default_rng(0)
    quick = np.concatenate([resampled_medians(values, rng) for _ in range(10)])
    slow = np.median(values[rng.integers(n, size=(20_000, n))], axis=1)
    ends = [0.025, 0.2, 0.5, 0.8, 0.975]
    # Each quantile lies between those of the slow medians at ± 1 % of probability, 3 errors or so.
    for end, at in zip(ends, np.quantile(quick, ends), strict=True):
        low, high = np.quantile(slow, [max(end - 0.01, 0), min(end + 0.01, 1)])
        assert low - 1e-12 <= at <= high + 1e-12
    assert quick.mean() == pytest.approx(slow.mean(), abs=5 * slow.std() / 100)
    assert quick.std() == pytest.approx(slow.std(), rel=0.05)


def test_nearest_ratio_interval_and_error_hold_over_draws(image_set: Any) -> None:
    train = image_set(draw(400, 3, seed=1))
    many = [nearest_distances(s * draw(20_000, 3, seed=2), train.features) for s in (0.8, 1)]
    truth = np.median(many[0]) / np.median(many[1])
    found = []
    for i in range(300):
        made, real = 0.8 * draw(200, 3, seed=10 + i), draw(120, 3, seed=5000 + i)
        found.append(nearest_ratio(image_set(made), train, image_set(real)))
    held = np.mean([e.interval.low <= truth <= e.interval.high for e in found])
    assert 0.91 <= held <= 0.99
    spread = np.std([e.value for e in found], ddof=1)
    assert np.mean([e.details["standard_error"] for e in found]) == pytest.approx(spread, rel=0.15)


def test_nearest_ratio_of_copies_and_of_real_images(image_set: Any) -> None:
    train, real = draw(500, seed=1), image_set(draw(300, seed=2))

    def of(made: Tensor) -> Any:
        return nearest_ratio(image_set(made), image_set(train), real)

    fair = of(draw(300, seed=3))
    assert fair.interval.low < 1 < fair.interval.high
    assert of(train[:300]).value == 0.0
    assert of(3 * draw(300, seed=3)).interval.low > 2
    few = of(torch.cat([train[:15], draw(285, seed=4)]))
    assert few.interval.low < 1 < few.interval.high  # blind to 5 % of copies


def test_held_out_images_from_the_training_set_leave_no_mark(image_set: Any) -> None:
    train, made = draw(100, seed=1), image_set(draw(60, seed=2))
    mostly = image_set(torch.cat([train[:40], draw(20, seed=3)]))
    none = nearest_ratio(made, image_set(train), mostly)
    assert none.value is None
    assert "held-out images are training images" in none.reason
    nearly = image_set(torch.cat([train[:28], draw(32, seed=3)]))
    some = nearest_ratio(made, image_set(train), nearly)
    assert some.value > 0
    assert some.interval is None
    assert "too many held-out" in some.reason


@pytest.mark.parametrize("metric", [authenticity, nearest_ratio])
def test_sets_without_features_are_refused(image_set: Any, metric: Any) -> None:
    good, bare = image_set(draw(10, seed=1)), image_set(n=10)
    for sets in ((bare, good, good), (good, bare, good), (good, good, bare)):
        with pytest.raises(NothingMeasured, match="no features"):
            metric(*sets)
    with pytest.raises(NothingMeasured, match="6 features each and the training images 5"):
        metric(good, image_set(draw(10, 5, seed=1)), good)


def test_measured_like_any_metric(image_set: Any) -> None:
    train, real = image_set(draw(80, seed=1)), image_set(draw(40, seed=2))
    for metric in (authenticity, nearest_ratio):
        estimate = measure(
            metric,
            use=Use(metric.id, n=50),
            generated=image_set(draw(50, seed=3)),
            others={"train": train, "reference": real},
        )
        assert estimate.interval.low < estimate.value < estimate.interval.high
