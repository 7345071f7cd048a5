"""What is shared is computed once, and is gone as soon as a set that it is of is gone."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from kdbench.metrics.base import ImageSet
from kdbench.metrics.collection import measure_images
from kdbench.metrics.measure import _block
from kdbench.metrics.remembered import remembered

MakeSet = Callable[..., ImageSet]

METRICS = [
    *("fd", "fd-infinity", "kid", "kid-stratified", "recall", "density", "authenticity"),
    *("nearest-ratio", "duplicates", "clusters-covered", "copying-test", "vendi", "vendi-ratio"),
    *("feature-distance", "feature-distance-ratio", "fd-teacher", "class-divergence"),
]


@pytest.fixture
def calls() -> list[tuple[Any, ...]]:
    return []


@pytest.fixture
def gap(calls: list[tuple[Any, ...]]) -> Any:
    @remembered
    def gap(first: ImageSet, second: ImageSet, scale: int = 1, *, strict: bool = True) -> Any:
        calls.append((id(first), id(second), scale, strict))
        return torch.tensor(float(len(calls)))

    return gap


def test_each_pair_and_each_setting_is_computed_once(
    image_set: MakeSet, gap: Any, calls: list[tuple[Any, ...]]
) -> None:
    x, y = image_set(torch.rand(4, 2)), image_set(torch.rand(4, 2))
    for _ in range(2):
        found = [gap(x, y), gap(y, x), gap(x, x), gap(x, y, 2), gap(x, y, strict=False)]
        assert [float(one) for one in found] == [1, 2, 3, 4, 5]
    assert len(calls) == 5


def test_another_function_and_a_changed_copy_of_a_set_have_results_of_their_own(
    image_set: MakeSet, gap: Any, calls: list[tuple[Any, ...]]
) -> None:
    @remembered
    def other(first: ImageSet, second: ImageSet) -> str:
        return "other"

    x = image_set(torch.rand(4, 2))
    gap(x, x)
    assert other(x, x) == "other"
    gap(replace(x, features=torch.rand(4, 2)), x)
    assert len(calls) == 2


@pytest.mark.parametrize("gone", ["first", "second"])
def test_a_result_goes_with_either_set(image_set: MakeSet, gap: Any, gone: str) -> None:
    sets = {"first": image_set(torch.rand(4, 2)), "second": image_set(torch.rand(4, 2))}
    found = weakref.ref(gap(*sets.values()))
    assert found() is not None
    del sets[gone]
    assert found() is None


def test_a_block_lives_on_its_set_and_all_of_it_is_the_set(image_set: MakeSet) -> None:
    x = image_set(torch.rand(6, 2))
    assert _block(x, 0, 3) is _block(x, 0, 3)
    assert _block(x, 0, 6) is x
    block, whole = weakref.ref(_block(x, 0, 3)), weakref.ref(x)
    del x
    assert whole() is None
    assert block() is None


def test_measuring_keeps_no_set_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even until the collector of cycles comes: sets are gigabytes."""
    made: list[weakref.ref[ImageSet]] = []
    genuine: Any = ImageSet.__init__

    def watched(self: ImageSet, *args: Any, **given: Any) -> None:
        genuine(self, *args, **given)
        made.append(weakref.ref(self))

    monkeypatch.setattr(ImageSet, "__init__", watched)
    generator = torch.Generator().manual_seed(3)
    sets = torch.randint(0, 256, (4, 120, 1, 8, 8), dtype=torch.uint8, generator=generator)
    labels = torch.arange(120) % 2
    names = ("reference", "train", "teacher")
    gc.collect()
    gc.disable()
    try:
        found = measure_images(
            METRICS,
            sets[0],
            labels=labels,
            others={name: (one, labels) for name, one in zip(names, sets[1:], strict=True)},  # type: ignore[misc]
            extractor="digits-cnn",
        )
        assert sum(estimate.value is not None for estimate in found.values()) >= len(METRICS) - 1
        assert len(made) >= 4
        assert [one for one in made if one() is not None] == []
    finally:
        gc.enable()
