"""LPIPS of pairs in each network, against the package of its authors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from material import random_lpips

from kdbench.metrics.features.lpips import ALEX, SQUEEZE, VGG, Trunk
from kdbench.metrics.lpips import perceptual_distance

SIDE = 64


@pytest.mark.parametrize(
    ("trunk", "n"),
    [
        pytest.param(ALEX, 1_000, id="alex"),
        pytest.param(SQUEEZE, 1_000, id="squeeze"),
        pytest.param(VGG, 100, id="vgg"),
    ],
)
def test_lpips(race: Any, trunk: Trunk, n: int) -> None:
    extractor, peer = random_lpips(trunk)
    images, targets = torch.randint(256, (2, n, 3, SIDE, SIDE), dtype=torch.uint8)

    def own() -> list[float]:
        return perceptual_distance(extractor, images, targets).tolist()

    def in_parts() -> list[float]:
        found = []
        with torch.inference_mode():
            for x, y in zip(images.split(25), targets.split(25), strict=True):
                found += peer(x.float() / 127.5 - 1, y.float() / 127.5 - 1).flatten().tolist()
        return found

    assert own() == pytest.approx(in_parts(), abs=1e-6)
    race(
        own,
        peers={"lpips, 25 pairs at a time": in_parts},
        what=f"LPIPS ({trunk.name}) of {n:,} pairs of 3 × {SIDE} × {SIDE}",
        goal=1.0,
        note="ours sums in float64",
    )
