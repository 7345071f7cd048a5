"""Class accuracy and class divergence."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from kdbench.errors import NothingMeasured
from kdbench.metrics import classes

class_accuracy: Any = classes.class_accuracy
class_divergence: Any = classes.class_divergence


def logits_of(predicted: Tensor, classes: int = 10) -> Tensor:
    return one_hot(predicted, classes).float()


def test_accuracy_is_the_share_that_is_as_asked(image_set: Any) -> None:
    asked = torch.arange(200) % 10
    predicted = asked.clone()
    predicted[:20] = (asked[:20] + 1) % 10
    estimate: Any = class_accuracy(image_set(labels=asked, logits=logits_of(predicted)))
    assert estimate.value == 0.9
    assert (estimate.interval.low, estimate.interval.high) == pytest.approx(
        (0.8506, 0.9343), abs=1e-4
    )


def test_accuracy_has_an_interval_even_when_all_are_right(image_set: Any) -> None:
    asked = torch.arange(100) % 10
    estimate: Any = class_accuracy(image_set(labels=asked, logits=logits_of(asked)))
    assert estimate.value == 1
    assert estimate.interval.low == pytest.approx(1 / (1 + 1.959964**2 / 100), abs=1e-6)


def test_divergence_is_what_would_have_to_move(image_set: Any) -> None:
    asked = torch.arange(200) % 10
    lost = torch.where(asked == 3, 4, asked)
    swapped = torch.where(asked == 3, 4, torch.where(asked == 4, 3, asked))
    for predicted, expected in ((lost, 0.1), (swapped, 0.0), (torch.zeros_like(asked), 0.9)):
        images = image_set(labels=asked, logits=logits_of(predicted))
        assert class_divergence(images).value == pytest.approx(expected, abs=1e-12)


def test_divergence_without_errors_has_no_interval_and_says_why(image_set: Any) -> None:
    asked = torch.arange(50) % 10
    estimate: Any = class_divergence(image_set(labels=asked, logits=logits_of(asked)))
    assert estimate.value == 0
    assert estimate.interval is None
    assert "alike" in estimate.reason


@pytest.mark.parametrize("drift", [0.0, 0.2])
def test_divergence_interval_covers_the_truth(image_set: Any, drift: float) -> None:
    """A tenth of the images err at random, and a share `drift` of class 0 becomes class 1."""
    covered, n = 0, 500
    truth = 0.9 * drift / 10
    for trial in range(60):
        draw = np.random.default_rng(trial)
        asked = draw.integers(10, size=n)
        moved = np.where((asked == 0) & (draw.random(n) < drift), 1, asked)
        predicted = np.where(draw.random(n) < 0.1, draw.integers(10, size=n), moved)
        images = image_set(
            labels=torch.from_numpy(asked), logits=logits_of(torch.from_numpy(predicted))
        )
        interval = class_divergence(images).interval
        covered += interval.low <= truth <= interval.high
    assert covered >= 54  # below this with probability 0.003 at 95 % coverage


def test_missing_or_broken_logits_are_refused(image_set: Any) -> None:
    broken = image_set(
        labels=torch.zeros(4, dtype=torch.int64), logits=torch.full((4, 10), torch.nan)
    )
    for metric in (class_accuracy, class_divergence):
        with pytest.raises(NothingMeasured, match="no logits"):
            metric(image_set(torch.rand(4, 2)))
        with pytest.raises(NothingMeasured, match="not finite"):
            metric(broken)


def test_divergence_of_many_classes_takes_little_memory_and_time(image_set: Any) -> None:
    """A thousand classes have a million pairs, of which images can be in few."""
    draw = np.random.default_rng(0)
    asked = torch.from_numpy(np.arange(5000) % 1000)
    predicted = torch.where(torch.from_numpy(draw.random(5000) < 0.1), (asked + 1) % 1000, asked)
    images = image_set(labels=asked, logits=logits_of(predicted, classes=1000))
    tracemalloc.start()
    estimate: Any = class_divergence(images)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 100e6  # NumPy's: the resamples; a count for each pair of classes would be 16 GB
    assert estimate.interval.low <= estimate.value <= estimate.interval.high


def test_divergence_radius_is_that_of_resampled_images(image_set: Any) -> None:
    draw = np.random.default_rng(1)
    asked = draw.integers(4, size=300)
    predicted = np.where(draw.random(300) < 0.3, draw.integers(4, size=300), asked)
    table = classes.confusion(torch.from_numpy(predicted), torch.from_numpy(asked))

    def excess(images: Any) -> Any:
        counts = [np.bincount(one[images], minlength=4) for one in (predicted, asked)]
        return (counts[0] - counts[1]) / len(images)

    observed = excess(np.arange(300))
    norms = [np.abs(excess(draw.integers(300, size=300)) - observed).sum() / 2 for _ in range(4000)]
    assert classes._radius(table) == pytest.approx(np.quantile(norms, 0.95), rel=0.06)
