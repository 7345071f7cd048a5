"""The worst class by Fréchet distance: each class against the same class of the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import fd_classes as module
from kdbench.metrics.fd import fd
from kdbench.metrics.frechet import frechet_distance
from kdbench.metrics.worst_class import of_class

fd_worst_class: Any = module.fd_worst_class
whole: Any = fd


def classes(n: int, *, seed: int, d: int = 4) -> tuple[Tensor, Tensor]:
    """Features and labels of three classes that lie apart."""
    labels = torch.arange(n) % 3
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=draw) + 10 * labels[:, None], labels


def test_name_and_interval() -> None:
    assert fd_worst_class.id == "fd-worst-class@1"
    assert fd_worst_class.needs_features
    assert fd_worst_class.higher_is_better is False


def test_finds_the_class_that_moved(image_set: Any) -> None:
    (x, labels), (y, _) = classes(600, seed=1), classes(600, seed=2)
    x[labels == 1] += 1
    generated, reference = image_set(x, labels=labels), image_set(y, labels=labels)
    found = fd_worst_class(generated, reference)
    assert found.details["worst"] == 1.0
    for label in range(3):
        own, real = (of_class(part, label) for part in (generated, reference))
        alone = whole(own, real)
        assert found.details[f"class-{label}"] == alone.value
        for name in ("standard_error", "bias_corrected"):
            assert found.details[f"class-{label}-{name}"] == alone.details[name]
        assert f"class-{label}-plain" not in found.details
    assert found.value == frechet_distance(x[labels == 1], y[labels == 1])
    assert found.interval.low < found.value < found.interval.high
    assert found.interval.method == "bonferroni"
    error = found.details["standard_error"]
    assert error == found.details["class-1-standard_error"]
    # Student t with 19 degrees of freedom at 1 - 0.025/3.
    assert found.interval.high == pytest.approx(found.value + 2.6251059 * error, rel=1e-6)


def test_sees_what_the_whole_set_hides(image_set: Any) -> None:
    """Two classes that swap their images are nothing to a distance between whole sets."""
    (x, labels), (y, real) = classes(600, seed=1), classes(600, seed=2)
    swapped = torch.tensor([1, 0, 2])[labels]
    sets = image_set(x, labels=swapped), image_set(y, labels=real)
    assert whole(*sets).value < 1
    assert fd_worst_class(*sets).value > 300


def test_marks_the_bias_of_the_worst_class(image_set: Any) -> None:
    (x, labels), (y, _) = classes(90, seed=1, d=40), classes(90, seed=2, d=40)
    found = fd_worst_class(image_set(x, labels=labels), image_set(y, labels=labels))
    worst = int(found.details["worst"])
    assert found.marks[0].startswith(f"class {worst}: few samples: 30 for 40 features; sampling")
    (x, labels), (y, _) = classes(3000, seed=1), classes(3000, seed=2)
    x[labels == 2] += 3
    assert fd_worst_class(image_set(x, labels=labels), image_set(y, labels=labels)).marks == ()


def test_refuses_small_classes_and_missing_features(image_set: Any) -> None:
    x, labels = classes(90, seed=1)
    few = image_set(x[:57], labels=labels[:57])
    with pytest.raises(NothingMeasured, match="Class 0 has 19"):
        fd_worst_class(few, image_set(x, labels=labels))
    with pytest.raises(NothingMeasured, match="no features"):
        fd_worst_class(image_set(n=90), image_set(x, labels=labels))
