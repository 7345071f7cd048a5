"""The worst class's kernel distance against each class by itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from kdbench.errors import NothingMeasured
from kdbench.metrics import kid_classes as module
from kdbench.metrics.kernel import kernel_distance
from kdbench.metrics.worst_class import largest_interval

kid_worst_class: Any = module.kid_worst_class


def pair(image_set: Any) -> tuple[Any, Any]:
    labels = torch.arange(120) % 4
    moved = torch.tensor([0.0, 0.2, 0.0, 1.0])
    x = torch.randn(120, 5) + moved[labels][:, None]
    return image_set(x, labels=labels), image_set(torch.randn(200, 5), labels=torch.arange(200) % 4)


def test_every_class_is_measured_by_itself(image_set: Any) -> None:
    x, y = pair(image_set)
    found = kid_worst_class(x, y)
    slow = [kernel_distance(x.features[x.labels == c], y.features[y.labels == c]) for c in range(4)]
    assert [found.details[f"class-{c}"] for c in range(4)] == [one.value for one in slow]
    errors = [found.details[f"class-{c}-standard_error"] for c in range(4)]
    assert errors == [one.standard_error for one in slow]
    assert found.value == max(one.value for one in slow) == found.details["class-3"]
    assert found.details["worst"] == 3
    expected = largest_interval([one.value for one in slow], errors, df=float("inf"))
    assert found.interval == expected


def test_a_class_of_few_images_is_refused(image_set: Any) -> None:
    x, y = pair(image_set)
    with pytest.raises(NothingMeasured, match="Class 0 has 19 generated and 50 reference"):
        kid_worst_class(x.block(0, 76), y)
    with pytest.raises(NothingMeasured, match="no features"):
        kid_worst_class(image_set(n=120), y)


def test_name() -> None:
    assert kid_worst_class.id == "kid-worst-class@1"
    assert kid_worst_class.higher_is_better is False
    assert kid_worst_class.sets == ("reference",)
