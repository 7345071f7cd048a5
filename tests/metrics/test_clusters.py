"""Clusters covered and differing proportions, on mixtures whose modes are the clusters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import clusters as module
from kdbench.metrics.base import ImageSet, Use
from kdbench.metrics.clusters import cell_centres, cell_shares, cells_of, differs, halves
from kdbench.metrics.measure import measure

clusters_covered: Any = module.clusters_covered

MODES = 20
CENTRES = 10 * torch.randn(MODES, 6, generator=torch.Generator().manual_seed(0))


def mixture(n: int, *, seed: int, modes: int = MODES, width: float = 0.1) -> Tensor:
    """n points, as many around each of the first `modes` centres."""
    noise = torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))
    return CENTRES[torch.arange(n) % modes] + width * noise


def cloud(n: int, d: int, *, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_all_modes_are_covered_by_a_second_sample(image_set: Any) -> None:
    """800 images: 20 cells of half the reference, which are not always the 20 modes."""
    estimate = clusters_covered(image_set(mixture(800, seed=1)), image_set(mixture(800, seed=2)))
    assert estimate.value == 1.0
    assert estimate.details["reference_share"] > 0.9
    assert estimate.interval is None
    assert "thresholds" in estimate.reason


def counted(image_set: Any, made: Tensor, real: Tensor) -> tuple[float, float]:
    """Covered cells and cells of differing proportions, cell by cell in Python."""
    reference = image_set(real)
    other = real[halves(len(real))[1]]
    smaller = min(len(made), len(other))
    centres = cell_centres(reference, min(100, smaller // 20), half=True)
    homes = [
        [int((centres - x).double().norm(dim=1).argmin()) for x in rows] for rows in (made, other)
    ]
    covered = differing = cells = 0
    for c in range(len(centres)):
        p, q = (home.count(c) / len(home) for home in homes)
        if q * smaller < 10:
            continue
        cells += 1
        covered += p >= 0.1 * q
        pooled = (p * len(made) + q * len(other)) / (len(made) + len(other))
        error = math.sqrt(pooled * (1 - pooled) * (1 / len(made) + 1 / len(other)))
        differing += abs(p - q) / error > 1.959963985
    return covered / cells, differing / cells


def test_equals_counting_cell_by_cell(image_set: Any) -> None:
    made = mixture(250, seed=1, modes=12)
    real = mixture(500, seed=2)
    estimate = clusters_covered(image_set(made), image_set(real))
    covered, differing = counted(image_set, made, real)
    assert 0 < covered < 1
    assert estimate.value == pytest.approx(covered)
    assert estimate.details["ndb"] == pytest.approx(differing)


def test_dropped_modes_are_missed_and_light_ones_differ(image_set: Any) -> None:
    real = image_set(mixture(2000, seed=2))
    centres = cell_centres(real, 50, half=True)
    lost = ~torch.isin(torch.arange(MODES), torch.arange(15))
    home = torch.cdist(centres, CENTRES).argmin(1)
    shares = cell_shares(real.features[halves(2000)[1]], centres)
    cells = shares * 1000 >= 10
    dropped = clusters_covered(image_set(mixture(2000, seed=1, modes=15)), real)
    assert dropped.value == pytest.approx(1 - float(lost[home][cells].double().mean()))
    light = torch.cat([mixture(1700, seed=1, modes=15), mixture(400, seed=1)])
    reweighted = clusters_covered(image_set(light), real)
    assert reweighted.value > 0.95
    assert reweighted.details["ndb"] > 0.2


def test_covered_from_a_tenth_of_the_fair_share(image_set: Any) -> None:
    real = image_set(mixture(2000, seed=2))
    homes = torch.arange(MODES).repeat_interleave(100)

    def of(share: float) -> float:
        """The last mode has this part of its images, the others all."""
        kept = torch.ones(2000, dtype=torch.bool)
        kept[-100:] = torch.arange(100) < 100 * share
        made = CENTRES[homes] + 0.1 * cloud(2000, 6, seed=1)
        return float(clusters_covered(image_set(made[kept]), real).value)

    assert of(1.0) == of(0.5) == 1.0
    assert of(0.0) < 1.0


@pytest.mark.parametrize("d", [2, 128])
def test_a_second_real_sample_covers_all_and_differs_in_one_cell_of_20(
    image_set: Any, d: int
) -> None:
    """Also where features have many directions, in which cells of all the reference would not."""
    found = [
        clusters_covered(image_set(cloud(800, d, seed=2 * i)), image_set(cloud(1200, d, seed=i)))
        for i in range(1, 60, 2)
    ]
    assert min(e.value for e in found) > 0.9
    assert np.mean([e.value for e in found]) > 0.995
    assert np.mean([e.details["ndb"] for e in found]) == pytest.approx(0.05, abs=0.03)


def test_is_blind_within_a_cell(image_set: Any) -> None:
    real, wide = mixture(800, seed=2, width=1.0), mixture(800, seed=1, width=1.0)
    for made in (wide, mixture(800, seed=1, width=0.0)):  # narrow modes: copies of 20 images
        assert clusters_covered(image_set(made), image_set(real)).value == pytest.approx(1, abs=0.2)


def test_cells_are_always_the_same_and_kept(image_set: Any) -> None:
    features = mixture(400, seed=1)
    first, second = (cell_centres(image_set(features), 10) for _ in range(2))
    assert torch.equal(first, second)
    made: dict[str, Any] = {}

    def keep(name: str, make: Any) -> Any:
        return made.setdefault(name, make())

    images = image_set(features)
    kept = ImageSet(images.images, images.labels, features, keep=keep)
    assert torch.equal(cell_centres(kept, 10), first)
    cell_centres(kept, 10, half=True)
    assert list(made) == ["cells-10@1", "cells-10-half@1"]


def test_cells_are_local_optima_of_k_means(image_set: Any) -> None:
    """Each centre is the mean of the images that are nearest to it."""
    features = mixture(400, seed=1)
    centres = cell_centres(image_set(features), 12)
    own = cells_of(features, centres)
    means = torch.stack([features[own == c].mean(0) for c in range(12)])
    assert means.numpy() == pytest.approx(centres.numpy(), abs=1e-4)


def test_fewer_distinct_images_than_cells(image_set: Any) -> None:
    few = torch.arange(3.0)[:, None].repeat(40, 1)
    assert len(cell_centres(image_set(few), 6)) == 3
    assert clusters_covered(image_set(few), image_set(few)).details["cells"] == 3


def test_halves_are_random_disjoint_and_complete() -> None:
    first, second = halves(101)
    assert (len(first), len(second)) == (50, 51)
    assert torch.cat([first, second]).sort().values.tolist() == list(range(101))
    assert torch.equal(halves(101)[0], first)
    assert 10 < int((first % 2).sum()) < 40


def test_differing_proportions_have_their_level() -> None:
    rng = np.random.default_rng(0)
    first = torch.from_numpy(rng.binomial(400, 0.3, 4000) / 400)
    second = torch.from_numpy(rng.binomial(900, 0.3, 4000) / 900)
    assert float(differs(first, second, n=400, m=900).double().mean()) == pytest.approx(
        0.05, abs=0.015
    )
    empty = torch.zeros(1, dtype=torch.float64)
    assert not differs(empty, empty, n=400, m=900)


def test_too_few_images_are_refused_and_few_marked(image_set: Any) -> None:
    for n, m in ((19, 100), (100, 38)):
        with pytest.raises(NothingMeasured, match=f"not {n} and {m}"):
            clusters_covered(image_set(cloud(n, 2, seed=1)), image_set(cloud(m, 2, seed=2)))
    with pytest.raises(NothingMeasured, match="no features"):
        clusters_covered(image_set(n=100), image_set(cloud(100, 2, seed=1)))
    made = image_set(torch.cat([mixture(400, seed=1), mixture(400, seed=3, modes=12)]))
    others: Any = {"reference": image_set(mixture(400, seed=2))}
    one = measure(
        clusters_covered, use=Use("clusters-covered@1", n=800), generated=made, others=others
    )
    assert one.marks == ("few samples: 400 of at least 1,000",)
    two = measure(
        clusters_covered,
        use=Use("clusters-covered@1", n=400, blocks=2),
        generated=made,
        others=others,
    )
    assert two.interval is not None
