"""The subset kernel distance against the three libraries that print it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import kernel as kernel_module
from kdbench.metrics import kid_subsets as module
from kdbench.metrics.kernel import kernel_distance
from kdbench.metrics.kid_subsets import subset_distances

kid_subsets: Any = module.kid_subsets
kid_subsets_torchmetrics: Any = module.kid_subsets_torchmetrics
kid_subsets_clean_fid: Any = module.kid_subsets_clean_fid
ALL = [kid_subsets, kid_subsets_torchmetrics, kid_subsets_clean_fid]

FEWER = 8
"""Subsets, where a library need not be run with its own number of them."""

FLOAT32 = 2e-7
"""What float32 moves the libraries' values by, of a mean kernel of about 1."""


def draw(n: int, d: int = 16, *, seed: int, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(n, d, generator=generator) + shift).relu()


@pytest.fixture(params=[torch.float64, torch.float32], ids=["float64", "float32"])
def sets(
    request: pytest.FixtureRequest, image_set: Any, monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, Any, float]:
    """1,300 generated and 1,100 reference images, and the tolerance of their dtype."""
    x, y = (draw(n, seed=n, shift=n / 9000).to(request.param) for n in (1300, 1100))
    if request.param == torch.float64:
        monkeypatch.setattr(kernel_module, "float32_is_whole", lambda: False)
    tolerance = {torch.float64: 1e-13, torch.float32: FLOAT32}[request.param]
    return image_set(x), image_set(y), tolerance


def test_equals_torch_fidelity_by_default(sets: tuple[Any, Any, float]) -> None:
    x, y, tolerance = sets
    fidelity = pytest.importorskip("torch_fidelity.metric_kid")
    theirs = fidelity.kid_features_to_metric(x.features, y.features, verbose=False)
    ours = kid_subsets(x, y)
    assert ours.value == pytest.approx(theirs["kernel_inception_distance_mean"], abs=tolerance)
    std = theirs["kernel_inception_distance_std"]
    assert ours.details["std"] == pytest.approx(std, abs=10 * tolerance)


@pytest.mark.filterwarnings("ignore:.*Kernel Inception Distance", "ignore:.*before the ``update")
def test_equals_torchmetrics_after_seeding(
    sets: tuple[Any, Any, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SUBSETS", FEWER)
    x, y, tolerance = sets
    peer = pytest.importorskip("torchmetrics.image.kid")
    kid = peer.KernelInceptionDistance(feature=torch.nn.Flatten(), subsets=FEWER)
    kid.real_features, kid.fake_features = [y.features], [x.features]
    torch.manual_seed(2020)
    mean, std = kid.compute()
    ours = kid_subsets_torchmetrics(x, y)
    assert ours.value == pytest.approx(float(mean), abs=tolerance)
    assert ours.details["std"] == pytest.approx(float(std), abs=10 * tolerance)


@pytest.mark.parametrize("n", [1300, 250])
def test_equals_clean_fid_after_seeding(
    sets: tuple[Any, Any, float], image_set: Any, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SUBSETS", FEWER)
    x, y, tolerance = sets
    peer = pytest.importorskip("cleanfid.fid")
    x = image_set(x.features[:n])
    np.random.seed(2020)
    theirs = peer.kernel_distance(y.features.numpy(), x.features.numpy(), num_subsets=FEWER)
    assert kid_subsets_clean_fid(x, y).value == pytest.approx(theirs, abs=tolerance)


def test_each_subset_is_its_own_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_module, "float32_is_whole", lambda: False)
    x, y = draw(90, seed=1), draw(70, seed=2)
    subsets = [(torch.randperm(90)[:30], torch.randperm(70)[:30]) for _ in range(5)]
    whole, values = subset_distances(x, y, subsets)
    slow = [kernel_distance(x[own], y[other]).value for own, other in subsets]
    assert values.tolist() == pytest.approx(slow, rel=1e-10)
    exact = kernel_distance(x, y)
    assert whole.value == pytest.approx(exact.value, rel=1e-10)
    assert whole.standard_error == pytest.approx(exact.standard_error, rel=1e-10)


def test_standard_error_is_the_spread_over_draws_and_std_is_not(
    image_set: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With few and small subsets, so that their noise is a good part of it."""
    monkeypatch.setattr(module, "SIZE", 25)
    monkeypatch.setattr(module, "SUBSETS", 6)
    found = [
        kid_subsets(image_set(draw(100, 6, seed=2 * i, shift=0.4)), image_set(draw(100, 6, seed=i)))
        for i in range(1, 2001, 2)
    ]
    spread = np.std([estimate.value for estimate in found], ddof=1)
    own = [estimate.details for estimate in found[:50]]
    assert np.mean([details["standard_error"] for details in own]) == pytest.approx(spread, rel=0.1)
    assert np.mean([details["std"] for details in own]) > 1.2 * spread
    alone = np.std([estimate.details["all_pairs"] for estimate in found], ddof=1)
    assert alone < 0.95 * spread


def test_interval_is_normal_with_that_error(image_set: Any) -> None:
    found = kid_subsets_clean_fid(image_set(draw(300, seed=1)), image_set(draw(200, seed=2)))
    width = found.interval.high - found.interval.low
    assert width == pytest.approx(2 * 1.959964 * found.details["standard_error"], rel=1e-6)


@pytest.mark.parametrize("metric", [kid_subsets, kid_subsets_torchmetrics], ids=lambda m: m.name)
@pytest.mark.parametrize(("n", "m"), [(999, 1000), (1000, 999)])
def test_subsets_larger_than_a_set_are_refused_as_in_the_libraries(
    image_set: Any, metric: Any, n: int, m: int
) -> None:
    with pytest.raises(NothingMeasured, match="Subsets of 1,000 cannot be drawn"):
        metric(image_set(draw(n, seed=1)), image_set(draw(m, seed=2)))


def test_names() -> None:
    ids = [metric.id for metric in ALL]
    assert ids == ["kid-subsets@1", "kid-subsets-torchmetrics@1", "kid-subsets-clean-fid@1"]
    assert len({metric.protocol for metric in ALL}) == 3
    assert all(metric.needs_features and metric.sets == ("reference",) for metric in ALL)
