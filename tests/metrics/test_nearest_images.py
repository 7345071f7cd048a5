"""Which generated images lie closest to training images, and the picture that shows them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from kdbench.metrics.nearest_images import Pair, closest_pairs
from kdbench.pictures import tiles_png
from kdbench.scoring import nearest_training_images
from kdbench.stages import Samples, shared_task


def draw(n: int, d: int = 5, *, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def slowly(made: Tensor, train: Tensor) -> list[tuple[int, int, float]]:
    """Every generated image with its nearest training image and the ratio, closest first."""
    found = []
    for i, x in enumerate(made.double()):
        distances = (train.double() - x).norm(dim=1)
        near = int(distances.argmin())
        others = (train.double() - train[near].double()).norm(dim=1)
        others[near] = torch.inf
        found.append((float(distances[near] / others.min()), float(distances[near]), i, near))
    return [(i, near, ratio) for ratio, _, i, near in sorted(found)]


@pytest.mark.parametrize("count", [1, 8, 100])
def test_equals_a_slow_search(image_set: Any, count: int) -> None:
    train, made = draw(60, seed=1), draw(40, seed=2)
    expected = slowly(made, train)[:count]
    found = closest_pairs(image_set(made), image_set(train), count=count)
    assert [(p.generated, p.train) for p in found] == [(i, near) for i, near, _ in expected]
    assert [p.ratio for p in found] == pytest.approx([ratio for *_, ratio in expected], rel=1e-9)


def test_copies_come_first(image_set: Any) -> None:
    train, made = draw(60, seed=1), draw(40, seed=2)
    made[7], made[31] = train[3], train[50] + 1e-3
    first, second = closest_pairs(image_set(made), image_set(train), count=2)
    assert first == Pair(7, 3, 0.0)
    assert (second.generated, second.train) == (31, 50)
    assert 0 < second.ratio < 0.01


def test_altered_copies_of_twins_come_last_and_exact_ones_first(image_set: Any) -> None:
    train, made = draw(30, seed=1), draw(10, seed=2)
    train[29] = train[28]
    made[4], made[5] = train[28], train[28] + 1e-3
    found = closest_pairs(image_set(made), image_set(train), count=10)
    assert found[0] == Pair(4, 28, 0.0)
    assert found[-1] == Pair(5, 28, np.inf)


def samples_of(images: Tensor) -> Samples:
    labels = torch.zeros(len(images), dtype=torch.int64)
    part = {"images": {"held-out": images}, "labels": {"held-out": labels}}
    return Samples(key="", n_failed={"held-out": 0}, nfe=1, network=None, **part)  # type: ignore[arg-type]


def test_the_picture_shows_each_copy_above_its_original(tmp_path: Path) -> None:
    task = shared_task("digits@1")
    train, real = task.split("train").images, task.split("held-out").images
    made = real[:100].clone()
    copied = {5: 17, 60: 200, 99: 3}
    for i, original in copied.items():
        made[i] = train[original]
    above, below = nearest_training_images(task, samples_of(made), features=None, count=4)
    assert {image.numpy().tobytes() for image in above[:3]} == {
        train[original].numpy().tobytes() for original in copied.values()
    }
    assert torch.equal(above[:3], below[:3])
    assert not torch.equal(above[3], below[3])
    picture = np.asarray(Image.open(io.BytesIO(tiles_png(above, below))))
    side = above.shape[-1]
    assert picture.shape == (2 * side, 4 * side)
    assert (picture[:side, : 3 * side] == picture[side:, : 3 * side]).all()
    assert (picture[:side, 3 * side :] == above[3, 0].numpy()).all()
