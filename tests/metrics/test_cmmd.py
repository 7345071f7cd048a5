"""CMMD against its definition and against the biased number that its authors' code gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import cmmd as module

cmmd: Any = module.cmmd


def draw(n: int, d: int = 24, *, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


def kernels(x: Tensor, y: Tensor) -> Tensor:
    """exp(-|a - b|² / (2 · 10²)) of unit vectors, one pair of rows at a time, float64."""
    a, b = (z.double() / z.double().norm(dim=1, keepdim=True) for z in (x, y))
    return torch.stack([(-(row - b).square().sum(1) / 200).exp() for row in a])


def test_is_the_unbiased_statistic_a_thousandfold(image_set: Any) -> None:
    x, y = draw(70, seed=1, shift=0.3), draw(50, seed=2)
    own = [kernels(z, z).fill_diagonal_(0).sum() / (len(z) * (len(z) - 1)) for z in (x, y)]
    expected = 1000 * float(own[0] + own[1] - 2 * kernels(x, y).mean())
    found = cmmd(image_set(x), image_set(y))
    assert found.value == pytest.approx(expected, rel=1e-6)


def test_detail_is_the_authors_number(image_set: Any) -> None:
    """Their `distance.mmd`: plain means of whole matrices, each image with itself counted in."""
    x, y = draw(70, seed=1, shift=0.3), draw(50, seed=2)
    theirs = 1000 * float(kernels(x, x).mean() + kernels(y, y).mean() - 2 * kernels(x, y).mean())
    found = cmmd(image_set(x), image_set(y))
    assert found.details["v_statistic"] == pytest.approx(theirs, rel=1e-6)


def test_is_unbiased_where_the_authors_number_is_not(image_set: Any) -> None:
    found = [
        cmmd(image_set(draw(30, seed=2 * i)), image_set(draw(30, seed=2 * i + 1)))
        for i in range(300)
    ]
    values = [estimate.value for estimate in found]
    noise = float(np.std(values)) / 300**0.5
    assert abs(np.mean(values)) < 3 * noise
    biased = np.mean([estimate.details["v_statistic"] for estimate in found])
    assert biased == pytest.approx(2 * 1000 * (1 - np.exp(-2 / 200)) / 30, rel=0.05)
    assert biased > 50 * noise


def test_standard_error_is_the_spread_over_draws(image_set: Any) -> None:
    found = [
        cmmd(image_set(draw(60, seed=2 * i, shift=0.4)), image_set(draw(60, seed=2 * i + 1)))
        for i in range(1000)
    ]
    errors = [estimate.details["standard_error"] for estimate in found[:50]]
    spread = np.std([estimate.value for estimate in found], ddof=1)
    assert np.mean(errors) == pytest.approx(spread, rel=0.1)


def test_lengths_of_embeddings_do_not_matter(image_set: Any) -> None:
    x, y = draw(40, seed=1, shift=0.3), draw(40, seed=2)
    longer = x * torch.linspace(0.1, 50, 40)[:, None]
    first, again = cmmd(image_set(x), image_set(y)), cmmd(image_set(longer), image_set(y))
    assert again.value == pytest.approx(first.value, rel=1e-5)


def test_sees_the_mean_embedding_and_little_else(image_set: Any) -> None:
    """What the docstring says: 10 |difference of means|², less at most 2 %."""
    x, y = draw(400, seed=1, shift=0.4), draw(400, seed=2)
    means = [torch.nn.functional.normalize(z.double()).mean(0) for z in (x, y)]
    apart = 10 * float((means[0] - means[1]).square().sum())
    found = cmmd(image_set(x), image_set(y))
    assert 0.98 * apart < found.details["v_statistic"] < apart
    narrow = torch.cat([0.3 * y[:200] + y.mean(0), 0.3 * y[:200] - y.mean(0)])
    assert abs(cmmd(image_set(narrow), image_set(y)).value) < 0.02 * found.value


def test_refuses_what_has_no_direction(image_set: Any) -> None:
    x, y = draw(20, seed=1), image_set(draw(20, seed=2))
    x[3] = 0
    with pytest.raises(NothingMeasured, match="no direction"):
        cmmd(image_set(x), y)
    with pytest.raises(NothingMeasured, match="no features"):
        cmmd(y, image_set(n=20))


def test_is_of_one_extractor() -> None:
    assert cmmd.id == "cmmd@1"
    assert cmmd.extractor == "clip-vit-l14-336@1"
    assert cmmd.needs_features
