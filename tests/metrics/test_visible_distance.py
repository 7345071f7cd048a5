"""The distance of a value's distribution: exact against SciPy, its floor and its interval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import ImageSet, Metric, Use, metric
from kdbench.metrics.group_jackknife import GROUPS, Replicates, deal
from kdbench.metrics.measure import measure
from kdbench.metrics.visible_distance import distance, floor, wasserstein1
from kdbench.metrics.visible_light import saturation, saturation_distance


@metric(kind="per-image", higher_is_better=None, unit="grey levels", source="mean grey level")
def brightness(images: Tensor) -> Tensor:
    """Mean grey level of an image."""
    return images.double().mean(dim=(1, 2, 3))


brightness_distance: Any = distance(brightness)


def draw(n: int, *, seed: int, shape: float = 2.0, scale: float = 1.0) -> Tensor:
    """Gamma variates: skewed, as sharpness is."""
    return torch.from_numpy(np.random.default_rng(seed).gamma(shape, scale, n))


def compared(x: Tensor, y: Tensor) -> Replicates:
    groups = deal(torch.zeros(len(x))), deal(torch.zeros(len(y)))
    return wasserstein1(x, y, groups)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 7), (50, 50), (300, 123)])
def test_equals_scipy(n: int, m: int) -> None:
    x, y = draw(n, seed=n), draw(m, seed=1000 + m, shape=3)
    expected = stats.wasserstein_distance(x.numpy(), y.numpy())
    assert compared(x, y).value == pytest.approx(expected, rel=1e-12)
    tied = (x * 2).round(), (y * 2).round()
    expected = stats.wasserstein_distance(*(z.numpy() for z in tied))
    assert compared(*tied).value == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_replicates_are_distances_without_a_group() -> None:
    x, y = draw(90, seed=1), draw(70, seed=2, shape=3)
    found, groups = compared(x, y), (deal(torch.zeros(90)), deal(torch.zeros(70)))
    assert found.left is not None
    own = [compared(x[groups[0] != g], y).value for g in range(GROUPS)]
    other = [compared(x, y[groups[1] != g]).value for g in range(GROUPS)]
    torch.testing.assert_close(found.left, torch.tensor([own, other], dtype=torch.float64))


CASES = {
    "shifted": {"shape": 3.0},
    "wider": {"scale": 1.6},
    "narrower": {"shape": 8.0, "scale": 0.25},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("n", "m"), [(200, 300), (400, 80)])
def test_interval_has_the_spread_over_draws(case: str, n: int, m: int) -> None:
    found = [
        compared(draw(n, seed=2 * i, **CASES[case]), draw(m, seed=2 * i + 1)) for i in range(250)
    ]
    values = np.array([one.value for one in found])
    errors = np.array([one.standard_error for one in found])
    assert np.sqrt((errors**2).mean()) == pytest.approx(values.std(ddof=1), rel=0.2)
    half = stats.t.ppf(0.975, GROUPS - 1) * errors
    held = np.mean(np.abs(values - values.mean()) <= half)
    assert 0.9 <= held <= 0.99


@pytest.mark.parametrize(("n", "m"), [(100, 100), (40, 500)])
def test_floor_is_what_two_draws_of_one_distribution_are_apart(n: int, m: int) -> None:
    found = [compared(draw(n, seed=2 * i), draw(m, seed=2 * i + 1)).value for i in range(400)]
    floors = [floor(draw(m, seed=2 * i + 1), n=n) for i in range(400)]
    assert np.mean(floors) == pytest.approx(np.mean(found), rel=0.1)


def images_of(values: Tensor) -> ImageSet:
    """Grey images of 4 x 4 pixels with these grey levels."""
    images = values.round().byte()[:, None, None, None].expand(-1, 1, 4, 4).contiguous()
    return ImageSet(images, torch.arange(len(images)) % 5)


def test_estimate_has_both_means_the_floor_and_an_interval() -> None:
    generated = images_of(40 + 10 * draw(200, seed=1))
    reference = images_of(20 + 10 * draw(150, seed=2))
    estimate = brightness_distance(generated, reference)
    values = [z.images[:, 0, 0, 0].double() for z in (generated, reference)]
    assert estimate.value == pytest.approx(float(values[0].mean() - values[1].mean()), rel=0.05)
    assert estimate.details["generated"] == pytest.approx(float(values[0].mean()))
    assert estimate.details["reference"] == pytest.approx(float(values[1].mean()))
    assert 0 < estimate.details["floor"] < 0.2 * estimate.value
    assert estimate.interval.method == "jackknife"
    assert estimate.interval.low < estimate.value < estimate.interval.high


def test_a_set_is_not_apart_from_itself() -> None:
    same = images_of(10 * draw(60, seed=1))
    estimate = brightness_distance(same, same)
    assert estimate.value == 0
    assert estimate.interval is not None
    found = measure(
        distance(brightness),
        use=Use("brightness-distance@1", n=60),
        generated=same,
        others={"reference": same},
    )
    assert found.interval is not None
    assert found.interval.low == 0


def test_few_images_have_a_value_and_no_interval() -> None:
    few = images_of(10 * draw(GROUPS - 1, seed=1))
    estimate = brightness_distance(few, images_of(10 * draw(60, seed=2)))
    assert estimate.value > 0
    assert estimate.interval is None
    assert "20 images in both sets" in estimate.reason


def test_made_of_the_metric_it_is_of() -> None:
    assert saturation_distance.id == "saturation-distance@1"
    assert saturation_distance.bounds == (0.0, None)
    assert saturation_distance.sets == ("reference",)
    assert saturation_distance.higher_is_better is False
    assert saturation.protocol in saturation_distance.protocol
    assert brightness_distance.unit == "grey levels"
    assert "`saturation`" in (saturation_distance.__doc__ or "")
    with pytest.raises(NothingMeasured, match="red, green and blue"):
        saturation_distance(*[images_of(torch.ones(30))] * 2)


def test_values_are_computed_once_for_many_generators() -> None:
    seen: list[int] = []

    def counted(images: Tensor) -> Tensor:
        seen.append(len(images))
        return images.double().mean(dim=(1, 2, 3))

    own: Metric = metric(kind="per-image", higher_is_better=None, name="counted")(counted)
    apart: Any = distance(own)
    reference = images_of(torch.arange(33.0))
    for n in (21, 22):
        apart(images_of(torch.arange(float(n))), reference)
    assert seen == [21, 33, 22]


def test_values_that_are_not_finite_are_refused() -> None:
    broken: Metric = metric(kind="per-image", higher_is_better=None, name="broken")(
        lambda images: torch.full((len(images),), torch.nan)
    )
    apart: Any = distance(broken)
    with pytest.raises(NothingMeasured, match="broken@1 is not finite"):
        apart(*[images_of(torch.ones(30))] * 2)
