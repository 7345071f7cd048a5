"""Mean LPIPS over all pairs of 200 images, against batches of pairs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from material import random_lpips

from kdbench.metrics import pairwise_lpips as module
from kdbench.metrics.base import ImageSet

N, SIDE = 200, 64


def test_pairwise_lpips(race: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor, peer = random_lpips()
    monkeypatch.setattr(module, "shared_extractor", lambda name: extractor)
    images = torch.randint(0, 256, (N, 3, SIDE, SIDE), dtype=torch.uint8)

    def own() -> float:
        found = module.pairwise_lpips(ImageSet(images, torch.zeros(N, dtype=torch.int64)))
        return float(found.value)  # type: ignore[union-attr,arg-type]

    def in_batches() -> float:
        """Every image against all later ones in one call."""
        x, total = images.float() / 127.5 - 1, 0.0
        with torch.inference_mode():
            for i in range(N - 1):
                total += float(peer(x[i].expand(N - 1 - i, -1, -1, -1), x[i + 1 :]).sum())
        return total / (N * (N - 1) / 2)

    assert own() == pytest.approx(in_batches(), rel=1e-5)
    race(
        own,
        peers={"lpips, an image against all later ones in a batch": in_batches},
        what=f"Pairwise LPIPS (AlexNet) of {N} images of {SIDE} × {SIDE}",
        goal=40.0,
        note="with its standard error",
    )
