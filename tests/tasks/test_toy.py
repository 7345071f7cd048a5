"""The task toy: a truth that is known exactly, and measures that know it from noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from kdbench.metrics.base import Estimate, ImageSet
from kdbench.metrics.points import wasserstein2
from kdbench.tasks.toy import MODES, STD, Toy, draw, modes_covered_metric

LABELS = torch.arange(1000) % 2


def measured(images: Tensor, labels: Tensor = LABELS) -> tuple[float, float]:
    """Wasserstein-2 to the held-out split, and modes covered."""
    held_out = Toy().split("held-out")
    reference = ImageSet(held_out.images, held_out.labels)
    generated, values = ImageSet(images, labels), []
    for estimate in (wasserstein2(generated, reference), modes_covered_metric(generated)):
        assert isinstance(estimate, Estimate)
        assert estimate.value is not None
        values.append(estimate.value)
    return values[0], values[1]


def exact(seed: int) -> Tensor:
    return draw(LABELS, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_exact_sample_is_near_and_covers_all_modes(seed: int) -> None:
    distance, modes = measured(exact(seed))
    assert distance < 0.25  # what is left is the unequal number of points a mode
    assert modes == 33


def test_a_balanced_exact_sample_is_nearer() -> None:
    balanced = draw(LABELS, torch.Generator().manual_seed(5), balanced=True)
    distance, modes = measured(balanced)
    assert distance < 1.5 * STD  # two samples of one Gaussian with standard deviation 0.05
    assert distance < measured(exact(0))[0]
    assert modes == 33


def test_worse_generators_score_worse() -> None:
    truth, _ = measured(exact(0))
    generator = torch.Generator().manual_seed(9)
    noise = 0.7 * torch.randn((1000, 2, 1, 1), generator=generator)
    blurred = exact(1) + 0.3 * torch.randn((1000, 2, 1, 1), generator=generator)
    swapped = draw(1 - LABELS, generator)
    dropped = MODES[0][0].expand(1000, 2)[:, :, None, None] + STD * torch.randn(
        (1000, 2, 1, 1), generator=generator
    )
    for images in (noise, blurred, swapped, dropped):
        distance, _ = measured(images)
        assert distance > 1.5 * truth
    assert measured(noise)[1] < 30
    assert measured(dropped)[1] <= 3  # one mode of the ring, which is one of the grid's too


@pytest.mark.parametrize(("label", "count"), [(0, 8), (1, 25)])
def test_samples_are_a_mixture_of_the_stated_gaussians(label: int, count: int) -> None:
    labels = torch.full((20_000,), label)
    points = draw(labels, torch.Generator().manual_seed(0)).flatten(1).double()
    centres = MODES[label].double()
    assert centres.shape == (count, 2)
    distance, nearest = torch.cdist(points, centres).min(1)
    shares = torch.bincount(nearest, minlength=count) / len(points)
    assert float((shares - 1 / count).abs().max()) < 5 * math.sqrt(1 / count / len(points))
    # the distance to the centre of a Gaussian of the plane is Rayleigh: root mean square √2 σ
    assert float(distance.square().mean().sqrt()) == pytest.approx(math.sqrt(2) * STD, rel=0.02)


def test_the_ring_is_a_ring_and_the_grid_a_grid() -> None:
    assert MODES[0].norm(dim=1).numpy() == pytest.approx(np.ones(8))
    assert sorted({round(x, 6) for x in MODES[1].flatten().tolist()}) == [-1, -0.5, 0, 0.5, 1]
    assert len({tuple(c) for c in MODES[1].tolist()}) == 25


@pytest.mark.parametrize(
    ("name", "size"), [("train", 20_000), ("validation", 1000), ("held-out", 1000)]
)
def test_splits_are_exact_samples_and_the_same_every_time(name: str, size: int) -> None:
    split = Toy().split(name)
    assert split.images.shape == (size, 2, 1, 1)
    assert split.images.dtype == torch.float32
    assert torch.bincount(split.labels).tolist() == [size // 2, size // 2]
    assert split.sha256 == Toy().split(name).sha256
    assert len(set(map(tuple, split.images.flatten(1).tolist()))) == size


def test_splits_share_no_point() -> None:
    points = torch.cat([Toy().split(n).images for n in ("train", "validation", "held-out")])
    assert len(set(map(tuple, points.flatten(1).tolist()))) == len(points)


def test_the_stated_spread_is_that_of_the_data() -> None:
    images = Toy().encode(Toy().split("train").images).double()
    for label in (0, 1):
        values = images[Toy().split("train").labels == label]
        assert float(values.square().mean().sqrt()) == pytest.approx(Toy.sigma_data, abs=0.015)
