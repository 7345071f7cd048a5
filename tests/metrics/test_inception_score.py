"""Inception score against torch-fidelity's and torchmetrics' own functions, and its interval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_isc import isc_features_to_metric

from kdbench.errors import NothingMeasured
from kdbench.metrics import inception_score as module
from kdbench.metrics.base import Use
from kdbench.metrics.inception_score import score
from kdbench.metrics.measure import measure

inception_score: Any = module.inception_score
inception_score_torchmetrics: Any = module.inception_score_torchmetrics


def logits(n: int, classes: int = 30, *, seed: int = 0, sharpness: float = 3.0) -> Tensor:
    return sharpness * torch.randn(n, classes, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n", [20, 24, 100, 1237])
def test_equals_torch_fidelity(image_set: Any, n: int) -> None:
    given = logits(n, 1008)
    theirs = isc_features_to_metric(given)
    ours = inception_score(image_set(logits=given))
    assert ours.value == pytest.approx(theirs["inception_score_mean"], rel=1e-12)
    assert ours.details["std"] == pytest.approx(theirs["inception_score_std"], rel=1e-9)


@pytest.mark.parametrize("n", [20, 24, 28, 101, 1237])
def test_equals_torchmetrics_after_the_same_seed(image_set: Any, n: int) -> None:
    inception = pytest.importorskip("torchmetrics.image.inception")
    given = logits(n, 1008)
    peer = inception.InceptionScore(feature=torch.nn.Identity())
    peer.update(given)
    torch.manual_seed(2020)
    mean, std = peer.compute()
    ours = inception_score_torchmetrics(image_set(logits=given))
    assert ours.value == pytest.approx(float(mean), rel=1e-5)  # float32
    assert ours.details["std"] == pytest.approx(float(std), rel=1e-4)


def test_the_callers_random_state_is_left_alone(image_set: Any) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1]  # type: ignore[index]
    inception_score(image_set(logits=logits(40)))
    inception_score_torchmetrics(image_set(logits=logits(40)))
    assert before[0].equal(torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # type: ignore[index]


def test_torch_chunk_makes_fewer_splits_of_few_images(image_set: Any) -> None:
    given = image_set(logits=logits(24))
    assert inception_score_torchmetrics(given).details["splits"] == 8
    assert inception_score(given).details["splits"] == 10


def test_a_slow_double_sum_and_the_ends_of_the_scale() -> None:
    given = logits(6, 5).double()
    p = given.softmax(1).numpy()
    kl = [sum(p[i, c] * np.log(p[i, c] / p[:, c].mean()) for c in range(5)) for i in range(6)]
    assert score(given) == pytest.approx(np.exp(np.mean(kl)), rel=1e-12)
    assert score(torch.zeros(10, 7)) == pytest.approx(1)
    assert score(50 * torch.eye(7).double()) == pytest.approx(7)


def test_classes_that_no_image_has_do_not_make_it_nan() -> None:
    """torch-fidelity's own formula has 0 · log 0 here."""
    given = torch.tensor([[0.0, 2000.0, 0.0], [2000.0, 0.0, 0.0]]).repeat(20, 1)
    assert np.isnan(isc_features_to_metric(given)["inception_score_mean"])
    assert score(given.double()) == pytest.approx(2)


def test_standard_error_is_the_spread_over_draws_and_std_is_not(image_set: Any) -> None:
    found = [inception_score(image_set(logits=logits(400, seed=i))) for i in range(150)]
    spread = np.std([f.value for f in found], ddof=1)
    assert np.mean([f.details["standard_error"] for f in found]) == pytest.approx(spread, rel=0.2)
    assert np.mean([f.details["std"] for f in found]) > 2.5 * spread


def test_interval_holds_the_mean_score_of_so_many_images(image_set: Any) -> None:
    found = [inception_score(image_set(logits=logits(400, seed=i))) for i in range(300)]
    truth = np.mean([f.value for f in found])
    held = np.mean([f.interval.low <= truth <= f.interval.high for f in found])
    assert 0.91 <= held <= 0.99
    assert {f.interval.method for f in found} == {"splits-t"}


def test_rises_with_the_number_of_images(image_set: Any) -> None:
    few, many = (inception_score(image_set(logits=logits(n))).value for n in (100, 10_000))
    assert many > 1.5 * few


def test_few_images_are_marked_and_too_few_refused(image_set: Any) -> None:
    given = image_set(logits=logits(40), features=torch.zeros(40, 1))
    estimate = measure(inception_score, use=Use("inception-score@1", n=40), generated=given)
    assert estimate.marks == ("few samples: 40 of at least 5,000",)
    with pytest.raises(NothingMeasured, match="2 in each of 10 splits"):
        inception_score(image_set(logits=logits(19)))


def test_missing_or_broken_logits_are_refused(image_set: Any) -> None:
    with pytest.raises(NothingMeasured, match="no logits"):
        inception_score(image_set(n=40))
    with pytest.raises(NothingMeasured, match="not finite"):
        inception_score_torchmetrics(image_set(logits=logits(40) / 0))
